"""Makes several.tflite and several.onnx, of three outputs, for EnginesTest: python several.py, in .venv."""

from pathlib import Path

import litert_torch
import onnx
import torch

HERE = Path(__file__).parent


class Several(torch.nn.Module):
    def forward(self, x):
        return x.mean((1, 2)), -x, x.amax((1, 2))


def main() -> None:
    net, pixels = Several().eval(), (torch.zeros(1, 2, 4, 3),)
    (HERE / "several.tflite").write_bytes(litert_torch.convert(net, pixels).model_content())
    names = {"input_names": ["pixels"], "output_names": ["mean", "negative", "largest"]}
    model = torch.onnx.export(net, pixels, dynamo=True, **names).model_proto
    for node in model.graph.node:  # where torch says which lines of Python made it
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.value_info[:]
    onnx.save(model, HERE / "several.onnx")


if __name__ == "__main__":
    main()
