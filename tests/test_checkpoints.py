"""Checkpoints as trainers write them, and damaged ones: what is read of them, and which of their tensors are a module's."""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import io
import os
import pathlib
import pickle
import sys
import types
import uuid
import zipfile

import nets
import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from edgekit import models
from edgekit.errors import RequestError, WeightsError
from edgekit.models import checkpoints, weights
from edgekit.models.origins import module as given
from edgekit.recipe import Recipe

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def state():
    return nets.tiny().state_dict()


@pytest.fixture(scope="module")
def other(state):
    return {name: torch.zeros_like(value) for name, value in state.items()}


def fill(content, folder):
    """A blank net, filled from a file of this content; and what is said."""
    torch.save(content, folder / "w.pth")
    net = nets.tiny()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 9)
    return net, weights.load_into(net, checkpoints.read_state(folder / "w.pth"), "w.pth")


def same(net, state):
    return all(torch.equal(value, state[name]) for name, value in net.state_dict().items() if "num_" not in name)


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


class AttributeDict(dict):
    """As Lightning keeps its hyper_parameters."""


@pytest.fixture
def lightning(monkeypatch):
    """A package of settings that is there while the file is written, and not when it is read."""
    module = types.ModuleType("lightning.fabric.utilities.data")
    module.AttributeDict = AttributeDict
    monkeypatch.setattr(AttributeDict, "__module__", module.__name__)
    for name in ("lightning", "lightning.fabric", "lightning.fabric.utilities"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def filled(dictionary, **values):
    dictionary.update(values)
    return dictionary


DATA = {
    "argparse": argparse.Namespace(lr=0.1, output=pathlib.Path("out"), seed=np.int64(3)),
    "numpy": [np.float64(1), np.float32(1), np.int64(1), np.bool_(1), np.arange(3), np.dtype("float16"), np.array(["a"])],
    "random states": [np.random.get_state(), np.random.default_rng(1), torch.get_rng_state()],
    "paths": [pathlib.Path("a"), pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a")],
    "times": [datetime.datetime.now(datetime.UTC), datetime.date(2026, 1, 1), datetime.timedelta(1)],
    "numbers": [decimal.Decimal("1.5"), fractions.Fraction(1, 3), 1j, uuid.UUID(int=3)],
    "collections": [
        filled(collections.defaultdict(list), a=[1]), collections.deque([1, 2], 5), collections.Counter("aab"),
        collections.OrderedDict(a=1), frozenset([1]), {1, 2}, range(3), slice(1), b"bytes", types.SimpleNamespace(a=1),
    ],
    "torch": [torch.float16, torch.Size([1]), torch.device("cpu"), torch.__version__],
}  # fmt: skip


@pytest.mark.parametrize("kind", DATA)
def test_what_training_leaves_beside_the_tensors_is_no_obstacle(state, tmp_path, kind):
    net, said = fill({"state_dict": state, "beside": DATA[kind]}, tmp_path)
    assert same(net, state)
    assert not said


def test_settings_of_a_package_that_is_not_installed_are_left_out(state, tmp_path, lightning):
    settings = filled(AttributeDict(), lr=0.1)
    settings.more = 3
    net, _ = fill({"state_dict": under("model.", state), "hyper_parameters": settings}, tmp_path)
    assert same(net, state)


class Option(enum.Enum):
    ONE = 1


class Run:
    def __reduce__(self):
        return eval, ("__import__('pathlib').Path('ran').touch()",)


class Constructed:
    """A call of a type that is left out, with arguments that the type itself would choke on or do something with."""

    def __init__(self, kind, *given):
        self.what = kind, given

    def __reduce__(self):
        return self.what


def test_a_call_of_what_is_left_out_does_nothing(state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hostile = [
        Constructed(pathlib.PosixPath, 3, {"a": 1}),
        Constructed(collections.deque, 10**12, -5),
        Constructed(np.dtype, "no dtype", object),
        Constructed(range, "a", "b", "c", "d"),
        Constructed(decimal.Decimal, "not a number"),
    ]
    net, _ = fill({"model": state, "args": hostile}, tmp_path)
    assert same(net, state)
    for value, name in (
        (Run(), "eval"),
        (Option.ONE, r"test_checkpoints\.Option"),
        (nets.tiny(), r"torch\.nn\.modules\."),
    ):
        with pytest.raises(WeightsError, match=rf"wants to run code \({name}"):
            fill({"state_dict": state, "args": argparse.Namespace(), "more": value}, tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {**under("model.", s), "criterion.weight": torch.ones(3), "val_acc.total": torch.ones(1)},
        lambda s: under("model.model.", s),
        lambda s: under("backbone.", s),
        lambda s: under("module._orig_mod.", s),
        lambda s: {name.replace(".", "._orig_mod.", 1): value for name, value in s.items()},
        lambda s: {name.replace(".", ".module.", 1): value for name, value in s.items()},
        lambda s: {"weights": s},
        lambda s: {"net_state_dict": under("net.", s)},
        lambda s: {"best": {"checkpoint": {"whatever": under("a.b.c.", s)}}, "optimizer": {"state": {0: {"m": s["0.weight"]}}}},
        lambda s: [s, {"epoch": 3}],
        lambda s: collections.defaultdict(int, s),
        lambda s: {**under("student.", s), **under("teacher.", s)},  # which of them does not matter
        lambda s: {name: value for name, value in s.items() if not name.endswith("num_batches_tracked")},
    ],
)  # fmt: skip
def test_the_tensors_are_found_whatever_they_are_wrapped_in(state, tmp_path, wrap):
    net, said = fill(wrap(state), tmp_path)
    assert same(net, state)
    assert not said


def test_half_the_precision_is_taken_in_full(state, tmp_path):
    halves = {name: value.to(torch.bfloat16) if value.is_floating_point() else value for name, value in state.items()}
    net, _ = fill(halves, tmp_path)
    assert torch.equal(net[0].weight, halves["0.weight"].float())


def test_a_module_in_a_wrapper_is_filled_with_what_is_inside(state):
    net = nn.ModuleDict({"net": nets.tiny()})
    weights.load_into(net, {name: value + 1 for name, value in state.items()}, "w.pth")
    assert torch.equal(net["net"][0].weight, state["0.weight"] + 1)


@pytest.mark.parametrize(
    ("place", "wrap"),
    [
        ("'state_dict_ema'", lambda s, o: {"state_dict": o, "state_dict_ema": s}),
        ("'ema_state_dict'", lambda s, o: {"ema_state_dict": s, "state_dict": o}),
        (
            "'model_ema.module'",
            lambda s, o: {"model": o, "model_ema": {"n_averaged": torch.ones(()), **under("module.", s)}},
        ),
        ("'modelEMA'", lambda s, o: {"model": o, "modelEMA": s}),
        ("'state_dict.ema_model'", lambda s, o: {"state_dict": {**under("model.", o), **under("ema_model.", s)}}),
    ],
)
def test_averaged_weights_are_preferred_and_said(state, other, tmp_path, place, wrap):
    net, said = fill(wrap(state, other), tmp_path)
    assert same(net, state)
    assert said.startswith(
        f"the averaged weights of the file were taken, {place}, not 'state_dict" if "state" in place else "the averaged"
    )


@pytest.mark.parametrize(
    ("wrap", "says", "hint"),
    [
        (lambda s, o: {**under("student.", s), **under("teacher.", o)}, "more than once.*'student'; 'teacher'", "one of them alone, such as 'student'"),
        (lambda s, o: {"a": {"conv.weight": torch.ones(3)}}, "none of the model's 16 tensors .* but a.conv.weight", "name"),
        (lambda s, o: under("m.", dict(list(s.items())[1:])), "under 'm' does not .*: 0.weight is not in the file(?: [(]|$)", "name"),
        (lambda s, o: {**s, "more.weight": torch.ones(2)}, "more.weight is not in the model(?: [(]|$)", "name"),
        (lambda s, o: {**s, "10.weight": torch.ones(9, 32), "10.bias": torch.ones(9)}, r"\[9, 32\]", "of 9 classes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_its_place(state, other, tmp_path, wrap, says, hint):
    with pytest.raises(WeightsError, match=says) as caught:
        fill(wrap(state, other), tmp_path)
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "efficientformerv2_s0"])
def test_a_network_with_two_heads_loads_with_its_classes(tmp_path, name):
    import timm

    torch.manual_seed(1)
    made = timm.create_model(name, num_classes=3).state_dict()
    torch.save({"state_dict": under("model.", made), "args": argparse.Namespace()}, tmp_path / "w.pth")
    recipe = Recipe(model=f"timm:{name}", target="onnx", weights=str(tmp_path / "w.pth"))
    loaded = models.load(recipe, models.plan(recipe))
    assert len(loaded.labels) == 3
    assert all(torch.equal(loaded.module.state_dict()[k], v) for k, v in made.items() if "head" in k)


KINDS = {
    "int32": lambda v: v.to(torch.int32),
    "bool": lambda v: v > 0,
    "complex64": lambda v: v * 1j,
    "float8_e4m3fn": lambda v: v.to(torch.float8_e4m3fn),
    "sparse": lambda v: v.to_sparse(),
    "quantized": lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8),
    r"without numbers \(device meta\)": lambda v: v.to("meta"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_another_kind_are_refused(state, tmp_path, kind):
    changed = {name: KINDS[kind](value) if value.is_floating_point() else value for name, value in state.items()}
    with pytest.raises(WeightsError, match=f"w.pth is {kind}, the model's float32") as caught:
        fill(changed, tmp_path)
    assert "float" in caught.value.hint


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_the_file_of_a_quantized_model_is_told_from_a_wrong_one(tmp_path):
    with pytest.raises(WeightsError, match=r"10.weight is not in the file") as caught:
        fill(quantized().state_dict(), tmp_path)
    assert "quantized model" in caught.value.hint


class Keeping(nn.Module):
    """Keeps something beside its tensors."""

    def __init__(self, kept=1):
        super().__init__()
        self.weight, self.kept = nn.Parameter(torch.ones(2)), kept

    def get_extra_state(self):
        return {"kept": self.kept}

    def set_extra_state(self, state):
        self.kept = state["kept"]


def test_extra_state_travels_with_the_weights(tmp_path):
    module = nn.Sequential(Keeping())
    assert len(weights.digest(module)) == 64
    torch.save({"model": nn.Sequential(Keeping(5)).state_dict()}, tmp_path / "w.pth")
    weights.load_into(module, checkpoints.read_state(tmp_path / "w.pth"), "w.pth")
    assert module[0].kept == 5
    with pytest.raises(WeightsError, match="_extra_state is not in the file"):
        weights.load_into(module, {"0.weight": torch.ones(2)}, "w.pth")
    torch.save(nn.Sequential(Keeping(pathlib.Path("a"))).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="may hold objects that are not read"):
        checkpoints.read_state(tmp_path / "w.pth")


def scripted():
    return torch.jit.script(nets.tiny())


def quantized():
    return torch.ao.quantization.quantize_dynamic(nets.tiny().eval(), {nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "says"), [(scripted, "TorchScript program"), (quantized, r"in [\d.]*10, is quantized already")]
)
def test_a_module_that_is_no_float_network_is_refused_in_one_line(make, says):
    with pytest.raises(RequestError, match=says) as caught:
        given.check("py:mine:build", make())
    assert "a function that returns" in caught.value.hint
    with pytest.raises(RequestError, match=says):
        given.check("py:mine:build", nn.Sequential(nn.Identity(), nn.Sequential(make())))


def written(state, how):
    """The bytes of a checkpoint."""
    if how == "safetensors":
        return save(state)
    blob = io.BytesIO()
    content = {"state_dict": state, "args": argparse.Namespace(lr=np.float64(1))}
    torch.save(content, blob, _use_new_zipfile_serialization=how == "zip")
    return blob.getvalue()


def damaged(blob, rng):
    """Bits turned over, bytes lost or put in, the end cut off, anywhere or in the last kilobyte, where a zip has its table."""
    data = bytearray(blob)
    begin = int(rng.choice([0, 0, max(len(data) - 1500, 0)]))
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(begin, len(data)))
        match int(rng.integers(5)):
            case 0 | 1:
                data[at] ^= 1 << int(rng.integers(8))
            case 2:
                data[at : at + 4] = rng.bytes(4)
            case 3:
                del data[at : at + int(rng.integers(1, 30))]
            case 4 if len(data) > 100:
                del data[max(at, 50) :]
                begin = 0
    return bytes(data)


@pytest.mark.parametrize("how", ["zip", "legacy", "safetensors"])
def test_damage_is_one_line(tmp_path, how):
    """As many as CI has time for; `EDGEKIT_DAMAGED=1000` tries more."""
    blob, path = written(nn.Linear(4, 3).state_dict(), how), tmp_path / "w.pth"
    rng = np.random.default_rng([3, len(how)])
    for _ in range(int(os.environ.get("EDGEKIT_DAMAGED", 25))):
        path.write_bytes(damaged(blob, rng))
        try:
            weights.load_into(nn.Linear(4, 3), checkpoints.read_state(path), "w.pth")
        except WeightsError as error:
            assert "\n" not in error.message + error.hint  # noqa: PT017
            assert error.message.isprintable()  # noqa: PT017


def test_a_tensor_with_one_wrong_bit_is_told_by_its_checksum(tmp_path):
    blob, path = bytearray(written(state := nn.Linear(4, 3).state_dict(), "zip")), tmp_path / "w.pth"
    blob[blob.index(state["weight"].numpy().tobytes()) + 5] ^= 1
    path.write_bytes(blob)
    with pytest.raises(WeightsError, match=r"the checksum of \S*/data/\d is another"):
        checkpoints.read_state(path)


def test_a_file_without_checksums_is_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(nn.Linear(4, 3).state_dict(), tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert set(checkpoints.read_state(tmp_path / "w.pth")) == {"weight", "bias"}


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", pickle.dumps("x" * 1_000_000, 2))
    with pytest.raises(WeightsError, match="unpack to 1,0"):
        checkpoints.read_state(tmp_path / "w.pth")


def test_a_pickle_that_asks_for_memory_is_refused(state, tmp_path):
    with pytest.raises(WeightsError, match="holds a bytearray"):
        fill({"model": state, "args": Constructed(bytearray, 30_000_000)}, tmp_path)


def test_dictionaries_in_each_other_end(state, tmp_path):
    nest = {"sd": state}
    for _ in range(40):  # 2**40 paths
        nest = {"a": nest, "b": nest}
    nest["a"]["again"] = nest
    torch.save(nest, tmp_path / "w.pth")
    assert len(checkpoints.read_state(tmp_path / "w.pth")) == len(state)
