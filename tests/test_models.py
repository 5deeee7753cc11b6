import contextlib
import json
import os
import pickle
import re
import socket
import sys
import threading
import time
import zipfile

import model_figures
import pytest
import torch
from conftest import GOLDEN
from safetensors.torch import save_file

from edgekit import models, zoo
from edgekit.errors import DataError, MissingError, RequestError, UnknownNameError, UnsupportedError, WeightsError
from edgekit.models import checkpoints, heads, hub, networks, settling
from edgekit.recipe import Recipe

pytestmark = pytest.mark.full


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    """No test waits for a network; the hub's own switch is what a user would set too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def recipe(model="mobilenetv2_050", **options):
    return Recipe(model=model, target="tflite", **options)


def load(r):
    return models.load(r, models.plan(r))


def test_every_alias_is_a_network_with_weights():
    import timm

    bundled = {"vit_micro", "swin_micro", "unet_micro", "yolox_micro"}
    for alias, name in zoo.ALIASES.items():
        config = timm.get_pretrained_cfg(name)
        assert config is not None, alias
        assert bool(config.hf_hub_id) == bool(zoo.figures()[alias].licence), alias
        assert config.hf_hub_id or alias in bundled | set(zoo.FILES), alias


@pytest.mark.parametrize("alias", ["lenet5", "mobilenetv3_small", "dino_small"])
def test_the_figures_of_the_list_are_those_of_the_networks(alias):
    assert model_figures.figures(alias) == zoo.figures()[alias]


def test_lenet5_pads_the_images_of_mnist_with_black(tmp_path):
    file = tmp_path / "mnist_cnn.pt"
    torch.save(load(recipe("lenet5", weights="random")).module.state_dict(), file)
    small, large = (load(recipe("lenet5", weights=str(file), input_size=(side, side))) for side in (28, 32))
    assert small.preprocess.channels == 1
    assert len(small.labels) == 10
    picture = torch.zeros(1, 1, 32, 32)
    picture[..., 2:-2, 2:-2] = torch.rand(28, 28)
    normal = (picture - small.preprocess.mean[0]) / small.preprocess.std[0]
    with torch.no_grad():
        torch.testing.assert_close(small.module(normal[..., 2:-2, 2:-2]), large.module(normal))
    with pytest.raises(UnsupportedError, match="does not take a 24x24 image"):
        models.plan(recipe("lenet5", weights="random", input_size=(24, 24)))


def test_weights_that_no_hub_has_are_said_to_lie_elsewhere():
    with pytest.raises(
        WeightsError, match=r"--weights FILE \(github.com/khushbujpatel/lenet_mnist: mnist_cnn.pt\), or"
    ):
        models.plan(recipe("lenet5"))


def test_googlenet_takes_torchvisions_file(tmp_path):
    import torchvision

    theirs = torchvision.models.googlenet(init_weights=False, aux_logits=True, transform_input=True).eval()
    file = tmp_path / "googlenet-1378be20.pth"
    torch.save(theirs.state_dict(), file)
    made = load(recipe("googlenet", weights=str(file)))
    assert made.preprocess.mean == (0.5, 0.5, 0.5)
    pixels = torch.rand(1, 3, 224, 224)
    usual = (pixels - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    with torch.no_grad():
        torch.testing.assert_close(made.module((pixels - 0.5) / 0.5), theirs(usual), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "googlenet"])
def test_torchvisions_networks_take_three_channels(name):
    with pytest.raises(UnsupportedError, match="takes 3 channels, not 1"):
        networks.create(name, None, in_chans=1)


@pytest.mark.parametrize("name", ["vit_micro", "swin_micro"])
def test_our_own_networks_take_other_sizes_and_claim_no_imagenet(name):
    with pytest.raises(WeightsError, match="the hub has none"):
        models.plan(recipe(name, weights="imagenet"))
    made = load(recipe(name, weights="random", input_size=(56, 56)))
    assert (made.family, made.preprocess.crop_pct) == ("attention", 1.0)


def test_random_weights_follow_the_seed():
    a, b, c = (load(recipe(weights="random", seed=s)) for s in (1, 1, 2))
    assert a.weights.sha256 == b.weights.sha256 != c.weights.sha256
    assert a.labels[0] == "class 0" or len(a.labels) == 1000
    assert "random" in a.weights.knows


def test_the_callers_own_draws_go_on_as_if_nothing_had_been_drawn():
    torch.manual_seed(8)
    before = torch.get_rng_state()
    net = load(recipe("py:nets:tiny", seed=3)).module
    heads.set_classes(net, 3, anew=True)
    heads.give(torch.nn.Flatten(), 4, 2)
    settling.settle(net, torch.zeros(2, 3, 32, 32))
    assert torch.equal(torch.get_rng_state(), before)


class Convolved(torch.nn.Module):
    """A classifier whose last layer is a convolution."""

    def __init__(self):
        super().__init__()
        self.last = torch.nn.Conv2d(3, 5, 1)

    def get_classifier(self):
        return self.last


def test_a_head_of_another_kind_is_kept_or_refused():
    net = Convolved()
    assert heads.set_classes(net, 5).last is net.last
    with pytest.raises(UnsupportedError, match=r"Convolved ends in Conv2d, not in a linear layer"):
        heads.set_classes(net, 3)
    with pytest.raises(UnsupportedError, match="no part of it"):
        heads.set_classes(torch.nn.Linear(2, 2), 3)


def test_auto_takes_the_package_when_there_is_no_hub_and_says_why():
    choice = models.plan(recipe("efficientnet_lite0")).choice
    assert choice.source == "package"
    assert "hub" in choice.why
    assert "package" in choice.why


def test_auto_takes_what_is_bundled_last():
    planned = models.plan(recipe("mobilenetv2"))
    assert planned.choice.source == "bundled"
    assert planned.preprocess.input_size == (224, 224)
    loaded = models.load(recipe("mobilenetv2"), planned)
    assert "clothes" in loaded.weights.knows
    assert loaded.labels[9] == "Ankle boot"


def test_auto_prefers_the_hub_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "cached", lambda hub_id: tmp_path / "model.safetensors")
    choice = models.plan(recipe("efficientnet_lite0")).choice
    assert (choice.source, choice.path) == ("imagenet", tmp_path / "model.safetensors")


def test_a_cached_checkpoint_loads_through_timm(monkeypatch, tmp_path):
    import timm

    torch.manual_seed(3)
    cached = tmp_path / "model.safetensors"
    save_file(timm.create_model("mobilenetv2_050").state_dict(), cached)
    monkeypatch.setattr(hub, "cached", lambda hub_id: cached)
    loaded = load(recipe())
    assert loaded.weights.source == "imagenet"
    assert loaded.labels[285] == "Egyptian cat"
    assert loaded.weights.sha256 != load(recipe(weights="random")).weights.sha256


def test_auto_never_ends_at_random():
    with pytest.raises(WeightsError, match="no weights for mobilenetv2_050") as caught:
        models.plan(recipe())
    assert "--weights random" in caught.value.hint


def test_imagenet_never_falls_back():
    with pytest.raises(WeightsError, match="cannot be had") as caught:
        models.plan(recipe("mobilenetv2", weights="imagenet"))
    assert "--weights bundled" in caught.value.hint


OK, MISSING, EMPTY = "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "Content-Length: 0\r\nConnection: close\r\n\r\n"
HUB = "X-Repo-Commit: 0123abc"


def moved(code, *headers):
    return "\r\n".join((f"HTTP/1.1 {code} Moved", *headers, "Location: /cache/config.json", EMPTY))


@pytest.fixture
def serve(monkeypatch):
    """`serve(replies)`: a server in the hub's place. It gives the reply whose key the first line of a request holds; None says nothing."""
    with contextlib.ExitStack() as stack:

        def start(replies):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            kept = []

            def answer():
                while True:
                    try:
                        connection, _ = server.accept()
                    except OSError:  # the test is over
                        return
                    kept.append(connection)
                    line = connection.recv(65536).decode().partition("\r\n")[0]
                    reply = next(reply for key, reply in replies.items() if key in line)
                    if reply is not None:
                        connection.sendall(reply.encode("latin1"))
                        connection.close()

            threading.Thread(target=answer, daemon=True).start()
            address(f"http://127.0.0.1:{server.getsockname()[1]}")

        def address(url):
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
            template = url + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)

        start.address = address
        yield start


