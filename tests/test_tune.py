"""tune: which recipes it builds, what it leaves, what it takes, and what it says of it. The files are a stand-in's (fake_edgekit.py)."""

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from conftest import GOLDEN_FILES, HERE, ask_edgekit, paint

from edgekit.errors import DataError, OutputError, RequestError, UnknownNameError
from edgekit.places import locked
from edgekit.recipe import Recipe
from edgekit.tuning import Figures, Interval, Tuned, page
from edgekit.tuning.budget import Budget, verdict, worst
from edgekit.tuning.floats import fewest
from edgekit.tuning.measuring import Measuring, Trial
from edgekit.tuning.space import Point, Space, load, points
from edgekit.tuning.tune import Request, tune

pytestmark = pytest.mark.full  # exporters say which schemes they hold

FAKE = (sys.executable, str(HERE / "fake_edgekit.py"))
LIKE_MOST = {
    "fp32": {"loss": 0.0, "time": 1.0, "bytes": 9000},
    "fp16": {"loss": 0.0, "time": 1.05, "bytes": 4500},
    "int8-static": {"loss": 0.001, "time": 0.5, "bytes": 2700},
    "int8-dynamic": {"loss": 0.001, "time": 0.8, "bytes": 2600},
    "int8-weight-only": {"loss": 0.0, "time": 0.95, "bytes": 2500},
}


SCHEMES = Space(({"schemes": ["fp16", "int8-static", "int8-dynamic"]},))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """40 pictures: so few that `pictures` of the stand-in must say how many there are."""
    folder = tmp_path_factory.mktemp("labelled")
    paint(folder / "class 3", 40)
    return folder


@pytest.fixture
def asked(labelled, tmp_path, monkeypatch):
    """`asked(schemes, ...)`: a request to the stand-in, whose files are as good as that, of which there are notes."""

    def request(schemes=LIKE_MOST, *, space=None, targets=("onnx",), budget=None, builds=12, out="out", **fake):
        said = {"schemes": schemes, "note": str(tmp_path / "note"), "golden": str(GOLDEN_FILES / "tiny-onnx-int8")}
        said |= {"pictures": 40_000, "layers": 20, "floats": 3} | fake
        (tmp_path / "fake.json").write_text(json.dumps(said), "utf-8")
        monkeypatch.setenv("FAKE", str(tmp_path / "fake.json"))
        monkeypatch.setattr("edgekit.tuning.measuring.Measuring.count", lambda self, of: said["pictures"])
        return Request(
            models=("lenet5",),
            data=labelled,
            out=tmp_path / out,
            targets=targets,
            budget=budget or Budget(max_loss=0.01),
            space=space or SCHEMES,
            builds=builds,
            program=FAKE,
        )

    return request


def notes(request):
    place = request.out.parent / "note"
    return place.read_text("utf-8").splitlines() if place.exists() else []


def exports(request):
    return [line for line in notes(request) if line.startswith("export")]


def test_the_quickest_file_that_meets_the_budget_is_taken_and_a_second_run_makes_nothing(asked):
    request = asked(space=load(None))
    found = tune(request)
    (choice,) = found
    assert (choice.name, choice.verdict, found.verdict) == ("int8-static", "met", "met")
    assert choice.figures.loss.value == pytest.approx(0.001)
    assert choice.figures.times["local"].value == pytest.approx(0.5)
    assert choice.verdicts == {"loss": "met"}
    assert (request.out / "best-onnx" / "manifest.json").is_file()
    assert 'scheme = "int8-static"' in Path(choice.recipe).read_text("utf-8")
    assert {"report.html", "report.md"} < {place.name for place in request.out.iterdir()}
    assert json.loads((request.out / "tune.json").read_text("utf-8"))["targets"][0]["name"] == "int8-static"
    before = notes(request)
    assert len(exports(request)) == choice.built <= 13
    again = tune(request)
    assert (again.choices, notes(request)) == (found.choices, before)


