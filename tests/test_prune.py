"""Pruning: what is cut, how much, and that the smaller network is a model like any other."""

import dataclasses
import json
import sys
from pathlib import Path

import msgspec
import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from test_bench import Costly
from torch import nn

import edgekit
from edgekit import models, registry
from edgekit.cli import main
from edgekit.errors import DataError, RequestError, UnsupportedError, WorkerError
from edgekit.models import heads, shapes, trained, weights
from edgekit.pruning import Goal, costs, statistics
from edgekit.pruning.cutting import cut
from edgekit.pruning.run import prune_run
from edgekit.pruning.search import search
from edgekit.recipe import Recipe
from edgekit.training import Settings, train

pytestmark = pytest.mark.full
FAMILIES = [
    ("convnext_atto", 64),
    ("mobilenetv2_050", 64),
    ("tf_efficientnet_lite0", 64),
    ("resnet10t", 64),
    ("vit_micro", 28),
    ("swin_micro", 28),
]


def asked(photos, model, **changes):
    basic = {"data": str(photos), "batch": 8, "epochs": 1, "workers": 0, "threads": 1, "lr": 1e-2}
    return Settings(model=str(model), **(basic | changes))


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """MobileNetV2 of half the width, trained a little on 32 x 32 images."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(asked(photos, "mobilenetv2_050", weights="random", input_size=(32, 32), seed=1), out)
    return out


@pytest.mark.parametrize(("name", "side"), FAMILIES)
def test_a_cut_network_is_made_again_from_the_shapes_of_its_weights(name, side):
    torch.manual_seed(0)
    whole, x = timm.create_model(name, num_classes=10).eval(), torch.randn(2, 3, side, side)
    before = {k: v.clone() for k, v in whole.state_dict().items()}
    smaller = cut(whole, x, 0.5)
    assert all(torch.equal(v, before[k]) for k, v in whole.state_dict().items())
    assert costs.macs(smaller, x) < 0.75 * costs.macs(whole, x)
    for layer in smaller.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.out_channels % 8 == 0
    again = timm.create_model(name, num_classes=10).eval()
    shapes.resize(again, smaller.state_dict())
    weights.load_into(again, smaller.state_dict(), "the cut one")
    assert repr(again) == repr(smaller)
    with torch.inference_mode():
        assert torch.equal(again(x), smaller(x))
    heads.set_classes(again, 3, anew=True)
    assert again(x).shape == (2, 3)


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_050"])
def test_a_deeper_cut_is_a_smaller_network_down_to_the_narrowest_layers(name):
    whole, x = timm.create_model(name, num_classes=10).eval(), torch.randn(1, 3, 64, 64)
    left = [costs.macs(cut(whole, x, share), x) / costs.macs(whole, x) for share in (0.3, 0.5, 0.7, 0.9)]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.1


def test_what_is_cut_is_rounded_to_the_nearest_number_of_channels():
    whole, x = timm.create_model("mobilenetv2_050", num_classes=10).eval(), torch.randn(1, 3, 64, 64)
    assert costs.macs(cut(whole, x, 0.01), x) > 0.97 * costs.macs(whole, x)  # not 8 channels of each layer
    wide = {name: m.out_channels for name, m in whole.named_modules() if isinstance(m, nn.Conv2d)}
    for name, layer in cut(whole, x, 0.3).named_modules():
        if isinstance(layer, nn.Conv2d):
            assert abs(layer.out_channels - max(8, 0.7 * wide[name])) <= 4.8, name  # a score less, where many are equal


def test_multiplications_of_attention_count():
    vit = timm.create_model("vit_micro", num_classes=10).eval()
    tokens, width, blocks = 50, 128, 6
    layers = blocks * tokens * (3 + 1 + 4 + 4) * width**2  # qkv, proj, fc1, fc2
    scores = blocks * 2 * tokens**2 * width
    ends = 49 * width * 3 * 16 + width * 10
    assert costs.macs(vit, torch.zeros(1, 3, 28, 28)) == layers + scores + ends


def test_transformers_lose_whole_heads_and_the_weakest_first():
    vit = models.networks.create("vit_micro", None, num_classes=10).eval()
    attention = vit.blocks[0].attn
    with torch.no_grad():
        attention.proj.weight[:, 32:64] *= 0.01  # the second of four heads hardly writes anything
    smaller = cut(vit, torch.zeros(1, 3, 28, 28), 0.5).blocks[0].attn
    assert (smaller.num_heads, smaller.qkv.out_features, smaller.proj.in_features) == (3, 3 * 96, 96)
    rows = torch.cat([torch.arange(0, 32), torch.arange(64, 128)])
    assert torch.equal(smaller.qkv.weight[:96], attention.qkv.weight[rows])


def test_other_attention_and_other_networks_are_refused():
    swin2 = timm.models.SwinTransformerV2(
        img_size=32, patch_size=4, window_size=4, embed_dim=24, depths=(1,), num_heads=(1,), num_classes=5
    )
    with pytest.raises(UnsupportedError, match="attention of a kind that cannot be pruned"):
        cut(swin2, torch.zeros(1, 3, 32, 32), 0.5)

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 64, 3), nn.Linear(64, 5)

        def forward(self, x):
            return self.head(self.conv(x).view(len(x), 64, -1).mean(-1))

    with pytest.raises(UnsupportedError, match="Fixed cannot be pruned"):
        cut(Fixed(), torch.zeros(1, 3, 32, 32), 0.5)


def test_the_search_finds_the_least_cut_and_says_when_there_is_none():
    def cost(module):  # goes down in steps
        return round(1 - 0.8 * module.p, 1)

    found = search(nn.Dropout, cost, 0.65, lambda line: None)
    assert (found.met, found.reached) == (True, 0.6)
    assert 0.43 < found.cut < 0.46
    deepest = search(nn.Dropout, cost, 0.2, lambda line: None)
    assert (deepest.met, deepest.reached, deepest.cut) == (False, 0.3, 0.9)


def test_statistics_are_the_mean_over_the_batches():
    layer = nn.BatchNorm2d(2)
    batches = [torch.randn(4, 2, 5, 5) * 3 + 1, torch.randn(6, 2, 5, 5)]
    statistics.estimate(net := nn.Sequential(layer), iter([*batches, torch.full((1, 2, 5, 5), 1e6)]))
    mean = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    torch.testing.assert_close(layer.running_mean, mean)
    assert (net.training, layer.momentum) == (False, 0.1)


def test_statistics_are_those_without_dropout_and_draw_nothing():
    """BatchNorms see what they see in the file; images are asked for one batch after the other."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.5), layer := nn.BatchNorm2d(4))
    at_once: list[int] = []

    def batches():
        for _ in range(3):
            at_once.append(int(layer.num_batches_tracked))
            yield torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0))

    before = torch.get_rng_state()
    statistics.estimate(net, batches())
    assert torch.equal(torch.get_rng_state(), before)
    assert at_once == [0, 1, 2]
    seen = net[0](next(batches()))
    torch.testing.assert_close(layer.running_var, seen.var((0, 2, 3)).detach())
    assert not any(part.training for part in net.modules())


