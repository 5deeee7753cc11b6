"""Which task a network's answers serve, and the module that answers its outputs."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from test_answers import ONE, THREE, Places, Then, pooled
from torch import nn
from torch.nn import functional

from edgekit import models
from edgekit.artifact import Artifact
from edgekit.errors import EdgekitError, RecipeError, RequestError, UnsupportedError, WeightsError
from edgekit.models import adapting
from edgekit.models.picking import joined
from edgekit.models.tracing import look
from edgekit.pipeline import export
from edgekit.recipe import Recipe, check
from edgekit.tasks import Embedding, Segmentation, name_of
from edgekit.tasks.segmentation import Upsample

pytestmark = pytest.mark.full
SIZE = (32, 32)
Pair = namedtuple("Pair", "embedding tokens")


@dataclass
class Output:
    logits: torch.Tensor
    loss: None = None


def patches(x):
    """[1, 16, h, w] -> [1, t, 16]"""
    return x.flatten(2).transpose(1, 2)


def adapted(net, labels=(), own=None, **asked):
    net = net.eval()
    recipe = check(Recipe(model="py:nets:tiny", target="onnx", **asked))
    return adapting.adapt(net, look(net, SIZE), SIZE, recipe, labels, own)


def of_places(then):
    return Places(lambda x: then(ONE(x)))


KINDS = ("a", "b", "c", "d", "e")
FOUND = {
    "labels": (Then(lambda x: x), {"labels": KINDS}, "classification", {"scores": [1, 5]}, "5 labels"),
    "a linear layer": (Then(lambda x: x), {}, "classification", {"scores": [1, 5]}, "ends in a linear layer"),
    "a flag": (Then(torch.relu), {"scores": "logits"}, "classification", {"scores": [1, 5]}, "--scores"),
    "asked": (Then(torch.relu), {"task": "classification"}, "classification", {"scores": [1, 5]}, "as asked"),
    "logits of an object": (Then(Output), {}, "classification", {"scores": [1, 5]}, "logits [1, 5]"),
    "unit length": (Then(functional.normalize), {}, "embedding", {"embedding": [1, 5]}, "of length 1"),
    "a norm": (Then(lambda x: functional.layer_norm(x, (5,))), {}, "embedding", {"embedding": [1, 5]}, "normalisation"),
    "cut after its pooling": (Places(lambda x: pooled(THREE(x).relu())), {}, "embedding", {"embedding": [1, 5]}, "a relu"),
    "a sum": (Then(lambda x: x + x.relu().sqrt()), {}, "embedding", {"embedding": [1, 5]}, "a sum gives"),
    "asked of a linear layer": (Then(lambda x: x), {"task": "embedding"}, "embedding", {"embedding": [1, 5]}, "as asked"),
    "a pair": (Places(lambda x: (pooled(x), patches(x))), {}, "embedding", {"embedding": [1, 16]}, "of its patches"),
    "a pair, both": (
        Places(lambda x: (pooled(x), patches(x))), {"tokens": True}, "embedding",
        {"embedding": [1, 16], "tokens": [1, 225, 16]}, "as asked",
    ),
    "a named pair": (
        Places(lambda x: Pair(pooled(x), patches(x))), {"tokens": True, "l2": True}, "embedding",
        {"embedding": [1, 16], "tokens": [1, 225, 16]}, "as asked",
    ),
    "transformers' names": (
        Places(lambda x: {"last_hidden_state": patches(x), "pooler_output": pooled(x)}), {}, "embedding",
        {"embedding": [1, 16]}, "pooler_output [1, 16]",
    ),
    "torchvision's segmenter": (
        of_places(lambda x: OrderedDict(out=x, aux=x * 2)), {}, "segmentation", {"scores": [1, 5, 15, 15]}, "out [1, 5, 15, 15]",
    ),
    "a map and labels": (of_places(lambda x: x), {"labels": KINDS}, "segmentation", {"scores": [1, 5, 15, 15]}, "5 labels"),
    "a map, asked": (of_places(lambda x: x), {"task": "segmentation"}, "segmentation", {"scores": [1, 5, 15, 15]}, "as asked"),
    "a map, by origin": (of_places(lambda x: x), {"own": "segmentation"}, "segmentation", {"scores": [1, 5, 15, 15]}, "logits"),
    "a map of an object": (of_places(Output), {}, "segmentation", {"scores": [1, 5, 15, 15]}, "logits [1, 5, 15, 15]"),
    "yes or no": (
        Places(lambda x: x[:, :1].sigmoid()), {"task": "segmentation", "threshold": 0.3}, "segmentation",
        {"scores": [1, 1, 15, 15]}, "probabilities: the network ends in a sigmoid",
    ),
    "a tuple": (Then(lambda x: (x, x * 2)), {}, "raw", {"output_0": [1, 5], "output_1": [1, 5]}, "fits no other task"),
    "a list of one": (Then(lambda x: [x]), {"task": "raw"}, "raw", {"output": [1, 5]}, "as asked"),
    "a dict": (Then(lambda x: {"logits": x, "depth": x * 2}), {}, "raw", {"logits": [1, 5], "depth": [1, 5]}, "2 tensors"),
    "a nest": (
        Then(lambda x: {"box": (x, x * 2), "mask": x * 3, "none": None}), {}, "raw",
        {"box_0": [1, 5], "box_1": [1, 5], "mask": [1, 5]}, "3 tensors",
    ),
    "two of a name": (
        Then(lambda x: {"a_b": x, "a": {"b": x * 2}}), {}, "raw", {"output_0": [1, 5], "output_1": [1, 5]}, "2 tensors",
    ),
    "tokens": (Then(lambda x: x[:, None]), {}, "raw", {"output": [1, 1, 5]}, "1 tokens or boxes, which fits no other"),
    "a map, raw": (of_places(lambda x: x), {"task": "raw"}, "raw", {"output": [1, 5, 15, 15]}, "as asked"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_the_task_is_found_and_the_reason_said(name):
    net, asked, task, outputs, why = FOUND[name]
    made = adapted(net, **asked)
    assert name_of(made.task) == task
    assert why in made.why
    picture = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    answers = made.module(picture)
    answers = answers if isinstance(answers, tuple) else (answers,)
    assert {n: [1, *a.shape[1:]] for n, a in zip(made.outputs, answers, strict=True)} == outputs
    shown = made.trace.answer if isinstance(made.trace.answer, tuple) else (made.trace.answer,)
    assert [list(a.shape) for a in shown] == list(outputs.values())


REFUSED = {
    "a map": (of_places(lambda x: x), {}, r"\[1, 5, 15, 15\], a map of 5 values for each of 15x15 places", "--task segm"),
    "not flattened": (Places(lambda x: pooled(ONE(x))[:, :, None, None]), {}, "not flattened", "flatten"),
    "no batch": (Then(lambda x: x.squeeze()), {}, "a row without its batch", "keeps the batch"),
    "a loss": (Then(lambda x: x.sum()), {}, "one number", "keeps the batch"),
    "several rows": (Then(lambda x: x.repeat(2, 1)), {}, "2 rows for one image", "wraps"),
    "halves": (Then(lambda x: x.half()), {}, r"float16 scores \[1, 5\], and files answer float32", ".float()"),
    "an argmax": (Then(lambda x: x.argmax(1, keepdim=True)), {}, "int64 values", "the scores themselves"),
    "an argmax beside": (Then(lambda x: (x, x.argmax(1, keepdim=True))), {"task": "raw"}, r"int64 values 1 \[1, 1\]", "the"),
    "nothing at all": (Then(lambda x: None), {}, "NoneType, which is no tensor", "wraps"),
    "a word": (Then(lambda x: {"scores": x, "name": "net"}), {}, "str in 'name', which is no tensor", "wraps"),
    "a map for classes": (of_places(lambda x: x), {"task": "classification"}, "classification wants one score for each", "wraps"),
    "classes for a map": (Then(lambda x: x), {"task": "segmentation"}, "segmentation wants one map for each class", "--task"),
    "a tuple for a map": (Then(lambda x: (x, x)), {"task": "segmentation"}, r"answers 2 tensors \(0 \[1, 5\], 1", "--task"),
    "a map for a vector": (of_places(lambda x: x), {"task": "embedding"}, "one vector for an image", "--task raw"),
    "probabilities for a vector": (Then(lambda x: x.softmax(1)), {"task": "embedding"}, "ends in a softmax: its answers", "last"),
    "no tokens": (Then(lambda x: x), {"tokens": True}, r"--tokens, but the model answers \[1, 5\] alone", "[n, t, d]"),
    "a softmax of raw": (Then(torch.relu), {"task": "raw", "softmax": True}, "--softmax means nothing for the task raw", "drop"),
    "tokens of classes": (Then(torch.relu), {"task": "classification", "tokens": True}, "--tokens means nothing", "drop"),
    "a softmax found raw": (Then(lambda x: (x, x)), {"softmax": True}, "--softmax means nothing for the task raw", "drop"),
    "softmax over the width": (Places(lambda x: x.softmax(-1)), {"task": "segmentation"}, "not over the classes", "dim=1"),
    "between": (Places(lambda x: 1 / (1 + (-x).exp())), {"task": "segmentation"}, "probabilities, or logits", "--scores"),
    "no probabilities": (
        of_places(lambda x: x * 9), {"task": "segmentation", "scores": "probabilities"}, "answers lie between", "logits",
    ),
    "a threshold of many": (of_places(lambda x: x), {"task": "segmentation", "threshold": 0.4}, "for one channel", "drop"),
    "a part of the image": (of_places(lambda x: x), {"task": "segmentation", "crop_pct": 0.8}, "leaves a part out", "drop"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_contradicts_is_refused_in_one_line(name):
    net, asked, message, hint = REFUSED[name]
    with pytest.raises((RequestError, UnsupportedError), match=message) as caught:
        adapted(net, **asked)
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


def test_what_is_left_out_is_said():
    (said,) = adapted(Places(lambda x: (pooled(x), patches(x)))).notes
    assert said.endswith("1 [1, 225, 16]; --tokens keeps it")
    (said,) = adapted(of_places(lambda x: {"out": x, "aux": x})).notes
    assert said == "the file leaves out what the model answers beside out [1, 5, 15, 15]: aux [1, 5, 15, 15]"
    assert not adapted(Then(lambda x: x)).notes


def test_vectors_of_length_one_are_made_and_known():
    made = adapted(Places(lambda x: (pooled(x), patches(x))), tokens=True, l2=True)
    vector, tokens = made.module(torch.randn(3, 3, *SIZE))
    assert torch.allclose(vector.norm(dim=1), torch.ones(3))
    assert not torch.allclose(tokens.norm(dim=2), torch.ones(3, 225))
    assert made.task == Embedding(normalized=True, grid=(15, 15))
    assert adapted(Then(functional.normalize)).task.normalized


class Upsampled(nn.Module):
    """A segmenter with an upsampling at its end, as a module or as torchvision does it."""

    def __init__(self, last):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 4, 3, 2, 1), last

    def forward(self, x):
        return self.last(self.conv(x))


@pytest.mark.parametrize(
    ("last", "rule"),
    [
        (nn.Upsample(scale_factor=2, mode="bilinear"), Upsample()),
        (nn.UpsamplingBilinear2d(scale_factor=2), Upsample(align_corners=True)),
        (nn.Upsample(size=SIZE, mode="nearest"), Upsample("nearest")),
        (nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Identity()), Upsample()),
    ],
)
def test_an_upsampling_at_the_end_is_left_to_the_reader(last, rule):
    net = Upsampled(last)
    picture = torch.randn(1, 3, *SIZE)
    whole = net(picture)
    made = adapted(net, task="segmentation")
    assert made.task.upsample == rule
    scores = made.module(picture)
    assert scores.shape == (1, 4, 16, 16)
    corners = rule.align_corners if rule.mode == "bilinear" else None
    assert torch.allclose(functional.interpolate(scores, SIZE, mode=rule.mode, align_corners=corners), whole, atol=1e-5)


def test_an_upsampling_before_a_convolution_or_a_softmax_stays():
    for last in (nn.Conv2d(4, 2, 1), nn.Softmax(1)):
        net = Upsampled(nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), last))
        assert adapted(net, task="segmentation").trace.answer.shape[2:] == SIZE


def loaded(model, **asked):
    recipe = check(Recipe(model, "onnx", **{"weights": "random", **asked}))
    return models.load(recipe, models.plan(recipe))


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_torchvisions_segmenters_answer_at_the_heads_size(name):
    model = loaded(f"py:torchvision.models.segmentation:{name}", input_size=(64, 64))
    assert isinstance(model.task, Segmentation)
    assert model.answer_shapes[0][1] == len(model.labels) == 21
    assert model.answer_shapes[0][2] < 64
    assert (model.preprocess.crop_mode, model.preprocess.crop_pct) == ("squash", 1)


def test_a_segformer_is_of_the_attention_family():
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    sizes = {"hidden_sizes": [8, 16, 24, 32], "decoder_hidden_size": 16, "depths": [1, 1, 1, 1]}
    net = SegformerForSemanticSegmentation(SegformerConfig(num_labels=6, **sizes))
    recipe = Recipe("segformer", "onnx", input_size=(64, 64))
    model = models.load(recipe, models.plan(recipe, net))
    assert (model.family, model.answer_shapes, model.task.scores) == ("attention", ((1, 6, 16, 16),), "logits")


def test_a_download_that_fails_says_what_to_type(monkeypatch):
    import urllib.error

    def fetched(*args, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetched)
    with pytest.raises(RequestError, match="no network") as caught:
        loaded("py:torchvision.models.segmentation:lraspp_mobilenet_v3_large", weights="auto")
    assert caught.value.hint == "it fetches weights: --weights FILE, or --weights random"


@pytest.fixture
def labels(tmp_path):
    def write(*names):
        file = tmp_path / "labels.txt"
        file.write_text("".join(f"{name}\n" for name in names))
        return str(file)

    return write


def test_segmenters_by_name(labels, tmp_path):
    net = "smp:Unet/tu-mobilenetv2_050"
    model = loaded(net, labels=labels("background", "road", "sky"), input_size=(32, 32))
    assert (model.task.background, model.answer_shapes, model.family) == (0, ((1, 3, 32, 32),), "cnn")
    assert len(model.task.palette) == len(model.labels) == 3
    one = loaded(net, labels=labels("road"), input_size=(32, 32))
    assert (one.labels, one.answer_shapes) == (("background", "road"), ((1, 1, 32, 32),))
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": model.module.state_dict()}, file)
    again = loaded(net, weights=str(file), input_size=(32, 32))
    assert again.weights.sha256 == model.weights.sha256
    assert again.labels == ("class 0", "class 1", "class 2")
    for wrong, message in {
        "smp:Unet": "does not name an architecture and an encoder",
        "smp:Unett/mobilenet_v2": "unknown architecture of smp 'Unett'",
        "smp:Unet/mobilenet_v9": "unknown encoder of smp",
        "smp:Unet/tu-nonet": "cannot be made",
        net: "as many classes as there are labels",
    }.items():
        with pytest.raises(EdgekitError, match=message) as caught:
            loaded(wrong)
        assert caught.value.hint
    with pytest.raises(WeightsError, match="no weights of smp"):
        loaded(net, weights="auto", labels=labels("a"))


def test_networks_without_classes_are_embeddings():
    model = loaded("timm:vit_small_patch16_224.dino")
    assert (model.task, model.labels, model.outputs) == (Embedding("class token"), (), ("embedding",))
    assert model.why == "[1, 384], no classes"
    model = loaded("timm:test_vit", task="embedding", tokens=True)
    assert model.answer_shapes == ((1, 64), (1, 100, 64))
    assert model.task == Embedding("class token", (10, 10))
    assert loaded("swin_micro", tokens=True).task == Embedding("global average", (7, 7))
    with pytest.raises(UnsupportedError, match="has no classes") as caught:
        loaded("timm:vit_small_patch16_224.dino", task="classification")
    assert caught.value.hint.startswith("--task embedding")


def test_dinov2_sees_224_unless_asked_otherwise():
    recipe = Recipe("timm:vit_small_patch14_dinov2", "onnx", weights="random")
    planned = models.plan(recipe)
    assert (planned.preprocess.input_size, planned.family) == ((224, 224), "attention")
    model = models.load(recipe, planned)
    assert any(note.startswith("images of 224x224") for note in model.notes)
    asked = Recipe("timm:vit_small_patch14_dinov2", "onnx", weights="random", input_size=(56, 56), tokens=True)
    model = models.load(asked, models.plan(asked))
    assert (model.task.grid, model.notes) == ((4, 4), ())


def test_an_embedding_is_the_classifier_in_front_of_its_head():
    whole = loaded("mobilenetv2", weights="bundled")
    model = loaded("mobilenetv2", weights="bundled", task="embedding")
    picture = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(whole.module.classifier(model.module(picture)), whole.module(picture), atol=1e-5)
    assert model.weights.knows.startswith("features, from 10 kinds")
    assert model.weights.sha256 != whole.weights.sha256


def test_a_file_of_features_and_positions_of_another_grid(tmp_path):
    import timm

    torch.manual_seed(0)
    small = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0)
    file = tmp_path / "features.pth"
    torch.save(small.state_dict(), file)
    model = loaded("timm:vit_tiny_patch16_224", weights=str(file), input_size=(64, 64), task="embedding")
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model.module(picture), small.eval()(picture), atol=1e-5)
    wider = loaded("timm:vit_tiny_patch16_224", weights=str(file), input_size=(64, 96), task="embedding")
    assert "positions of 4x4 patches resampled to 4x6" in wider.notes


def test_two_inputs_and_odd_sizes_are_said(monkeypatch):
    class Two(nn.Module):
        def forward(self, x, y):
            return x

    class Halving(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 2, 2)

        def forward(self, x):
            return torch.cat([x, self.up(self.down(x))], 1)

    with pytest.raises(UnsupportedError, match="feeds one image, and the model wants more"):
        look(Two(), SIZE)
    with pytest.raises(UnsupportedError, match="does not take a 33x31 image") as caught:
        look(Halving(), (33, 31))
    assert caught.value.hint == "--input-size 36x32, the next that it takes"


def test_joined_is_a_row_for_each_image():
    assert joined((torch.zeros(2, 3), torch.ones(2, 2, 2))).tolist() == [[0] * 3 + [1] * 4] * 2


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        maps = self.conv(x).relu()
        return {"depth": self.head(maps), "pooled": maps.mean((2, 3))}


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite", "torch"])
def test_two_outputs_of_other_forms_reach_the_file(target, tmp_path):
    made: Artifact = export(Recipe("several", target, input_size=SIZE), tmp_path / target, module=Several())
    assert name_of(made.manifest.task) == "raw"
    assert [len(output.shape) for output in made.manifest.outputs] == [4, 2]
    assert made.manifest.proof.passed


def test_an_embedding_reaches_the_file(tmp_path):
    made = export(Recipe("timm:test_vit", "onnx", weights="random", tokens=True, l2=True), tmp_path / "made")
    assert made.manifest.task == Embedding("class token", (10, 10), normalized=True)
    assert [output.role for output in made.manifest.outputs] == ["embedding", "tokens"]
    assert made.manifest.labels == 0
    assert not (made.folder / "labels.txt").exists()


def test_flags_of_another_task_are_refused_before_anything_else():
    for asked in ({"task": "embedding", "labels": "names.txt"}, {"l2": True, "softmax": True}):
        with pytest.raises(RecipeError, match="means nothing for the task embedding"):
            check(Recipe("mobilenetv2", "onnx", **asked))