def test_who_is_lucky_where_it_is_chosen_is_told_by_the_other_half(asked):
    """One of ten that are all the same looks better on the half that chooses; the figure that is told is not that one."""
    schemes = LIKE_MOST | {"int8-static": {"loss": 0.004, "time": 0.5, "bytes": 2700}}
    found = tune(asked(schemes, luck={"1/2": -0.003}))
    taken = next(one for one in found[0].tried if one.name == found[0].name)
    assert taken.chosen_by.loss.value == pytest.approx(0.001)
    assert found[0].figures.loss.value == taken.confirmed.loss.value == pytest.approx(0.004)
    assert "loses 0.40" in page.sentence(found[0], "top-1")


def test_one_that_the_other_half_finds_too_bad_is_passed_over_for_the_next(asked):
    schemes = LIKE_MOST | {"int8-static": {"loss": 0.004, "time": 0.5, "bytes": 2700}}
    found = tune(asked(schemes, luck={"1/2": -0.003, "2/2": 0.02}))
    assert found[0].name == "fp32"
    assert found[0].verdict == "met"
    assert page.front(found[0])[0].name.startswith("int8-static")


def test_a_file_whose_interval_excludes_the_budget_is_left_and_only_such(asked):
    schemes = LIKE_MOST | {"int8-static": {"loss": 0.2, "time": 0.5, "bytes": 2700}}
    request = asked(schemes, space=msgspec.structs.replace(SCHEMES, float_layers=False))
    (choice,) = tune(request)
    static = [one for one in choice.tried if one.name.startswith("int8-static")]
    assert all(one.out.startswith("loses 20.0 points") for one in static)
    assert choice.name == "int8-dynamic"
    assert not [line for line in notes(request) if "static" in line and "2/2" in line]  # nothing of them is confirmed


@pytest.mark.parametrize("needed", [1, 3, 7, 15])
def test_layers_in_float_are_bisected(asked, needed):
    """The fewest prefix of the order is found, in eight builds at most."""
    schemes = LIKE_MOST | {"int8-static": {"proof": "refused: SQNR 3.0 dB (limit 13)"}}
    request = asked(schemes, space=Space(({"schemes": ["int8-static"]},)), builds=9, floats=needed)
    (choice,) = tune(request)
    assert choice.name == f"int8-static, {needed} in float"
    floats = [one for one in choice.tried if "in float" in one.name]
    assert len(floats) <= 8
    assert "keep_float" in Path(choice.recipe).read_text("utf-8")


@pytest.mark.parametrize("layers", [1, 2, 5, 52, 85])
def test_no_more_than_eight_builds_for_any_network(layers):
    for needed in range(1, layers + 1):
        asked = []

        def enough(count, asked=asked, needed=needed):
            asked.append(count)
            return count >= needed

        fewest(range(layers), enough, 8)
        assert len(asked) <= 8
        assert len(set(asked)) == len(asked)
        good = [count for count in asked if count >= needed]
        assert needed > 0.8 * layers or min(good) <= 2 * needed


def test_every_budget_counts(asked):
    budget = Budget(max_loss=0.01, max_bytes=2650)
    (choice,) = tune(asked(budget=budget))
    assert choice.name.startswith("int8-dynamic")
    assert choice.verdicts == {"loss": "met", "size": "met"}
    (choice,) = tune(asked(budget=Budget(max_loss=None, keep_latency=0.6), out="two"))
    assert (choice.name, choice.verdicts) == ("int8-static", {"time on local": "met"})


def test_where_nothing_meets_the_budget_the_best_is_kept(asked):
    (choice,) = tune(asked(budget=Budget(max_loss=None, keep_latency=0.4)))
    assert (choice.name, choice.verdict) == ("int8-static", "missed")
    assert Path(choice.artifact, "manifest.json").is_file()


def test_what_is_neither_met_nor_missed_says_how_many_pictures_would_decide(asked):
    schemes = {name: one | {"loss": 0.008} for name, one in LIKE_MOST.items() if name != "fp32"}
    schemes["fp32"] = LIKE_MOST["fp32"]
    (choice,) = tune(asked(schemes, pictures=8_000))
    assert choice.name == "fp32"  # what surely meets it comes first
    assert list(choice.quicker) == ["int8-static", "int8-dynamic"]
    assert f"int8-static is quicker, and undecided: about {choice.quicker['int8-static']:,} images" in page.sentence(
        choice, "top-1"
    )
    quick = Budget(max_loss=0.01, keep_latency=0.6)
    (choice,) = tune(asked(schemes, pictures=8_000, budget=quick, out="two"))
    assert (choice.name, choice.verdict) == ("int8-static", "undecided")
    assert choice.needed > 8_000
    assert f"about {choice.needed:,} images would decide" in page.budgets(choice)


