"""`make executorch`: the plugin keeps what edgekit's own exporters and runtimes promise."""

import pytest

from edgekit import export
from edgekit.recipe import Quantize, Recipe
from edgekit.testing import check_exporter, check_runtime


@pytest.mark.parametrize("scheme", ["fp32", "int8-static", "int8-dynamic"])
def test_it_conforms(scheme, tmp_path):
    for made in check_exporter("executorch", tmp_path, [scheme]):
        check_runtime("executorch", made)


def test_int8_of_a_trained_network_passes_the_proof(tmp_path):
    recipe = Recipe("mobilenetv2", "executorch", weights="bundled", quantize=Quantize("int8"), samples=48)
    made = export(recipe, tmp_path / "made")
    assert made.manifest.scheme == "int8-static"
    assert made.manifest.proof.passed
