"""`make executorch`: the plugin keeps what edgekit's own exporters and runtimes promise."""

import pytest

import edgekit
from edgekit import export
from edgekit.errors import ParityError
from edgekit.recipe import Quantize, Recipe
from edgekit.testing import check_exporter, check_runtime


@pytest.mark.parametrize("scheme", ["fp32", "int8-static", "int8-dynamic"])
def test_it_conforms(scheme, tmp_path):
    for made in check_exporter("executorch", tmp_path, [scheme]):
        check_runtime("executorch", made)


def test_a_file_that_answers_otherwise_is_refused(tmp_path):
    """MobileNetV2 as ExecuTorch's own quantizer writes it: 11 dB, where 13 are asked."""
    recipe = Recipe("mobilenetv2", "executorch", weights="bundled", quantize=Quantize("int8"), samples=48)
    with pytest.raises(ParityError, match="SQNR"):
        export(recipe, tmp_path / "made")


def test_int8_is_proven_and_benched(tmp_path):
    made = []
    for quantize in (Quantize(), Quantize("int8")):
        recipe = Recipe("unet_micro", "executorch", weights="bundled", quantize=quantize)
        made.append(export(recipe, tmp_path / quantize.scheme))
    assert made[1].manifest.scheme == "int8-static"
    runs = edgekit.bench(made, runs=10, launches=1)
    assert all(run.cpu_ms > 0 for run in runs)