@pytest.mark.parametrize(
    ("replies", "trouble"),
    [
        ({"": f"{OK}\r\n{HUB}\r\n{EMPTY}"}, None),
        ({"/cache/": f"{OK}\r\n{EMPTY}", "": moved(302, HUB)}, None),
        ({"/cache/": f"{MISSING}\r\n{EMPTY}", "": moved(307, HUB)}, None),
        ({"/cache/": f"{OK}\r\n{HUB}\r\n{EMPTY}", "": moved(307)}, None),
        ({"/cache/": f"{OK}\r\n{EMPTY}", "": moved(307)}, "what answers is not a Hugging Face hub"),
        ({"": f"{OK}\r\n{EMPTY}"}, "what answers is not a Hugging Face hub"),
        ({"": f"{MISSING}\r\n{EMPTY}"}, "the hub answers 404 for timm/x"),
        ({"": "\0\xff garbage\nof several\nlines"}, "what answers is not a web server"),
        ({"": ""}, "the hub is not reachable (Remote end closed connection without response)"),
    ],
)
def test_a_hub_is_known_by_its_answer(serve, replies, trouble):
    serve(replies)
    assert hub.trouble("timm/x") == trouble


@pytest.mark.parametrize("address", ["nonsense", "ftp://there", "http://a b", "http://there:port"])
def test_an_address_that_is_none_is_said(serve, address, capfd):
    serve.address(address)
    assert hub.trouble("timm/x") == "HF_ENDPOINT is not a web address"
    assert capfd.readouterr().err == ""


