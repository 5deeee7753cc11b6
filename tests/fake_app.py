"""The app's part, played by this machine: the file is opened in the real runtime, and answers and times are real."""

import json
import os
import sys
from pathlib import Path

SCENARIO = os.environ.get("FAKE_SCENARIO", "")


def main(extras, folder):
    asked = json.loads(Path(extras).read_text())
    bench = Path(folder) / "files/bench"
    answer = {"schema": 1, "run_id": asked["run_id"], "status": "ok"}
    if SCENARIO == "too-old":
        message, hint = "this file needs LiteRT 1.2 or later, and this app has TFLite 2.16.1", "a newer runtime"
        error = {"stage": "load", "type": "RuntimeTooOld", "message": message, "hint": hint}
        answer |= {"status": "error", "error": error}
    elif SCENARIO == "other-schema":
        answer["schema"] = 2
    else:
        answer |= _run(asked, bench)
    partial = bench / "partial"
    partial.write_text(json.dumps(answer))
    partial.rename(bench / f"{asked['run_id']}.json")


def _run(asked, bench):
    import numpy as np

    from edgekit import artifact, registry
    from edgekit.devices.worker import timed
    from edgekit.runtimes import Options

    model = artifact.load(Path(asked["spec"]).parent)
    runtime = registry.runtime({"tflite": "litert", "onnxruntime": "onnxruntime"}[asked["engine"]])
    session, load = timed(lambda: runtime.open(model, Options(asked["threads"])))
    tensor = model.manifest.input
    tensors = np.fromfile(asked["input"], tensor.dtype).reshape(-1, *tensor.shape)
    _, first = timed(lambda: session.run(tensors[0]))
    answers = np.concatenate([session.run(each)[0] for each in tensors])
    if SCENARIO == "wrong":
        answers = answers + 1
    (bench / f"{asked['run_id']}.out").write_bytes(answers.tobytes())
    for _ in range(asked["warmup"]):
        session.run(tensors[0])
    runs = [timed(lambda: session.run(tensors[0]))[1].wall_ns for _ in range(asked["runs"])]
    engine, _, version = session.facts()["runtime"].partition(" ")
    return {
        "app": {"version": "0.1.0", "engine": engine, "engine_version": version},
        "model": {"bytes": model.model_bytes, "sha256": model.digest()},
        "applied": {"threads": str(asked["threads"]), "accelerator": asked["accelerator"]},
        "timing_ns": {"load": load.wall_ns, "first": first.wall_ns, "warmup": [], "runs": runs},
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
