"""What int8 costs layer by layer, and which layers should stay in float."""

import json
import re
from xml.etree import ElementTree

import nets
import pytest
import torch
from conftest import ask_edgekit

from edgekit import pipeline
from edgekit import recipe as recipes
from edgekit.errors import ParityError, RequestError
from edgekit.exporters.layer_noise import costs
from edgekit.recipe import Recipe
from edgekit.sensitivity import measure, ordered

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("seed", range(10))
def test_a_layer_that_bears_no_eight_bits_is_first(pixels, seed):
    net = nets.planted(seed).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = ordered(costs(net, pixels, "int8-static", between=True))
    assert found[0].layer == net.bad
    assert found[0].noise > 0.9
    assert sum(layer.noise for layer in found) == pytest.approx(1)
    assert sum(layer.macs for layer in found) == pytest.approx(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("scheme", ["int8-dynamic", "int8-weight-only"])
def test_in_every_scheme(pixels, scheme):
    net = nets.planted().eval()
    assert ordered(costs(net, pixels, scheme))[0].layer == net.bad


def test_what_lies_in_integers_between_two_layers_is_the_cost_of_both(pixels):
    """A tensor of which a few values are large: it is its maker's and its reader's, but not where only layers' inputs are integers."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, 2, 1), torch.nn.Flatten(),
        torch.nn.Linear(512, 5),
    ).eval()  # fmt: skip
    with torch.no_grad():
        net[0].bias[0], net[2].weight[:, 0] = 300, net[2].weight[:, 0] / 1000
    both = {cost.layer: cost.noise[0] for cost in costs(net, pixels, "int8-static", between=True)}
    readers = {cost.layer: cost.noise[0] for cost in costs(net, pixels, "int8-static")}
    assert both["0"] > 10 * both["4"]
    assert readers["2"] > 10 * readers["0"]
    assert both["2"] == pytest.approx(readers["2"], rel=0.5)


@pytest.fixture(scope="module")
def asked(pictures, tmp_path_factory):
    """A recipe file of the network with the planted layer."""
    recipe = Recipe("py:nets:planted", "onnx", calibration=str(pictures), input_size=(32, 32), task="classification")
    file = tmp_path_factory.mktemp("asked") / "planted.toml"
    file.write_text(recipes.dump(recipe), "utf-8")
    return file


def test_inspect_names_it_and_the_file_is_right_with_it_in_float(asked, tmp_path):
    found = json.loads(
        ask_edgekit("inspect", "--sensitivity", asked, "--target", "onnx", "--scheme", "int8-static", "--json").stdout
    )
    bad = nets.planted().bad
    assert (found["layers"][0]["layer"], found["keep"], found["scheme"]) == (bad, 1, "int8-static")
    assert found["layers"][0]["left_db"] > found["int8_db"] + 6
    assert found["layers"][-1]["left_db"] is None
    told = ask_edgekit("inspect", "--sensitivity", asked, "--target", "onnx", "--scheme", "int8-static").stdout
    pattern = rf"^{bad}$"
    assert f"--keep-float '{pattern}'" in told
    picture = tmp_path / "planted.svg"
    ask_edgekit("inspect", "--sensitivity", asked, "--target", "onnx", "--scheme", "int8-static", "--draw", picture)
    drawn = ElementTree.fromstring(picture.read_text("utf-8"))
    names = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text") if text.get("text-anchor") == "end"]
    assert names == [layer["layer"] for layer in found["layers"]]
    assert re.search("one layer makes (9.|100)% of the noise", told)
    whole = recipes.amended(recipes.load(asked), "int8-static")
    with pytest.raises(ParityError):
        pipeline.export(whole, tmp_path / "whole")
    made = pipeline.export(recipes.amended(whole, keep_float=(pattern,)), tmp_path / "kept")
    assert made.manifest.proof.sqnr_db > 25


def test_what_cannot_be_asked_is_refused(asked, golden_artifact):
    for words, said in (
        (["--sensitivity", golden_artifact], "is a file already"),
        (["--sensitivity", asked, asked], "takes one model, not 2"),
        (["--sensitivity", asked, "--layers"], "is about a model"),
        (["--sensitivity", asked, "--target", "torch"], "what int8 costs in torch is not known"),
        (["--sensitivity", asked, "--draw", "a.png"], "is no .svg file"),
        (["--draw", "a.svg", golden_artifact], "--draw of a model: for --sensitivity"),
        (["--target", "onnx", golden_artifact], "--target of a model: for --sensitivity"),
    ):
        done = ask_edgekit("inspect", *words)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_floats_have_no_integers(asked):
    with pytest.raises(RequestError, match="fp32 has nothing in integers"):
        measure(recipes.load(asked))
