"""What a network's scores are: found from its operators and its answers, said by the user, and followed by everything."""

import json

import msgspec
import nets
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import ask_edgekit
from torch import nn
from torch.nn import functional

from edgekit import parity
from edgekit.cli import main
from edgekit.data import open_data
from edgekit.errors import EdgekitError, RecipeError, UnsupportedError
from edgekit.evaluation.checks import check as check_eval
from edgekit.models import answers
from edgekit.models.tracing import trace
from edgekit.prediction import predict
from edgekit.preprocess import load_pixels, normalise
from edgekit.recipe import Recipe, check
from edgekit.runtimes import Options

pytestmark = pytest.mark.full


class Then(nn.Module):
    """Five logits (or `classes`), and whatever a function makes of them."""

    def __init__(self, then, classes=5):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.then = nn.Conv2d(3, 16, 3, 2), nn.Linear(16, classes), then
        nn.init.normal_(self.head.weight, std=8.0)

    def forward(self, x):
        return self.then(self.head(self.conv(x).relu().mean((2, 3))))


class Places(nn.Module):
    """A map of 16 values by place, and whatever a function makes of it."""

    def __init__(self, then):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.then = nn.Conv2d(3, 16, 3, 2), then

    def forward(self, x):
        return self.then(self.conv(x))


def found(net, *, named=False, **asked):
    net, x = net.eval(), torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    seen = trace(net, (32, 32))
    with torch.no_grad():
        scores = torch.cat([net(one[None]) for one in x]).numpy()
    recipe = check(Recipe(model="py:nets:tiny", target="onnx", **asked))
    return str(answers.classification(answers.ending(seen), scores, recipe, named=named)[0])


def pooled(x):
    return x.mean((2, 3))


def convolved(size):
    torch.manual_seed(0)
    return nn.Conv2d(16, 5, size)


def filled(x):
    made = x.new_zeros(x.shape)
    made[:, :2], made[:, 2:] = x[:, :2].sigmoid(), x[:, 2:].sigmoid()
    return made


