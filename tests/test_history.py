"""Series over sessions: how often a change is named that is none, how soon one that is, and what is never compared."""

import json
import math
import random
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_report import XEON, Page, run

from edgekit.cli.history import history as command
from edgekit.gating.sequential import decide
from edgekit.history import history
from edgekit.history.changes import JUDGED, changes
from edgekit.reporting import report
from edgekit.reporting.html import html
from edgekit.reporting.markdown import markdown
from edgekit.runs import append, read

RECORDED = Path(__file__).parent.parent / "benchmarks/results/gate-launches-x86-vnni.json"
PERCENT = math.log(1.01)


@pytest.fixture(scope="module")
def gates():
    """Gates of a file against itself, of each of the four recorded files: log ratio and standard error."""
    rng, found = random.Random(5), []
    for launches in json.loads(RECORDED.read_text("utf-8")).values():
        middle = sum(launches) / len(launches)
        own = [decide(lambda of=launches, off=middle: rng.choice(of) - off, 0.05).estimate for _ in range(150)]
        found.append([(gate.value, gate.error) for gate in own])
    return found


def named(gates, rng, truth):
    """What is said of a history whose true log ratios are `truth`, measured by gates."""
    drawn = [rng.choice(gates) for _ in truth]
    return changes([true + value for true, (value, _) in zip(truth, drawn, strict=True)], [e for _, e in drawn], 1.0)


def test_flat_histories_are_not_named(gates):
    rng = random.Random(1)
    alarms = sum(bool(named(gates[n % 4], rng, [0.0] * 20)) for n in range(1000))
    assert alarms < 10  # of 1,000


def test_a_drift_below_the_gates_limit_is_named_by_its_eighth_commit(gates):
    rng = random.Random(2)
    truth = [0.0] * 12 + [PERCENT * n for n in range(1, 9)]
    for file in gates:
        found = [named(file, rng, truth) for _ in range(50)]
        assert sum(bool(of) and of[-1].percent > 0 for of in found) >= 49


def test_a_drift_of_twenty_commits_is_one_change_with_its_size(gates):
    (change,) = named(gates[0], random.Random(3), [0.0] * 8 + [PERCENT * n for n in range(1, 21)] + [20 * PERCENT] * 8)
    assert change.kind == "drift"
    assert 5 <= change.first <= 12
    assert 25 <= change.last <= 29
    assert 18 < change.percent < 25


def test_a_step_is_named_where_it_is_and_an_accident_is_not():
    rng = random.Random(6)
    errors = [0.005] * 30
    (change,) = changes([(0.05 if n >= 17 else 0) + rng.gauss(0, 0.005) for n in range(30)], errors, 1)
    assert (change.kind, change.first, change.last) == ("step", 17, 17)
    assert change.low < 100 * math.expm1(0.05) < change.high
    assert changes([0.2 if n == 12 else rng.gauss(0, 0.005) for n in range(30)], errors, 1) == []
    assert len(changes([0.1 if 10 <= n < 20 else 0 for n in range(30)], errors, 1)) == 2  # up, and down again
    assert changes([0.5 * (n > 3) for n in range(JUDGED - 1)], errors[: JUDGED - 1], 1) == []


def test_counts_are_exact():
    assert changes([18.0, 18.0, 18.02], None, 1)[0].first == 2
    assert changes([18.0, 18.00005, 18.0, 18.00005], None, 0.001) == []
    assert changes([18.0, 18.005], None, 1) == []  # half a percent


def sessions(ms, *, beside=None, host=XEON, start=0, name="a-int8", **more):
    """A run a session, each a day; `beside`: what else ran, as runs of the same session."""
    found = []
    for n, value in enumerate(ms, start):
        when = {"session": f"s{n}", "made": f"2026-{n // 28 + 1:02}-{n % 28 + 1:02}T10:00:00+00:00", "host": host}
        found.append(run(name, value, digest=f"{name} {value}", **when, **more))
        found += [run(*arguments, **when, **options) for arguments, options in (beside(n) if beside else ())]
    return found


def fixed(n, weather=None):
    ms = 2.0 if weather is None else weather[n]
    return [(("a-int8", ms), {"runtime": "reference", "facts": {"runtime": "numpy 2.3"}, "digest": "other"})]