def test_a_pruned_run_is_a_model(run, photos, tmp_path):
    out = tmp_path / "small"
    card = prune_run(Goal(0.5), asked(photos, run), out, steps=2, distill=True)
    assert card.finished
    assert card.pruned.met
    assert card.pruned.reached == pytest.approx(card.pruned.macs[1] / card.pruned.macs[0], abs=1e-4)
    assert 0.3 < card.pruned.reached <= 0.5
    assert {p.name for p in tmp_path.iterdir()} == {"small"}
    model = models.load(recipe := Recipe(str(out), "torch"), models.plan(recipe))
    state = load_file(out / trained.WEIGHTS)
    assert sum(v.numel() for k, v in model.module.named_parameters()) == card.pruned.params[1]
    assert all(torch.equal(v, state[k]) for k, v in model.module.named_parameters())
    further = train(asked(photos, out, epochs=1), tmp_path / "further")
    assert further.pruned == card.pruned
    artifact = edgekit.export(Recipe(str(tmp_path / "further"), "torch"), tmp_path / "made")
    assert artifact.manifest.labels == 3


def test_without_fine_tuning_the_cut_is_the_run(run, photos, tmp_path):
    card = prune_run(Goal(0.6, "params"), asked(photos, run), tmp_path / "small", tune=False)
    assert (card.epochs, card.finished, card.pruned.how) == (0, True, "parameters")
    assert card.val.top1 == card.pruned.val_top1[2]