def test_edgekits_own_answers_are_understood(tmp_path, monkeypatch):
    """What the stand-in makes up is what `eval` and `bench` say."""
    base, other = (
        Trial(Point(name, Recipe("tiny", "onnx"), far), key=name) for far, name in enumerate(("fp32", "int8"))
    )
    images = paint(tmp_path / "class 3", 4).parent
    measuring = Measuring(tmp_path / "out", images)
    monkeypatch.setattr(Measuring, "opened", lambda self, trial: trial)
    for trial in (base, other):
        shutil.copytree(GOLDEN_FILES / "tiny-onnx-int8", measuring.folder(trial))
    loss, count = measuring.loss(other, base, "1/2")
    assert (other.out, loss.value, count, measuring.headline) == ("", 0.0, 6, "top-1")
    (times,) = measuring.times([other], base, 2, 4)
    assert times["local"].low < times["local"].value < times["local"].high


def test_several_targets_and_the_recipe_that_serves_them_all(asked):
    request = asked(targets=("onnx", "openvino"))
    found = tune(request)
    assert [choice.name for choice in found] == ["int8-static", "int8-static"]
    assert found.one == "int8-static"
    assert 'scheme = "int8-static"' in (request.out / "best.toml").read_text("utf-8")
    again = asked(targets=("onnx", "openvino"), error=["onnx"], out="two")
    found = tune(again)
    assert (found[0].error, found[0].verdict, found[1].name) == ("the converter failed", "missed", "int8-static")
    assert (found.verdict, found.one) == ("missed", "")
    assert "nothing was made: the converter failed" in page.sentence(found[0], "top-1")


def test_what_is_known_of_a_family_orders_and_what_is_far_off_is_not_built(asked):
    """No network of the family takes a fifth of the time in any scheme, nor could it."""
    request = asked(budget=Budget(max_loss=0.01, keep_latency=0.2))
    (choice,) = tune(request)
    ruled = {one.name for one in choice.tried if one.out.startswith("forecast")}
    assert ruled == {"fp16", "int8-static"}  # nobody measured int8-dynamic
    assert all(one.bytes is None for one in choice.tried if one.name in ruled)
    tiny = tune(asked(budget=Budget(max_loss=0.01, max_bytes=3_000), out="two"))[0]
    assert {one.out for one in tiny.tried if one.name == "fp16"} == {"forecast: fp16 takes 0.00409 MB at least"}


def test_what_saves_no_time_anywhere_is_built_last(asked):
    """Weights that are unpacked: of a scheme that nobody measured for such a network they would be tried first, and builds are few."""
    space = Space(({"schemes": ["fp16", "int8-weight-only", "int8-dynamic", "int8-static"]},), builtin=False)
    (choice,) = tune(asked(space=space, builds=2))
    assert {one.name for one in choice.tried if one.bytes} == {"fp32", "int8-static", "int8-dynamic"}


def test_no_more_is_built_than_was_asked_for(asked):
    request = asked(builds=2)
    (choice,) = tune(request)
    assert (len(exports(request)), choice.built) == (3, 3)
    assert choice.left == choice.recipes - 3 - sum(one.out.startswith("forecast") for one in choice.tried)
    late = replace(asked(out="two"), hours=1e-9)
    assert tune(late)[0].name == "fp32"


def test_a_killed_run_goes_on_and_repeats_nothing(asked):
    """Thrice; `make tune-kills`: twenty times."""
    request = asked(seconds=0.05, space=load(None))
    times = int(os.environ.get("EDGEKIT_KILLS", "3"))
    kept: dict[str, int] = {}
    for lost in kills(request, times):
        assert lost <= 1
        assert all(known(request).get(key) == made for key, made in kept.items())
        kept |= known(request)
    found = tune(request)
    assert 0 < len(kept) < len(known(request))
    assert all(known(request)[key] == made for key, made in kept.items())
    straight = tune(replace(request, out=request.out.parent / "straight"))
    assert [(c.name, c.verdict, c.figures, c.front, c.built) for c in straight] == [
        (c.name, c.verdict, c.figures, c.front, c.built) for c in found
    ]