def test_a_silent_hub_does_not_hold_an_export_up(serve, monkeypatch):
    serve({"": None})
    monkeypatch.setattr(hub, "PROBE_SECONDS", 1.0)
    assert hub.trouble("timm/x") == "the hub did not answer within 1 s"


def test_a_name_server_that_is_silent_does_not_either(serve, monkeypatch):
    serve.address("http://there")
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: time.sleep(5))
    assert hub.trouble("timm/x") == "the hub did not answer within 0 s"


def test_auto_looks_further_than_a_server_that_is_no_hub(serve, monkeypatch):
    monkeypatch.setattr(hub, "cached", lambda hub_id: None)
    serve({"": f"{OK}\r\n{EMPTY}"})
    choice = models.plan(recipe("mobilenetv2")).choice
    assert choice.source == "bundled"
    assert "not a Hugging Face hub" in choice.why


def test_a_download_that_fails_says_what_else_is_there(serve, monkeypatch):
    """`auto` has said that it takes the hub's: it stops, and names the bundled ones."""
    monkeypatch.setattr(hub, "cached", lambda hub_id: None)
    nothing = f"{MISSING}\r\nX-Error-Code: EntryNotFound\r\n{HUB}\r\n{EMPTY}"
    serve({"config.json": f"{OK}\r\n{HUB}\r\n{EMPTY}", "": nothing})
    with pytest.raises(WeightsError, match=r"cannot be downloaded: .*404") as caught:
        load(recipe("mobilenetv2"))
    assert "--weights bundled" in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_damaged_file_in_the_cache_is_said(monkeypatch, tmp_path):
    cached = tmp_path / "model.safetensors"
    cached.write_bytes((zoo.BUNDLED / "mobilenetv2.safetensors").read_bytes()[:-100])
    monkeypatch.setattr(hub, "cached", lambda hub_id: cached)
    with pytest.raises(WeightsError, match=r"model\.safetensors: .*cut short") as caught:
        load(recipe("mobilenetv2"))
    assert "delete it" in caught.value.hint