def test_a_killed_run_goes_on_from_its_last_step(run, photos, tmp_path):
    settings = asked(photos, run)
    prune_run(Goal(0.5), settings, tmp_path / "straight", steps=2)

    def stop(total):
        raise KeyboardInterrupt

    said = []
    with pytest.raises(KeyboardInterrupt):
        prune_run(Goal(0.5), settings, tmp_path / "small", steps=2, progress=stop)
    with pytest.raises(RequestError, match=r"begun with other settings: keep was 0\.5, now 0\.4"):
        prune_run(Goal(0.4), settings, tmp_path / "small", steps=2, resume=True)
    with pytest.raises(RequestError, match="holds a prune that was cut short"):
        prune_run(Goal(0.5), settings, tmp_path / "small", steps=2)
    inner = msgspec.structs.replace(settings, model=str(tmp_path / "small.steps" / "cut-1"))
    with pytest.raises(RequestError, match=r"is removed at the end, and .* lies in it"):
        prune_run(Goal(0.5), inner, tmp_path / "small", fresh=True)
    prune_run(Goal(0.5), settings, tmp_path / "small", steps=2, resume=True, say=said.append)
    assert any(line.endswith("cut-1 is there") for line in said)
    assert prune_run(Goal(0.5), settings, tmp_path / "small", steps=2, resume=True).finished
    with pytest.raises(RequestError, match="model_sha256 was"):
        prune_run(Goal(0.5), asked(photos, tmp_path / "straight"), tmp_path / "small", steps=2, resume=True)
    with pytest.raises(RequestError, match="keep was"):
        prune_run(Goal(0.4), settings, tmp_path / "small", steps=2, resume=True)
    with pytest.raises(RequestError, match="no prune to go on with"):
        prune_run(Goal(0.5), settings, tmp_path / "other", resume=True)
    small, straight = (load_file(tmp_path / name / trained.WEIGHTS) for name in ("small", "straight"))
    assert all(torch.equal(small[k], straight[k]) for k in straight)


def test_files_of_other_people_stay(run, photos, tmp_path):
    (tmp_path / "small.steps").mkdir()
    (mine := tmp_path / "small.steps" / "notes.txt").write_text("mine")
    for said in ({}, {"fresh": True}, {"resume": True}):
        with pytest.raises(RequestError, match=r"did not make \(notes.txt\)"):
            prune_run(Goal(0.5), asked(photos, run), tmp_path / "small", **said)
    assert mine.read_text() == "mine"


def test_a_share_is_known_after_one_launch(golden_artifact):
    """Two slow files can take the whole budget with their first."""
    plan = dataclasses.replace(costs.TIMED, budget=0)
    assert 0.1 < costs.ratio(golden_artifact, golden_artifact, registry.device("local"), plan) < 10


@pytest.mark.parametrize("budget", [0, 60])
def test_a_clock_too_coarse_gives_no_share(golden_artifact, budget):
    plan = dataclasses.replace(costs.TIMED, budget=budget)
    with pytest.raises(WorkerError, match="too coarse"):
        costs.ratio(golden_artifact, golden_artifact, Costly({"litert": 3000}, step_ns=4000), plan)


def test_what_answers_probabilities_is_not_pruned(photos, tmp_path):
    with pytest.raises(UnsupportedError, match="ends in a softmax and answers probabilities"):
        prune_run(Goal(0.5), asked(photos, "py:nets:ends_in_softmax", input_size=(32, 32)), tmp_path / "out")