def known(request):
    """When each cell that is kept was made."""
    return {place.parent.name: place.stat().st_mtime_ns for place in request.out.glob("cells/*/cell.json")}


KILLED = """
import pickle, sys
from edgekit import registry
from edgekit.tuning import measuring
from edgekit.tuning.tune import tune
registry.exporter("onnx")
measuring.Measuring.count = lambda self, of: 40_000
with open(sys.argv[1], "rb") as file: request = pickle.load(file)
print("begun", flush=True)
tune(request, say=lambda line: print(line, flush=True))
"""


def kills(request, times):
    """Of each kill, at a random moment of the second or third cell, how many cells were lost."""
    chance = random.Random(times)
    place = request.out.parent / "request.pickle"
    place.write_bytes(pickle.dumps(request))
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(place)], stdout=subprocess.PIPE, start_new_session=True
        )
        for _ in range(chance.choice((3, 4))):  # it says that it has begun, and each cell that it makes
            if not process.stdout.readline():
                raise AssertionError("it was done before all kills")
        time.sleep(chance.uniform(0, 0.15))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        yield sum(not (cell / "cell.json").exists() for cell in request.out.glob("cells/*"))


def test_two_do_not_share_a_folder(asked):
    request = asked()
    request.out.mkdir()
    with locked(request.out), pytest.raises(RequestError, match="another tune is at work"):
        tune(request)


def test_a_full_disk_ends_it_and_is_no_result(asked, monkeypatch):
    request = asked({**LIKE_MOST, "fp16": {"error": "cannot write: No space left on device"}})
    with pytest.raises(OutputError, match="No space left"):
        tune(request)
    assert tune(asked())[0].name == "int8-static"


def test_what_stops_it_leaves_what_was_made(asked):
    request = asked()

    def stop(line):
        if "evaluating" in line:
            raise KeyboardInterrupt

    found = tune(request, say=stop)
    assert (found.cut, len(exports(request))) == (True, 2)
    assert tune(request)[0].name == "int8-static"
    assert len(set(exports(request))) == len(exports(request))


@pytest.mark.parametrize(
    ("pictures", "max_loss", "said"),
    [
        (200, 0.005, "200 images cannot show a loss of at most 0.5 points"),
        (20, None, "20 images cannot show anything"),
    ],
)
def test_too_few_pictures_say_how_many_would_do(asked, pictures, max_loss, said):
    budget = Budget(max_loss=max_loss, keep_latency=0.9)
    with pytest.raises(DataError, match=said) as error:
        tune(asked(budget=budget, pictures=pictures))
    assert "at the very least" in error.value.hint


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(max_loss=None), "there is no budget"),
        (Budget(max_loss=0.0), "--max-loss 0 can never be met: an interval has a width"),
        (Budget(max_loss=2.0), "--max-loss 200 is met by anything"),
        (Budget(keep_latency=-1.0), "--keep-latency -1 can never be met"),
        (Budget(max_bytes=-5), "--max-size -5e-06 can never be met"),
        (Budget(max_bytes=1000), "int8 makes about"),
    ],
)
def test_what_nothing_can_meet_is_refused(asked, budget, said):
    with pytest.raises(RequestError, match=said):
        tune(asked(budget=budget))


def test_verdicts_are_those_of_intervals():
    assert [verdict(Interval(0.5, *ends), 0.6) for ends in ((0.4, 0.55), (0.55, 0.65), (0.61, 0.7))] == [
        "met",
        "undecided",
        "missed",
    ]
    assert verdict(None, 0.5) == "undecided"
    assert verdict(Interval(0.5, 0.405, 0.595), 0.6, tries=3) == "undecided"  # who may try again must show more
    assert worst({"a": "met", "b": "undecided"}) == "undecided"
    assert worst({}) == "met"
    lacking = Budget(None, 0.5, devices=("local", "adb")).verdicts(1, Figures(None, {"local": Interval(0.4, 0.4, 0.4)}))
    assert lacking == {"time on local": "met", "time on adb": "undecided"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("builtin = false", "nothing to try"),
        ("[[try]]\nranges = ['mse']", "a block without schemes"),
        ("[[try]]\nschemes = ['int9']", "unknown scheme 'int9'"),
        ("[[try]]\nschemes = ['fp16']\nsampels = 3", r"unknown field of a recipe .*'sampels' \(did you mean samples"),
        ("[[tri]]\nschemes = ['fp16']", "unknown field"),
        ("try = 3", "try: "),
    ],
)
def test_a_space_that_cannot_be_meant_is_refused(tmp_path, text, said):
    (tmp_path / "tune.toml").write_text(text, "utf-8")
    with pytest.raises((RequestError, UnknownNameError), match=said):
        load(tmp_path / "tune.toml")