def test_unknown_models_offer_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        models.plan(recipe("efficientnet_lite9"))
    assert "efficientnet_lite" in caught.value.hint
    with pytest.raises(UnknownNameError) as caught:
        models.plan(recipe("timm:resnet81"))
    assert "resnet18" in caught.value.hint
    for name, instead in (
        ("fcos_resnet50_fpn", "py:torchvision.models.detection:fcos_resnet50_fpn --weights FILE"),
        ("fasterrcnn_resnet50_fpn", "a detector of one stage: ssdlite"),
        ("deeplabv3_resnet50", "py:torchvision.models.segmentation:deeplabv3_resnet50 --weights FILE"),
        ("yolov8n", "def build(): return YOLO('yolov8n.pt').model"),
    ):
        with pytest.raises(RequestError, match=f"unknown model '{name}'") as error:
            zoo.check_name(name)
        assert instead in error.value.hint
    for made in (GOLDEN, GOLDEN / "model.tflite"):
        with pytest.raises(RequestError, match="which is exported already") as error:
            zoo.check_name(str(made))
        assert f"{made}" in error.value.hint
    assert zoo.timm_name("ssdlite320_mobilenet_v3_large") == zoo.timm_name("ssdlite")
    with pytest.raises(UnknownNameError) as caught:  # timm has the network, not the tag
        models.plan(recipe("timm:resnet18.a9_in1k"))
    assert "resnet18.a1_in1k" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "size", "says", "fitting"),
    [
        ("vit_tiny", (200, 200), "patches of 16x16", "192x192 or 208x208 or 224x224"),
        ("vit_tiny", (224, 200), "224x200", "224x192 or 224x208 or 224x224"),
        ("timm:xcit_nano_12_p16_224", (200, 200), "200x200", "192x192 or 224x224"),
        ("timm:vgg11", (8, 8), "8x8", "32x32 or 224x224"),
    ],
)
def test_a_size_that_does_not_fit_is_refused_with_sizes_that_do(name, size, says, fitting):
    with pytest.raises(UnsupportedError, match=says) as caught:
        models.plan(recipe(name, weights="random", input_size=size))
    assert caught.value.hint == f"--input-size {fitting}"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["timm:pvt_v2_b0", "timm:vit_tiny_patch16_224", "swin_tiny", "mobilenetv2_050"])
def test_other_sizes_load_whether_or_not_the_network_must_be_told(name):
    assert load(recipe(name, weights="random", input_size=(160, 192))).preprocess.input_size == (160, 192)


