# make demo   set up, then export, predict and bench on this machine
# make test   set up, then lint, types, import rules and every test
# Both need Python 3.11 and nothing else (`make test` also runs what old devices run, which exists for 3.11 only),
# and work without a network but for the package registries.

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .cache/uv/bin/uv)
PIP = $(UV) pip install --quiet --constraint constraints.txt
# the distribution's name until 0.1; two with one package would be refused
FORMERLY = $(UV) pip uninstall --quiet edgekit
BUILD = build
# Compiled files are kept also where the surroundings forbid it (images of containers do): else every process compiles what it
# imports, torch and all, again.
unexport PYTHONDONTWRITEBYTECODE
# Two processes, a file of tests in one of them: what a file exports for its tests is made once. One thread each. In the order
# of tests/conftest.py: a file of minutes that came last would leave one process idle.
TWO = -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: site help ready demo fuzz grid zoo tune-truth tune-kills ray layouts reproduce test lint fast android android-models full privacy resolve newest dist clean constraints
.DELETE_ON_ERROR:

demo: .venv/.ready
	.venv/bin/edgekit export mobilenetv2 --int8 --target tflite --weights bundled -o $(BUILD)/mobilenetv2-tflite-int8
	.venv/bin/edgekit export mobilenetv2 --target tflite --weights bundled -o $(BUILD)/mobilenetv2-tflite-fp32
	.venv/bin/edgekit predict $(BUILD)/mobilenetv2-tflite-int8 edgekit/models/bundled/sample.png
	.venv/bin/edgekit verify $(BUILD)/mobilenetv2-tflite-int8
	.venv/bin/edgekit bench $(BUILD)/mobilenetv2-tflite-int8 $(BUILD)/mobilenetv2-tflite-fp32

# Lint, the app, the site and what the lanes fetch have little to do with each other, and each leaves a core idle for most of its time.
test:
	$(MAKE) --jobs=2 --output-sync=target lint android site ready
	$(MAKE) fast
	$(MAKE) full

# Every model, target and scheme beside the tools' own defaults; goes on where it stopped. Not a part of the tests.
grid: .venv/.ready .cache/data/.ready
	.venv/bin/python benchmarks/grid.py

# Every network in every target, in fp32 and int8: days; goes on where it stopped. Not a part of the tests.
zoo: export EDGEKIT_CACHE = $(CURDIR)/.cache/devices
zoo: export OMP_NUM_THREADS = 1
zoo: .venv/.ready
	.venv/bin/python benchmarks/zoo.py

# What tune finds beside the truth, in hours; goes on where it stopped; and beside one planted bad layer. Kills: the test that CI runs with
# three, with twenty, and those of a sweep.
tune-truth: export OMP_NUM_THREADS = 1
tune-truth: .venv/.ready .cache/data/.ready
	.venv/bin/python benchmarks/tune_truth.py
	.venv/bin/python benchmarks/tune_coverage.py
	.venv/bin/python benchmarks/planted.py

tune-kills: .venv/.ready
	EDGEKIT_KILLS=20 .venv/bin/pytest -q -s tests/test_tune.py -k killed
	.venv/bin/python benchmarks/sweep_kills.py

# Detectors laid out for other tools, opened by these tools. Not a part of the tests.
layouts: .venv/.ready .venv-layouts/.ready .cache/data/.ready
	.venv/bin/python benchmarks/layouts.py

# The sweep's engine on Ray itself. Not a part of the tests, which have a stand-in.
ray: .venv-ray/.ready
	timeout 900 .venv-ray/bin/python benchmarks/ray_sweep.py

# Every recipe whose weights come with edgekit, made twice: the same bytes. Some 20 minutes; the tests do one small network.
reproduce: .venv/.ready
	set -e; for recipe in export_recipes/mobilenetv2-*.toml export_recipes/efficientnet_lite0-*.toml; do \
		made=$(BUILD)/reproduce/$$(basename $$recipe .toml); \
		.venv/bin/edgekit export $$recipe --weights bundled -q -o $$made >/dev/null; \
		.venv/bin/edgekit reproduce -q $$made; done
	set -e; for model in vit_micro swin_micro unet_micro yolox_micro; do for target in tflite onnx openvino; do \
		made=$(BUILD)/reproduce/$$model-$$target-int8; \
		.venv/bin/edgekit export $$model --int8 --target $$target --weights bundled -q -o $$made >/dev/null; \
		.venv/bin/edgekit reproduce -q $$made; done; done

