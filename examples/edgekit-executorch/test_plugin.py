"""`make executorch`: the plugin keeps what edgekit's own exporters and runtimes promise."""

import pytest

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