def test_classes_must_be_known(photos, tmp_path):
    from test_data import write_idx

    with pytest.raises(DataError, match=r"knows 10 classes .* the images show 3"):
        prune_run(Goal(0.5), asked(photos, "mobilenetv2", weights="bundled"), tmp_path / "small")
    (tmp_path / "idx").mkdir()
    write_idx(tmp_path / "idx", "train", [i % 10 for i in range(40)])
    with pytest.raises(DataError, match=r"\('T-shirt/top' there, '0' here\)") as error:
        prune_run(Goal(0.5), asked(tmp_path / "idx", "vit_micro", weights="bundled"), tmp_path / "small")
    assert "--classes FILE" in error.value.hint
    assert "edgekit train vit_micro" in error.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["idx"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "how small?"),
        (["--keep-macs", "0.5", "--keep-params", "0.5"], "how small?"),
        (["--keep-macs", "1"], "--keep-macs is 1"),
        (["--keep-latency", "nan"], "--keep-latency is nan"),
        (["--keep-macs", "0.5", "--temperature", "2"], "--temperature means nothing without --distill"),
        (["--keep-macs", "0.5", "--int8"], "--int8 means nothing without --keep-latency"),
        (["--keep-latency", "0.5", "--int8", "--scheme", "fp16"], "exclude each other"),
        (["--keep-latency", "0.5", "--target", "tflit"], "unknown target"),
        (["--keep-latency", "0.5", "--target", "torch"], "torch is the reference"),
        (["--keep-latency", "0.5", "--on", "arm65"], "unknown device"),
        (["--keep-macs", "0.5", "--resume", "--fresh"], "exclude each other"),
        (["--keep-latency", "0.5", "--on", "adb"], "a phone opens whole artifacts"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, photos, tmp_path, flags, message):
    done = CliRunner().invoke(main, ["prune", str(run), "--data", str(photos), "-o", str(tmp_path / "x"), *flags])
    assert message in done.output
    assert done.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_goal_that_cannot_be_met_keeps_the_smallest(run, photos, tmp_path):
    out = tmp_path / "x"
    command = ["prune", run, "--data", photos, "-o", out, "--keep-macs", "0.001", "--epochs", "0", "--workers", "0"]
    done = CliRunner().invoke(main, [*map(str, command), "--json"])
    assert done.exit_code == 1, done.output
    card = json.loads(done.stdout)
    assert not card["pruned"]["met"]
    assert "the goal cannot be met" in done.stderr
    assert trained.read(out).pruned == msgspec.convert(card["pruned"], trained.Pruned)


def test_a_grey_network_is_pruned(photos, tmp_path):
    train(asked(photos, "lenet5", weights="random", lr=1e-3), tmp_path / "grey")
    card = prune_run(Goal(0.7), asked(photos, tmp_path / "grey"), tmp_path / "small", tune=False)
    assert card.pruned.met
    other = models.load(recipe := Recipe(str(tmp_path / "small"), "torch"), models.plan(recipe)).module
    assert heads.set_classes(other, 5)(torch.zeros(1, 1, 28, 28)).shape == (1, 5)  # on as many features as are left
    found = edgekit.prune(models.networks.create("lenet5", None).eval(), torch.randn(2, 1, 28, 28), keep_macs=0.7)
    assert found.met


def test_the_file_of_a_grey_network_is_timed(tmp_path):
    whole = models.load(recipe := Recipe("lenet5", "onnx", weights="random"), models.plan(recipe))
    timed = costs.of(Goal(0.5, "latency", "onnx", "int8"), whole, torch.zeros(1, 1, 28, 28), tmp_path)
    assert timed.whole.is_file()


def test_latency_is_that_of_the_exported_file(monkeypatch):
    monkeypatch.setattr(sys.modules["edgekit.pruning.search"], "ROUNDS", 2)  # the package has a function of that name
    module = models.networks.create("vit_micro", None, num_classes=10).eval()
    found = edgekit.prune(module, torch.randn(2, 3, 28, 28), keep_latency=0.9, target="onnx", say=(said := []).append)
    assert said[0].startswith("without 90% of each layer")
    assert found.reached > 0
    assert found.module.blocks[0].mlp.fc1.out_features < 512


@pytest.mark.parametrize(
    "examples",
    [torch.zeros(3, 28, 28), torch.zeros(1, 1, 28, 28), torch.zeros(1, 2, 28, 28), torch.zeros(1, 3, 28, 28).int()],
)
def test_examples_that_the_module_does_not_take(examples):
    with pytest.raises(RequestError, match="examples"):
        edgekit.prune(models.networks.create("vit_micro", None, num_classes=10), examples, keep_macs=0.5)


def test_a_loop_of_your_own(tmp_path, photos):
    """docs/your-own-loop.md, as it stands there."""
    page = (Path(__file__).parent.parent / "docs" / "your-own-loop.md").read_text("utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    code = code.replace('"my_photos"', repr(str(photos))).replace('"build/', f'"{tmp_path}/')
    names = {}
    exec(compile(code, "your-own-loop.md", "exec"), names)
    assert names["small"].met
    made = edgekit.load(tmp_path / "mine-onnx-int8")
    assert (made.manifest.scheme, made.manifest.proof.passed) == ("int8-static", True)