# What `edgekit --help` says without click; a test holds it to be what click says.
help: .venv/.ready
	COLUMNS=80 .venv/bin/python -c "from edgekit.cli import main; main(['--help'])" > edgekit/cli/help.new
	mv edgekit/cli/help.new edgekit/cli/help.txt

lint: .venv/.ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# The pages as a site, in build/site; a link that leads nowhere is an error.
site: .venv-docs/.ready
	.venv-docs/bin/sphinx-build -q -W --keep-going -b html -c docs . $(BUILD)/site

# Without torch: proves that the half that only runs files installs and works alone.
fast: export OMP_NUM_THREADS = 1
fast: .venv-run/.ready
	.venv-run/bin/pytest -q -p no:cacheprovider -m "not full" $(TWO)

# The Android app: core, engines and screens in a JVM, and APKs in build/android. Tests of `fast` and `full` run what is made here.
android: export OMP_NUM_THREADS = 1
android: .venv/.ready
	.venv/bin/python android_demo/verify/models.py --app >/dev/null
	.venv/bin/python android_demo/verify/toolchain.py mvn -q -f android_demo/verify/pom.xml test \
		-Dedgekit.app.models=$(CURDIR)/.cache/android/models
	.venv/bin/python android_demo/verify/build_apk.py

# The same engines, and the AAR's arm64 library under QEMU, on every kind of network: exports of some minutes, kept.
android-models: export EDGEKIT_CACHE = $(CURDIR)/.cache/devices
android-models: .venv/.ready
	models=$$(.venv/bin/python android_demo/verify/models.py) && \
	.venv/bin/python android_demo/verify/toolchain.py mvn -q -f android_demo/verify/pom.xml -pl engines -am test \
		-Dtest='EnginesTest' -Dsurefire.failIfNoSpecifiedTests=false -Djacoco.skip=true \
		-Dedgekit.models=$(CURDIR)/.cache/android/models && \
	.venv/bin/python android_demo/verify/tflite_arm64.py $$(echo "$$models" | grep -- -tflite-)

# Damaged and hostile input: 16,000 inputs and 200 kills, in hours; goes on where it stopped. `fast` has a share of it.
fuzz: .venv/.ready .venv-run/.ready
	PYTHONPATH=tests .venv-run/bin/python -m fuzz
	PYTHONPATH=tests .venv/bin/python -m fuzz
	PYTHONPATH=tests .venv/bin/python -m fuzz.kills

# What needs torch, or means something else where it is installed; the rest ran in `fast`.
full: export EDGEKIT_CACHE = $(CURDIR)/.cache/devices
full: export OMP_NUM_THREADS = 1
full: .venv/.ready .venv-old/.ready .venv-sign/.ready .cache/data/.ready .cache/devices/.ready
	.venv/bin/pytest -q -m "full or both" $(TWO) --durations=15

# What `fast` and `full` start with: mostly downloads.
ready: .venv-run/.ready .venv/.ready .venv-old/.ready .venv-sign/.ready .cache/data/.ready .cache/devices/.ready

# The example of a plugin, in an environment of its own: 500 MB more, and minutes.
executorch: | uv
	test -x .venv-executorch/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-executorch
	$(PIP) --python .venv-executorch/bin/python -e '.[models,pictures]' -e examples/edgekit-executorch executorch==1.5.1 pytest pytest-timeout
	OMP_NUM_THREADS=1 .venv-executorch/bin/pytest -q examples/edgekit-executorch

# Every command with a HOME that stays empty: minutes. Not a part of the tests, which try one a runtime.
privacy: export EDGEKIT_CACHE = $(CURDIR)/.cache/devices
privacy: .venv/.ready
	.venv/bin/pytest -q tests/every_command.py

# compileall: uv leaves that to the first start, and a user's PYTHONDONTWRITEBYTECODE to every start.
.venv/.ready: pyproject.toml constraints.txt Makefile | uv
	test -x .venv/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(FORMERLY) --python .venv/bin/python
	$(PIP) --python .venv/bin/python -e '.[tflite,onnx,openvino,prune,smp,weights,parquet,video,verify,dev]'
	.venv/bin/python -m compileall -q edgekit .venv/lib/python3*/site-packages/click
	touch $@

.venv-run/.ready: pyproject.toml constraints.txt Makefile | uv
	test -x .venv-run/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-run
	$(FORMERLY) --python .venv-run/bin/python
	$(PIP) --python .venv-run/bin/python -e '.[run-tflite,run-onnx,run-openvino]' pytest pytest-timeout pytest-xdist hypothesis
	touch $@