def test_families():
    names = {"mobilenetv2": "cnn", "mobilenetv3_small": "hardswish", "vit_tiny": "attention", "swin_tiny": "attention"}
    for name, family in names.items():
        assert models.plan(recipe(name, weights="random")).family == family


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The state dict of a mobilenetv2_050 with four classes, and a folder to save it in."""
    import timm

    torch.manual_seed(5)
    return timm.create_model("mobilenetv2_050", num_classes=4).state_dict(), tmp_path_factory.mktemp("weights")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {"state_dict_ema": s, "state_dict": {k: v * 0 for k, v in s.items()}},
        lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
        lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}},
        lambda s: {"net": s, "optimizer": {"state": {}}},
        lambda s: {"n_averaged": torch.tensor(3)} | {f"module.{k}": v for k, v in s.items()},
    ],
)
def test_training_wrappers_are_understood(trained, wrap):
    state, folder = trained
    path = folder / "wrapped.pth"
    torch.save(wrap(state), path)
    loaded = load(recipe(weights=str(path)))
    assert len(loaded.labels) == 4
    torch.testing.assert_close(loaded.module.state_dict()["classifier.weight"], state["classifier.weight"])


def test_safetensors_load(trained):
    state, folder = trained
    save_file(state, folder / "w.safetensors")
    assert load(recipe(weights=str(folder / "w.safetensors"))).weights.source == "file"


def test_other_shapes_name_the_first_tensors(trained):
    state, folder = trained
    save_file(state, folder / "other.safetensors")
    with pytest.raises(
        WeightsError, match=re.escape("conv_stem.weight: the file has [16, 3, 3, 3], the model [32, 3, 3, 3]")
    ):
        load(recipe("mobilenetv2", weights=str(folder / "other.safetensors")))


class Bomb:
    def __reduce__(self):
        return (os.system, ("echo boom",))


class Custom:
    pass


def by_pickle(what, path, protocol):
    path.write_bytes(pickle.dumps(what, protocol))


def by_torch(what, path, protocol):
    torch.save(what, path, pickle_protocol=protocol)


def by_old_torch(what, path, protocol):
    torch.save(what, path, pickle_protocol=protocol, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [by_pickle, by_torch, by_old_torch])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_with_code_is_refused_by_its_name(tmp_path, capfd, recwarn, save, protocol):
    path = tmp_path / "bomb.pth"
    for value, name in ((Bomb(), "posix.system"), (Custom(), r"test_models\.Custom")):
        save({"w": torch.zeros(3), "state_dict": value} if save is not by_pickle else value, path, protocol)
        with pytest.raises(WeightsError, match=rf"wants to run code \({name}\) and was not opened"):
            checkpoints.read_state(path)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_a_state_dict_in_a_protocol_that_torch_refuses_is_not_called_code(trained, tmp_path):
    by_torch(trained[0], tmp_path / "w.pth", 4)
    with pytest.raises(WeightsError, match="cannot be read without running it") as caught:
        checkpoints.read_state(tmp_path / "w.pth")
    assert "save_file" in caught.value.hint


@pytest.fixture(scope="module")
def whole(trained):
    """The bytes of one state dict in each format."""
    state, folder = trained
    save_file(state, folder / "whole.safetensors")
    torch.save(state, folder / "whole.pth")
    by_old_torch(state, folder / "whole.old.pth", 2)
    return {p.name: p.read_bytes() for p in folder.glob("whole.*")}


@pytest.mark.parametrize("name", ["whole.safetensors", "whole.pth", "whole.old.pth"])
@pytest.mark.parametrize("length", [40, 100_000])
def test_a_file_that_is_cut_short_is_said(whole, tmp_path, name, length):
    (tmp_path / name).write_bytes(whole[name][:length])
    with pytest.raises(WeightsError, match=r"not a whole checkpoint, the file is cut short(?: [(]|$)"):
        checkpoints.read_state(tmp_path / name)


def test_the_format_is_known_by_the_file_not_by_its_name(whole, tmp_path):
    for name, blob in (("a.safetensors", whole["whole.pth"]), ("a.pth", whole["whole.safetensors"])):
        (tmp_path / name).write_bytes(blob)
        assert "classifier.weight" in checkpoints.read_state(tmp_path / name)


def test_foreign_files_are_said_in_one_line(tmp_path):
    for name, blob, says in (
        ("text.pth", b"hello", "not a checkpoint(?: [(]|$)"),
        ("text.safetensors", b"hello, this is a text", "not a checkpoint(?: [(]|$)"),
        ("json.pt", json.dumps({"a": 1}).encode(), "not a checkpoint(?: [(]|$)"),
        ("empty.pt", b"", "the file is empty(?: [(]|$)"),
        ("empty.safetensors", b"", "the file is empty(?: [(]|$)"),
    ):
        (tmp_path / name).write_bytes(blob)
        with pytest.raises(WeightsError, match=f"{re.escape(name)}: .*{says}") as caught:
            checkpoints.read_state(tmp_path / name)
        assert caught.value.hint
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a/b.txt", "x")
    with pytest.raises(WeightsError, match="another zip archive"):
        checkpoints.read_state(tmp_path / "a.pth")
    torch.jit.script(torch.nn.ReLU()).save(tmp_path / "program.pt")
    with pytest.raises(WeightsError, match="TorchScript"):
        checkpoints.read_state(tmp_path / "program.pt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"epoch": 3, "optimizer": {"state": {}}}, "a dictionary of epoch, optimizer"),
        ({1: torch.zeros(2)}, "a dictionary of 1"),
        ({}, "an empty dictionary"),
        ([1, 2], "one list"),
    ],
)
def test_a_file_without_a_state_dict_says_what_is_in_it(tmp_path, content, says):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=f"no state dict in it, but {says}(?: [(]|$)"):
        checkpoints.read_state(tmp_path / "w.pth")


def test_weights_that_are_no_file_are_refused_before_a_model_is_made(tmp_path):
    with pytest.raises(MissingError, match="there is no weights file"):
        models.plan(recipe(weights=str(tmp_path / "none.pth")))
    (tmp_path / "best.pth").touch()
    with pytest.raises(RequestError, match="is a folder") as caught:
        models.plan(recipe(weights=str(tmp_path)))
    assert caught.value.hint == f"--weights {tmp_path / 'best.pth'}"


@pytest.mark.parametrize("name", ["conv_stem.weight", "bn1.running_var"])
def test_weights_that_are_not_numbers_are_refused(trained, tmp_path, name):
    state = {k: v.clone() for k, v in trained[0].items()}
    state[name].view(-1)[0] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match=rf"not numbers .*: {re.escape(name)}(?: [(]|$)") as caught:
        load(recipe(weights=str(tmp_path / "nan.safetensors")))
    assert "--weights" in caught.value.hint


def test_a_lazy_layer_is_named():
    lazy = torch.nn.Sequential(torch.nn.LazyConv2d(4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(5))
    with pytest.raises(UnsupportedError, match=r"0\.weight of mine has no size yet"):
        models._check_numbers("mine", lazy)


def test_a_module_of_ones_own(tmp_path):
    r = recipe("py:nets:tiny", input_size=(32, 32), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    loaded = load(r)
    assert (loaded.family, len(loaded.labels)) == ("cnn", 5)
    assert loaded.preprocess.mean == (0.1, 0.2, 0.3)
    save_file({k: v + 1 for k, v in loaded.module.state_dict().items()}, tmp_path / "w.safetensors")
    changed = load(
        Recipe(model="py:nets:tiny", target="tflite", weights=str(tmp_path / "w.safetensors"), input_size=(32, 32))
    )
    assert changed.weights.sha256 != loaded.weights.sha256


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("py:nets:none", "no function 'none'"),
        ("py:no_such_module:f", "no module 'no_such_module'"),
        ("py:nets:not_a_module", "returned str"),
        ("py:nets", "does not name a module and a function"),
        ("py:", "does not name a module and a function"),
        ("py:somewhere/nets.py:tiny", "there is no file somewhere/nets.py"),
        ("py:tests/nets:tiny", "tests/nets is no file of Python code"),
        ("py:nets.tiny:f", "no module 'nets.tiny'"),
    ],
)
def test_a_wrong_function_is_said(name, says):
    with pytest.raises(RequestError, match=says) as caught:
        models.plan(recipe(name))
    assert caught.value.hint


NET = "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))\n"


@pytest.mark.parametrize("name", ["py:{stem}:build", "py:{stem}.py:build", "py:{folder}/{stem}.py:build"])
def test_a_function_is_found_in_the_current_folder_and_by_its_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    stem = f"own_net_{abs(hash(name))}"
    (tmp_path / f"{stem}.py").write_text(NET)
    asked = recipe(name.format(stem=stem, folder=tmp_path), input_size=(8, 8))
    planned = models.plan(asked)
    assert planned.architecture == f"py:{stem}:build"  # the path does not go on
    assert asked.folder_name == f"{stem}-build-tflite-fp32"
    assert str(tmp_path) in (sys.path[-1], sys.path[0])
    assert sys.path[0] != str(tmp_path)


def test_a_file_whose_module_is_another_is_refused(tmp_path):
    (tmp_path / "email.py").write_text(NET)
    with pytest.raises(RequestError, match="another 'email' is imported: ") as caught:
        models.plan(recipe(f"py:{tmp_path}/email.py:build"))
    assert caught.value.hint.startswith("another name for ")


def test_a_module_that_is_not_found_says_where_to_start(tmp_path):
    with pytest.raises(RequestError) as caught:
        models.plan(recipe("py:no_such_module:f"))
    assert caught.value.hint.startswith("start edgekit in the folder that holds no_such_module, or name the file")
    with pytest.raises(RequestError) as caught:  # another package of that name comes first
        models.plan(recipe("py:email.no_such_module:f"))
    assert "'email' is " in caught.value.hint


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def f():\n    return None.nothing", "py:NAME:f failed at FILE:2: AttributeError: 'NoneType' object has no"),
        ("def f():\n    raise ValueError('a\\nb')", "py:NAME:f failed at FILE:2: ValueError: a(?: [(]|$)"),
        ("def f():\n    raise KeyError", "py:NAME:f failed at FILE:2: KeyError(?: [(]|$)"),
        ("import torch\ndef f():\n    return torch.nn.Linear(2, -1)", "py:NAME:f failed at FILE:3: RuntimeError"),
        ("def f(classes): pass", "py:NAME:f is called without arguments: .*'classes'"),
        ("def g(classes): pass\ndef f():\n    g()", "py:NAME:f failed at FILE:3: TypeError"),
        ("import torch\nf = torch.nn.Linear(2, 2)", "'f' in NAME is a model"),
        ("import absent_package", "importing NAME failed at FILE:1: there is no module 'absent_package'"),
        ("def f(:\n    pass", "importing NAME failed at FILE:1: SyntaxError"),
        ("1 / 0", "importing NAME failed at FILE:1: ZeroDivisionError"),
        ("import sys\nsys.exit(2)", "importing NAME failed at FILE:2: SystemExit: 2"),
    ],
)
def test_a_function_that_fails_is_said_with_its_line(tmp_path, monkeypatch, code, says):
    name = f"users_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        RequestError, match=says.replace("NAME", name).replace("FILE", re.escape(f"{name}.py"))
    ) as caught:
        models.plan(recipe(f"py:{name}:f"))
    sys.modules.pop(name, None)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_models_that_do_not_take_an_image_are_refused():
    with pytest.raises(UnsupportedError, match="RGB images, 3 channels; the model takes 1") as caught:
        load(recipe("py:nets:takes_one_channel", input_size=(32, 32)))
    assert "--input-size" not in caught.value.hint
    with pytest.raises(UnsupportedError, match="does not take a 8x8 image") as caught:
        load(recipe("py:nets:tiny_attention", input_size=(8, 8)))
    assert "--input-size" in caught.value.hint


def test_labels_must_fit(tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    with pytest.raises(DataError, match="has 2 labels, 'a' to 'b', the model 5 classes"):
        load(recipe("py:nets:tiny", input_size=(32, 32), labels=str(labels)))
    with pytest.raises(DataError, match=r"has 2 labels, 'a' to 'b', the model 1 class(?: [(]|$)") as caught:
        load(recipe("py:nets:one_logit", input_size=(32, 32), labels=str(labels)))
    assert "the one name of what its score is" in caught.value.hint


def test_labels_that_cannot_be_read_are_refused_before_a_model_is_made(tmp_path):
    latin = tmp_path / "latin.txt"
    latin.write_bytes("Bär\n".encode("latin1"))
    for file, says in ((tmp_path / "none", "there is no labels file"), (tmp_path, "a folder"), (latin, "not UTF-8")):
        with pytest.raises(DataError, match=says) as caught:
            models.plan(recipe(weights="random", labels=str(file)))
        assert "one class name per line" in caught.value.hint


def test_labels_saved_by_an_editor_on_windows_lose_its_mark(tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_bytes("a\r\nb\r\nc\r\nd\r\ne\r\n".encode("utf-8-sig"))
    assert load(recipe("py:nets:tiny", input_size=(32, 32), labels=str(labels))).labels == tuple("abcde")