def test_the_space_is_a_product_in_which_nothing_stands_twice(tmp_path):
    names = [point.name for point in points(load(None), ["lenet5"], "onnx", {})]
    assert len(set(names)) == len(names)
    assert {"fp16", "int8-static", "int8-dynamic, granularity=tensor", "int8-static, seed=2"} <= set(names)
    assert "int8-static, ranges=minmax, equalize=false, rounding=nearest" in names
    file = tmp_path / "tune.toml"
    file.write_text('builtin = false\n[[try]]\nschemes = ["int8-static"]\nint8_for = ["any", "vnni"]\n', "utf-8")
    assert [point.name for point in points(load(file), ["lenet5"], "onnx", {})] == [
        "int8-static",
        "int8-static, int8_for=vnni",
    ]
    file.write_text('builtin = false\n[[try]]\nschemes = ["int8-static"]\nint8_for = "vnni"\n', "utf-8")
    with pytest.raises(RequestError, match="can hold nothing"):
        points(load(file), ["lenet5"], "tflite", {})  # int8_for means nothing there
    file.write_text(f'[[try]]\nschemes = ["int8-static"]\nseed = {list(range(2001))}\n', "utf-8")
    with pytest.raises(RequestError, match="more than 2,000 recipes"):
        points(load(file), ["lenet5"], "onnx", {})


def test_the_command_says_it_in_80_columns(asked):
    from edgekit.cli.tune import text

    request = asked(targets=("onnx", "openvino"))
    found = tune(request)
    assert isinstance(found, Tuned)
    lines = [line for line in text(found).splitlines() if str(request.out) not in line]
    print("\n".join(lines))
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    assert any(line.startswith("* int8-static") for line in lines)
    assert "one recipe for all: int8-static" in lines


@pytest.mark.parametrize("name", ["best-onnx/mine.txt", "best-onnx.toml/mine.txt", "best.toml/mine.txt"])
def test_what_lies_where_the_best_shall_lie_is_refused_before_anything_is_made(asked, name):
    request = asked()
    place = request.out / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    with pytest.raises(RequestError, match=place.parent.name):
        tune(request)
    assert (place.read_text(), notes(request)) == ("mine", [])


def test_bad_words_are_refused_before_anything_is_made(labelled, tmp_path):
    out = tmp_path / "out"
    for words, said in (
        (("lenet6", "--data", labelled), "unknown model 'lenet6'"),
        (("lenet5", "--data", tmp_path / "none"), "none"),
        (("lenet5", "--data", labelled, "--data-labels", "none.csv"), "there is no file none.csv"),
        (("lenet5", "--data", labelled, "--on", "moon"), "unknown device 'moon'"),
        (("lenet5", "--data", labelled, "--on", "local,local"), "--on local is named twice"),
        (("lenet5", "--data", labelled, "--target", "tflit"), "unknown target 'tflit'"),
        (("lenet5", "--data", labelled, "--evaluations", "0"), "--evaluations 0 builds nothing"),
        (("lenet5", "--data", labelled, "--hours", "0"), "--hours 0 is no time"),
        (("lenet5", "--data", labelled, "--max-loss", "0"), "--max-loss 0 can never be met"),
        (("lenet5", "--data", labelled, "--space", tmp_path / "none.toml"), "No such file"),
        ((GOLDEN_FILES / "tiny-onnx-int8", "--data", labelled, "--target", "onnx"), "is a file already"),
    ):
        done = ask_edgekit("tune", *words, "-o", out)
        assert (done.returncode, said in done.stderr) == (2, True), (words, done.stderr)
    assert not (out / "cells").exists()