# What old devices run: the last tflite-runtime (2023, Python 3.11, numpy 1), the oldest ONNX Runtime that an .onnx file
# names by itself, and an independent reader of TFLite metadata, which wants libusb. They have pins of their own.
.venv-old/.ready: pyproject.toml constraints.txt Makefile | uv
	test -x .venv-old/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-old
	$(FORMERLY) --python .venv-old/bin/python
	$(UV) pip install --quiet --python .venv-old/bin/python -e '.[run-tflite-runtime]' tflite-support==0.4.4
	$(UV) pip install --quiet --python .venv-old/bin/python --no-deps onnxruntime==1.17.0
	mkdir -p .venv-old/deb && cd .venv-old/deb && apt-get download -q libusb-1.0-0 && dpkg -x libusb-1.0-0_*.deb .
	touch $@

# The `model_signing` command, to check signatures both ways. It does not say that it needs pyopenssl.
.venv-sign/.ready: Makefile | uv
	test -x .venv-sign/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-sign
	$(UV) pip install --quiet --python .venv-sign/bin/python model-signing==1.1.1 sigstore==4.5.1 pyopenssl==26.4.0
	touch $@

# Ray beside the half that only runs files.
.venv-ray/.ready: Makefile pyproject.toml | uv
	test -x .venv-ray/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-ray
	$(UV) pip install --quiet --constraint constraints.txt --python .venv-ray/bin/python -e '.[run-onnx,run-tflite,ray]'
	touch $@

# The readers of two other tools.
.venv-layouts/.ready: Makefile | uv
	test -x .venv-layouts/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-layouts
	$(UV) pip install --quiet --python .venv-layouts/bin/python mediapipe==1.2.3 "openvino-model-api[onnx]==0.4.7" openvino==2026.4.1 pillow==13.0.0
	touch $@

.venv-docs/.ready: pyproject.toml Makefile | uv
	test -x .venv-docs/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv-docs
	$(FORMERLY) --python .venv-docs/bin/python
	$(PIP) --python .venv-docs/bin/python -e .
	$(UV) pip install --quiet --python .venv-docs/bin/python sphinx==9.0.4 furo==2025.12.19 myst-parser==5.2.0 sphinx-copybutton==0.5.2
	touch $@

.cache/data/.ready: benchmarks/fetch.py | .venv/.ready
	.venv/bin/python benchmarks/fetch.py
	touch $@

# An emulated arm64 with its own Debian and wheels: 150 MB of downloads, 400 MB of disk.
.cache/devices/.ready: export EDGEKIT_CACHE = $(CURDIR)/.cache/devices
.cache/devices/.ready: .venv/.ready $(wildcard edgekit/devices/*.py) edgekit/devices/icount.c
	PATH="$(abspath $(dir $(UV))):$$PATH" .venv/bin/edgekit doctor --setup arm64
	touch $@

.PHONY: uv
uv:
	@test -x "$$(command -v $(UV))" || { $(PYTHON) -m venv .cache/uv && .cache/uv/bin/pip install --quiet uv; }

# Every transitive pin, for every platform; NNCF for benchmarks/grid.py. Then `make resolve`: uv overlooks what pip does not.
constraints: | uv
	echo nncf | $(UV) pip compile --quiet --universal --python-version 3.11 --extra all --extra run-tensorflow --extra dev \
		--no-annotate --no-header --output-file constraints.txt pyproject.toml -

# What pip says to the constraints, for each Python. The tests ask it about the lightest extra only.
resolve: .venv/.ready
	.venv/bin/python tests/resolving.py run-tflite tflite,onnx,openvino

# The newest versions of everything beside the pinned ones: which exports still pass, what changed. Some minutes, a few GB.
newest: .venv/.ready | uv
	.venv/bin/python benchmarks/newest.py --uv "$(UV)" --out $(BUILD)/newest.md

# What a release uploads: the wheel of the source distribution, which opens an artifact where nothing else is installed.
dist: | uv
	rm -rf dist
	$(UV) build --quiet --python $(PYTHON)
	$(UV) tool run --quiet twine@7.0.0 check --strict dist/*
	$(UV) venv --quiet --clear --python $(PYTHON) $(BUILD)/dist
	$(PIP) --python $(BUILD)/dist/bin/python "$$(ls dist/*.whl)[run-tflite]"
	$(BUILD)/dist/bin/edgekit verify tests/golden/tiny3-tflite-int8

clean:
	rm -rf .venv .venv-newest-* .venv-run .venv-old .venv-sign .venv-layouts .venv-ray .venv-docs build
