"""Parameters, multiply-adds, input and licence of every alias, into edgekit/zoo.toml: what `edgekit list models` tells.

    python benchmarks/model_figures.py               after a change of ALIASES, or of timm

Networks are made without their numbers and run on an empty image of their own size. Multiply-adds are those of convolutions
and matrix products. The licence is that of the weights that the hub has, as timm states it.
"""

import torch

from edgekit import zoo
from edgekit.models import networks, tracing
from edgekit.models.origins import timm

LICENCES = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause"}


def main() -> None:
    entries = (f"[{alias}]\n{text(figures(alias))}" for alias in zoo.ALIASES)
    head = "# Made by benchmarks/model_figures.py. Figures of networks in their own size; input: channels, height, width.\n"
    zoo.FIGURES.write_text(head + "".join(f"\n{entry}" for entry in entries), "utf-8")


def figures(alias: str) -> zoo.Figures:
    name = zoo.ALIASES[alias]
    config, architecture = timm._config(name), name.partition(".")[0]
    usual = timm._usual(architecture)
    height, width = usual or config.input_size[1:]
    none = {"num_classes": 0} if config.num_classes == 0 else {}
    with torch.device("meta"):
        network = networks.create(architecture, usual, **none).eval()
        nodes = tracing.trace(network, (height, width), config.input_size[0]).nodes
    return zoo.Figures(
        parameters=sum(p.numel() for p in network.parameters()),
        multiply_adds=sum(node.macs for node in nodes),
        input=(config.input_size[0], height, width),
        licence=LICENCES.get(config.license, config.license or "") if config.hf_hub_id else "",
    )


def text(of: zoo.Figures) -> str:
    return (
        f"parameters = {of.parameters:_}\nmultiply_adds = {of.multiply_adds:_}\ninput = {list(of.input)}\n"
        f'licence = "{of.licence}"\n'
    )


if __name__ == "__main__":
    main()