def test_times_of_a_machine_that_slowed_down_are_no_change():
    weather = [2.0] * 8 + [3.0] * 8
    slowed = sessions([4.0] * 8 + [6.0] * 8, beside=lambda n: fixed(n, weather))
    (series,) = history(slowed).series
    assert series.over == "the fixed computation (numpy 2.3)"
    assert series.changes == ()


def test_a_file_that_became_slower_is_named_with_its_bytes():
    (series,) = history(sessions([4.0] * 8 + [4.4] * 8, beside=fixed)).series
    (change,) = series.changes
    assert (change.kind, round(change.percent)) == ("step", 10)
    assert series.points[change.first].made.startswith("2026-01-09")
    assert series.files(change) == 1
    assert series.figure(series.points[0]) == pytest.approx(2.0, rel=1e-3)


def test_an_unchanged_file_of_the_same_sessions_serves_as_well():
    old = lambda n: [(("old", 8.0), {"digest": "the same"})]  # noqa: E731
    found = history(sessions([4.0] * 8 + [4.4] * 8, beside=old))
    over = {series.name: series.over for series in found.series}
    assert over["a-int8"] == "old"
    assert [series.name for series in found.series if series.changes] == ["a-int8"]


def test_machines_are_never_compared_and_what_ran_alone_is_said():
    other = XEON | {"cpu": "EPYC"}
    two = sessions([4.0] * 8, beside=fixed) + sessions([9.0] * 8, beside=fixed, host=other, start=8)
    found = history(two)
    assert [len(series.points) for series in found.series] == [8, 8]
    assert not any(series.changes for series in found.series)
    alone = history(sessions([4.0] * 8 + [8.0] * 8))
    assert (alone.series, alone.alone) == ((), ("a-int8",))
    once = history(sessions([4.0] * 3) + sessions([4.0], beside=fixed, start=3))
    assert (once.series, once.alone) == ((), ("a-int8",))


def test_nothing_false_is_said_of_a_file_that_was_timed_alone(tmp_path):
    file = tmp_path / "runs.jsonl"
    append(file, sessions([4.0] * 3))
    said = CliRunner().invoke(command, [str(file)])
    assert "a-int8: timed alone" in said.stderr
    assert said.stdout == "no file has two sessions that can be compared\n"


def test_of_a_file_that_is_none_few_lines_are_named(tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(b"\x00\n" * 5000)
    said = CliRunner().invoke(command, [str(file)])
    assert (said.exit_code, said.stderr.count("model.tflite"), "line 2" in said.stderr) == (2, 1, False)
    append(file, sessions([4.0] * 3))
    warnings = read([file])[1]
    assert len(warnings) == 4
    assert warnings[-1] == f"{file}: 4,997 more lines like these left out"


def test_counts_of_one_core_are_one_series_wherever_they_were_made():
    counts = [{"timed": False, "counts": (count,), "device": "arm64:cortex-a76"} for count in (100, 100, 103)]
    runs = [
        run(session=f"s{n}", made=f"2026-01-0{n + 1}T00:00:00+00:00", host=XEON | {"cpu": str(n)}, launches=(), **more)
        for n, more in enumerate(counts)
    ]
    (series,) = history(runs).series
    assert (series.unit, [round(c.percent) for c in series.changes]) == ("instructions", [3])


def test_the_command_and_the_report_say_the_same(tmp_path):
    file = tmp_path / "runs.jsonl"
    append(file, sessions([4.0] * 8 + [4.4] * 8, beside=fixed, name="<b>"))
    said = CliRunner().invoke(command, [str(file)])
    assert said.exit_code == 0
    assert "step  +10.0 %" in said.output
    assert "1 of 1 series changed" in said.output
    document = json.loads(CliRunner().invoke(command, [str(file), "--json", "--at-least", "20"]).stdout)
    assert document["series"][0]["changes"] == []
    made = report(*read([file]))
    page = html(made)
    assert "step  +10.0" in Page(page).text
    assert "<b>" not in page
    assert "+10.0 %" in markdown(made)
    assert "numpy" not in markdown(made).split("## Change points")[0]  # the fixed computation is no file of the report
