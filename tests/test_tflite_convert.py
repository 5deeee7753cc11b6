"""What litert-torch makes of a network: where it reads, and what its operators are called."""

import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn
from torch.nn import functional

from edgekit.errors import RecipeError
from edgekit.exporters import tflite_convert, tflite_file, tflite_quantize
from edgekit.inspection.tflite import read
from edgekit.recipe import Quantize, Recipe

pytestmark = pytest.mark.full
SIDE = 6


class Pyramid(nn.Module):
    """Two levels that become one of an odd size, and a head for each in a list."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, 2)
        self.heads = nn.ModuleList(nn.ModuleList([nn.Conv2d(4, n, 1)]) for n in (2, 3))

    def forward(self, x):
        size = (SIDE - 1, SIDE + 1)
        a, b = (
            functional.interpolate(f(x), size, mode=m) for f, m in ((self.fine, "nearest"), (self.coarse, "nearest"))
        )
        c = functional.interpolate(self.fine(x), size, mode="nearest-exact")
        return self.heads[0][0](a + b), self.heads[1][0](c)


@pytest.fixture(scope="module")
def pyramid():
    torch.manual_seed(0)
    return Pyramid().eval()


@pytest.fixture(scope="module")
def file(pyramid, tmp_path_factory):
    made = tmp_path_factory.mktemp("made") / "float.tflite"
    made.write_bytes(
        tflite_file.mend(tflite_convert.convert(pyramid, torch.float32, (3, SIDE, SIDE), made.parent / "log"))
    )
    return made


@torch.no_grad()
def test_maps_grow_to_any_size_as_torch_lets_them(pyramid, file):
    x = torch.randn(1, 3, SIDE, SIDE)
    run = Interpreter(str(file))
    run.allocate_tensors()
    run.set_tensor(run.get_input_details()[0]["index"], x.permute(0, 2, 3, 1).contiguous().numpy())
    run.invoke()
    for wanted, detail in zip(pyramid(x), run.get_output_details(), strict=True):
        torch.testing.assert_close(torch.from_numpy(run.get_tensor(detail["index"])), wanted, atol=1e-4, rtol=1e-4)


def test_layers_in_lists_are_called_by_their_paths(file):
    assert {"heads/0/0", "heads/1/0", "fine", "coarse"} <= {layer.name for layer in read(file).layers}


@pytest.mark.parametrize(("pattern", "kept"), [(r"heads/\d/0$", {"heads/0/0", "heads/1/0"}), ("^coarse$", {"coarse"})])
def test_layers_in_lists_stay_in_float_where_a_recipe_says_so(file, pattern, kept):
    recipe = Recipe("pyramid", "tflite", quantize=Quantize("int8-weight-only", keep_float=(pattern,)))
    made = file.with_name("int8.tflite")
    made.write_bytes(tflite_quantize.quantize(file, recipe, lambda: iter(())))
    assert {layer.name for layer in read(made).layers if layer.precision == "float32"} == kept


def test_a_pattern_that_finds_no_layer_is_refused(file):
    recipe = Recipe("pyramid", "tflite", quantize=Quantize("int8-weight-only", keep_float=("tails",)))
    with pytest.raises(RecipeError, match="no operator is named like 'tails'"):
        tflite_quantize.quantize(file, recipe, lambda: iter(()))