ONE, THREE = convolved(1), convolved(3)
SEEN = torch.arange(5) != 2
ENDS = {
    "nothing": (Then(lambda x: x), "logits"),
    "temperature": (Then(lambda x: x / 1.5), "logits"),
    "two heads": (Then(lambda x: (x + 2 * x) / 2), "logits"),
    "class maps": (Places(lambda x: pooled(ONE(x))), "logits"),
    "class maps of 3x3": (Places(lambda x: pooled(THREE(x))), "logits"),
    "squeezenet": (Places(lambda x: pooled(ONE(x).relu())), "logits"),
    "softmax": (Then(lambda x: functional.softmax(x, 1)), "probabilities"),
    "softmax of a temperature, reshaped": (Then(lambda x: (x / 2).softmax(-1).reshape(1, -1)), "probabilities"),
    "softmax, dropout, times one": (
        Then(lambda x: functional.dropout(x.softmax(1), 0.5, False) * 1.0),
        "probabilities",
    ),
    "softmax, clamped": (Then(lambda x: x.softmax(1).clamp(1e-7, 1 - 1e-7)), "probabilities"),
    "softmax in halves": (Then(lambda x: x.half().softmax(1).float()), "probabilities"),
    "softmax by hand": (Then(lambda x: x.exp() / x.exp().sum(1, keepdim=True)), "probabilities"),
    "softmax of two networks": (Then(lambda x: (x.softmax(1) + (x / 2).softmax(1)) / 2), "probabilities"),
    "softmax of places": (Places(lambda x: pooled(ONE(x).softmax(1))), "probabilities"),
    "sums to one": (Then(lambda x: functional.softplus(x) / functional.softplus(x).sum(1, True)), "probabilities"),
    "yes and no": (Then(lambda x: torch.cat([1 - x.sigmoid(), x.sigmoid()], 1), 1), "probabilities"),
    "log-softmax": (Then(lambda x: functional.log_softmax(x, 1)), "log-probabilities"),
    "log of a softmax": (Then(lambda x: torch.log(x.softmax(1) + 1e-9)), "log-probabilities"),
    "log-softmax by hand": (Then(lambda x: x - x.logsumexp(1, keepdim=True)), "log-probabilities"),
    "exp of a log-softmax": (Then(lambda x: x.log_softmax(1).exp()), "probabilities"),
    "sigmoid": (Then(lambda x: x.sigmoid().squeeze(0)[None]), "independent probabilities"),
    "sigmoid in place": (Then(lambda x: x.sigmoid_()), "independent probabilities"),
    "hard sigmoid": (Then(functional.hardsigmoid), "independent probabilities"),
    "log-sigmoid": (Then(functional.logsigmoid), "independent log-probabilities"),
    "one sigmoid": (Then(torch.sigmoid, 1), "independent probabilities"),
    "sigmoid of some": (Then(lambda x: torch.where(SEEN, x.sigmoid(), 0.0)), "independent probabilities"),
    "sigmoids side by side": (Then(filled), "independent probabilities"),
    "the larger of two sigmoids": (
        Then(lambda x: torch.maximum(x.sigmoid(), (x / 2).sigmoid())),
        "independent probabilities",
    ),
    "linear by hand": (Then(lambda x: (x.relu()[:, None] * torch.eye(5)).sum(-1)), "logits"),
    "in a wrapper": (nn.DataParallel(nets.ends_in_softmax()), "probabilities"),
    "compiled": (torch.compile(nets.ends_in_sigmoid()), "independent probabilities"),
    "scripted": (torch.jit.script(nets.ends_in_log_softmax()), "log-probabilities"),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_scores_are_is_found(name):
    net, expected = ENDS[name]
    assert found(net) == expected


REFUSED = {
    "one logit": (Then(lambda x: x, 1), "answers one number", "--multi-label"),
    "a measure": (
        Then(lambda x: (x.softmax(1) * torch.arange(5.0)).sum(1, keepdim=True)),
        "answers one number",
        "--multi",
    ),
    "softmax of one": (Then(lambda x: x.softmax(1), 1), "always gives the same", "sigmoid"),
    "softmax over the batch": (Then(lambda x: x.softmax(0)), "its answers do not add up to 1", "--scores"),
    "stars": (Then(lambda x: x.sigmoid() * 5), "its answers do not lie in its range", "--scores"),
    "sigmoid by hand": (
        Then(lambda x: 1 / (1 + torch.exp(-x))),
        "of independent classes, or something else",
        "--multi-label",
    ),
    "hard sigmoid by hand": (
        Then(lambda x: functional.relu6(x + 3) / 6),
        "of independent classes, or",
        "--multi-label",
    ),
    "sigmoids beside logits": (
        Then(lambda x: torch.cat([x[:, :2].sigmoid(), x[:, 2:]], 1)),
        "cat of probabilities and other numbers, between",
        "--scores logits",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_classifier_is_refused_in_one_line(name):
    net, message, hint = REFUSED[name]
    with pytest.raises(UnsupportedError, match=message) as caught:
        found(net)
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("net", "asked", "expected"),
    [
        (Then(lambda x: x), {"multi_label": True}, "independent logits"),
        (Then(lambda x: x, 1), {"multi_label": True}, "independent logits"),
        (Then(lambda x: x, 1), {"scores": "logits"}, "independent logits"),
        (Then(torch.sigmoid), {"scores": "probabilities"}, "independent probabilities"),
        (Then(lambda x: x.sigmoid() * 5), {"scores": "logits"}, "logits"),
        (
            Then(lambda x: 1 / (1 + torch.exp(-x))),
            {"scores": "probabilities", "multi_label": True},
            "independent probabilities",
        ),
        (Then(torch.relu), {"scores": "logits"}, "logits"),
        (Then(torch.relu), {"named": True}, "logits"),
    ],
)
def test_the_users_word(net, asked, expected):
    assert found(net, **asked) == expected


@pytest.mark.parametrize(
    ("net", "asked", "message"),
    [
        (Then(lambda x: x.softmax(1)), {"scores": "logits"}, "--scores logits, but the network ends in a softmax"),
        (Then(lambda x: x.log_softmax(1)), {"scores": "probabilities"}, "ends in a log-softmax: log-probabilities"),
        (Then(lambda x: x), {"scores": "probabilities"}, "but the answers are between"),
        (Then(lambda x: 1 / (1 + torch.exp(-x))), {"scores": "probabilities"}, "add up to as much as"),
        (Then(lambda x: x.softmax(1)), {"multi_label": True}, "do not exclude each other, and the answers add up to 1"),
        (Then(lambda x: x), {"threshold": 0.3}, "threshold 0.3 means nothing"),
        (Then(lambda x: x), {"softmax": True, "multi_label": True}, "--multi-label says that they do not"),
        (Then(lambda x: x), {"multi_label": True, "threshold": 50.0}, "threshold is 50"),
    ],
)
def test_a_word_that_contradicts_is_refused(net, asked, message):
    with pytest.raises(EdgekitError, match=message) as caught:
        found(net, **asked)
    assert caught.value.hint


def own_answers(made, pixels, module):
    x = torch.from_numpy(normalise(pixels, made.manifest.preprocess).transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        return module.eval()(x).numpy()[0]


@pytest.fixture(scope="module")
def picture(pictures):
    return next(pictures.rglob("*.png"))


def predicted(made, picture):
    ((_, classes),) = predict(made, Options(), [picture])
    return classes


@pytest.mark.parametrize(
    ("net", "target", "scheme", "kind"),
    [
        ("ends_in_softmax", "tflite", "int8-static", "probabilities"),
        ("ends_in_softmax", "onnx", "int8-static", "probabilities"),
        ("ends_in_log_softmax", "openvino", "fp32", "log-probabilities"),
        ("ends_in_sigmoid", "tflite", "int8-static", "probabilities"),
        ("ends_in_sigmoid", "onnx", "fp32", "probabilities"),
    ],
)
def test_predict_shows_what_the_network_answers(exported, picture, net, target, scheme, kind):
    made = exported(scheme, model=f"py:nets:{net}", target=target, samples=8)
    manifest = made.manifest
    assert (manifest.task.scores, manifest.task.independent) == (kind, net == "ends_in_sigmoid")
    own = own_answers(made, load_pixels(picture, manifest.preprocess), getattr(nets, net)())
    own = np.exp(own) if kind == "log-probabilities" else own
    shown = predicted(made, picture)
    np.testing.assert_allclose(shown.probabilities, own, atol=0.05)
    if manifest.task.independent:
        assert (shown.holds == (own >= 0.5)).all()
        assert manifest.task.measure in parity.describe(manifest.proof, "images")


def test_a_binary_network_answers_yes_or_no(exported, picture):
    made = exported("fp32", model="py:nets:one_logit", target="onnx", multi_label=True, threshold=0.9)
    logit = own_answers(made, load_pixels(picture, made.manifest.preprocess), nets.one_logit())[0]
    (probability,) = predicted(made, picture).probabilities
    assert probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)
    said = CliRunner().invoke(main, ["predict", str(made.folder), str(picture)]).output
    assert ("none from 90% on" in said) == (probability < 0.9)
    assert "a label holds from 90% on" in said
    assert "1 independent logits" in (made.folder / "README.md").read_text()
    with pytest.raises(UnsupportedError, match="answers each label by itself") as caught:
        check_eval([made], open_data(picture.parent, made.labels(), unlabelled=True))
    assert "verify" in caught.value.hint


def test_a_files_own_metadata_says_how_to_read_it(exported):
    import onnx

    def told(**options):
        made = exported("fp32", target="onnx", **options)
        graph = onnx.load(made.model_file)
        props = {p.key.removeprefix("model_info "): p.value for p in graph.metadata_props}
        return graph.graph.output[0].name, props.get("model_type"), props.get("multilabel")

    assert told(model="py:nets:one_logit", multi_label=True, threshold=0.9) == ("logits", "Classification", "True")
    # the Model API would put a sigmoid behind these
    assert told(model="py:nets:ends_in_sigmoid", samples=8) == ("probabilities", None, "True")
    assert told(model="py:nets:tiny") == ("logits", "Classification", None)


def test_softmax_is_added_once(tmp_path):
    from edgekit.pipeline import export

    base = Recipe(model="py:nets:ends_in_softmax", target="onnx", softmax=True, input_size=(32, 32), samples=8)
    said = []
    made = export(base, tmp_path / "soft", say=said.append)
    assert "--softmax adds nothing: the network answers probabilities already" in said
    assert not made.manifest.recipe["softmax"]
    assert made.manifest.task.scores == "probabilities"
    with pytest.raises(EdgekitError, match="and these are independent probabilities") as caught:
        export(msgspec.structs.replace(base, model="py:nets:ends_in_sigmoid"), tmp_path / "no")
    assert "leave it out" in caught.value.hint


def test_the_command_takes_the_users_word():
    done = ask_edgekit(
        "export",
        "py:nets:one_logit",
        "--multi-label",
        "--scores",
        "logits",
        "--threshold",
        "0.3",
        "--print-recipe",
        "--json",
    )
    (asked,) = json.loads(done.stdout)
    assert (asked["multi_label"], asked["scores"], asked["threshold"]) == (True, "logits", 0.3), done.stderr
    with pytest.raises(RecipeError, match="scores"):
        Recipe(model="a", target="onnx", scores="odds")
