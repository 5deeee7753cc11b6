"""Runs of every kind on one page: what it says, that it needs nothing else, and that names in it stay names."""

import errno
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from conftest import ask_edgekit, run_edgekit

from edgekit.cli.report import report as command
from edgekit.devices import Memory, Phase
from edgekit.errors import OutputError
from edgekit.reporting import history, labels, machines, pages, report, rows, svg, table, tables, words
from edgekit.reporting.html import html
from edgekit.reporting.markdown import markdown
from edgekit.runs import Evaluated, Launch, Run, Subject, append
from edgekit.statistics.proportions import wilson

EVIL = '"></title><script>alert(1)</script><img src=https://x.example onerror=alert(1)>|`a`'
XEON = {
    "cpu_class": "x86-vnni",
    "cpu": "Xeon",
    "machine": "x86_64",
    "system": "Linux",
    "cores": "2",
    "python": "3.11.7",
}
VOID = {"meta", "link", "img", "br", "circle", "path", "rect", "polygon"}


def run(name="a-int8", ms=4.0, *, session="s1", made="2026-10-01T10:00:00+00:00", digest="", **more):
    """Three launches of 60 inferences each, the launches 1 % apart."""
    phase = Phase(9_000_000, 8_000_000)
    cpu = [tuple(round(1e6 * ms * (1 + n / 100) * (1 + i / 1000)) for i in range(60)) for n in range(3)]
    launches = tuple(Launch(phase, phase, phase, ns, ns, 0, Memory(1, 2, 3, 4, 5, 9_000_002)) for ns in cpu)
    told = {"target": "onnx", "runtime": "onnxruntime", "device": "local", "host": XEON, "launches": launches}
    target = more.pop("target", told.pop("target"))
    facts = more.pop("facts", {"runtime": "onnxruntime 1.32.0"})
    subject = Subject(name, f"build/{name}", target, digest or f"bytes of {name}", round(ms * 1e6))
    fixed = {"edgekit": "0.1.0", "threads": 1, "batch": more.pop("batch", 1), "fed": "", "facts": facts}
    return Run(session=session, made=made, subject=subject, **fixed, **(told | more))


def evaluated(of, hits, *, data="clothes", **more):
    told = {"runtime": of.facts["runtime"], "device": of.device, "cpu_class": "x86-vnni", "subject": of.subject}
    share = wilson(hits, 1000)
    return Evaluated(made=of.made, edgekit="0.1.0", data=data, pictures=1000, top1=share, top5=None, **(told | more))


class Page(HTMLParser):
    """A page as its elements; every element that is opened is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "srcset")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def only(records):
    (machine,) = machines.by_machine(records)
    return machine


def test_twenty_runs_are_one_light_page_that_needs_nothing_else():
    files = [run(f"model{n}-int8", 3 + n, target=("tflite", "onnx", "openvino", "other")[n % 4]) for n in range(20)]
    records = [*files, *(evaluated(file, 900 - n) for n, file in enumerate(files))]
    text = html(report(records))
    page = Page(text)
    assert all(link.startswith("#") for link in page.links)
    assert re.findall(r"url\(|@import|https?://", text) == []
    assert page.tags.count("script") == 1
    assert len(text.encode()) < 500_000
    assert all(page.text.count(file.name) > 5 for file in files)
    assert text.count("<th scope=") == 2 * 20 + text.count('<th scope="col"')
    assert text == html(report(records))


def test_names_stay_names():
    records = [run(EVIL), run("b", 5.0), run(EVIL, session="s2"), run("c", error=EVIL, launches=())]
    records += [evaluated(records[0], 900), evaluated(records[1], 890, data=EVIL)]
    made = report(records, [EVIL], EVIL)
    page = Page(html(made))
    assert EVIL in page.text
    assert (page.tags.count("script"), page.tags.count("img")) == (1, 0)
    text = markdown(made)
    assert "<script" not in text
    assert "|`a`" not in text
    assert table.markdown_text("[x](y)\n**z** a|b <i>") == r"[x]\(y) \*\*z\*\* a\|b &lt;i>"


def test_the_summary_in_plain_words():
    fast, slow, poor = run("fast", 4.0), run("slow", 8.0), run("poor", 9.0)
    machine = only([slow, poor, fast, evaluated(fast, 880), evaluated(slow, 900), evaluated(poor, 700)])
    said = {h.what: (h.name, h.figure, h.remark) for h in words.headlines(machine)}
    assert said["Fastest"][0] == "fast"
    assert said["Fastest"][1].startswith("4.16 ms [")  # as edgekit bench says it: the median of the launches' medians
    assert said["Fastest"][2] == "the next, slow, takes 2.00 [2.00, 2.00] times as long"
    assert said["Smallest"][:2] == ("fast", "4.00 MB")
    assert said["Most accurate"] == ("slow", "90.0 % [88.0, 91.7]", "its interval overlaps that of fast")
    assert said["Least memory"][1] == "9.00 MB"
    assert [entry.name for entry in machine.front()] == ["fast", "slow"]
    assert "Pareto front (no other file is both faster and at least as accurate): fast and slow." in words.sentences(
        machine
    )


def test_accuracy_belongs_to_the_same_bytes_runtime_class_and_images():
    a, b = run("a"), run("b", 5.0)
    strangers = [
        evaluated(run("b", digest="another"), 1),
        evaluated(b, 2, runtime="openvino 2026"),
        evaluated(b, 3, cpu_class="arm"),
        evaluated(b, 4, data="photos"),
    ]
    machine = only([a, b, evaluated(a, 900), *strangers])
    assert [entry.name for entry in machine.entries if entry.accuracy] == ["a"]
    assert not machine.by_accuracy
    assert any("No accuracy is drawn" in said for said in words.sentences(machine))
    assert "CPU time against size" in html(report([a, b]))
    fitting = only([a, b, evaluated(a, 900), evaluated(b, 800), *strangers])
    assert [entry.headline.value for entry in fitting.entries] == [0.9, 0.8]
    assert fitting.data == "1,000 clothes"


def test_machines_are_never_mixed():
    laptop = run("b", 1.0, host=XEON | {"cpu": "Core"}, session="s2")
    phone = run("c", 1.0, host={"cpu_class": "arm-dotprod"}, device="adb", session="s3")
    eight = run("d", 1.0, batch=8)
    made = report([run("a"), laptop, phone, eight])
    assert [[e.name for e in m.entries] for m in made.machines] == [["a"], ["b"], ["c"], ["d"]]
    assert Page(html(made)).text.count("Fastest") == 4


def test_a_file_named_twice_is_two_and_a_record_read_twice_is_one():
    twice = [run("a"), run("a", 4.1)]
    (machine,) = report([*twice, *twice]).machines
    assert [(entry.name, entry.earlier) for entry in machine.entries] == [
        ("build/a@onnxruntime x1", ()),
        ("build/a@onnxruntime x1 (2)", ()),
    ]


def test_sessions_and_versions_in_one_ranking_are_said():
    newer = run("b", 5.0, session="s2", facts={"runtime": "onnxruntime 1.33.0"})
    said = " ".join(words.sentences(only([run("a"), newer])))
    assert "come from 2 sessions" in said
    assert "taking turns" not in said
    assert "taking turns" in " ".join(words.sentences(only([run("a"), run("b", 5.0)])))
    assert "onnxruntime ran in 2 versions: onnxruntime 1.32.0, onnxruntime 1.33.0" in said
    figures = tables.figures(only([run("a"), newer]))
    assert "measured" in figures.header
    assert [row[figures.header.index("CPU / fastest")].text for row in figures.rows] == ["1", ""]


def test_an_emulated_device_has_counts_and_no_times():
    emulated = {"device": "arm64:cortex-a76", "timed": False, "host": {"cpu_class": "arm-dotprod"}}
    records = [
        run("a", 4.0, counts=(9_000_000, 8_000_000), **emulated),
        run("b", 3.0, counts=(12_000_000,), **emulated),
    ]
    machine = only(records)
    assert [(e.name, e.cost) for e in machine.entries] == [("a", 8.0), ("b", 12.0)]
    counted_only = only([run("a", counts=(9_000_000,), launches=(), **emulated)])  # as they are since bench only counts
    assert [entry.cost for entry in counted_only.entries] == [9]
    uncounted = only([*records, run("c", 1.0, **emulated)])
    assert [entry.name for entry in uncounted.entries] == ["a", "b", "c"]
    assert [entry.name for entry in uncounted.costed] == ["a", "b"]
    text = Page(html(report(records))).text
    assert "Fewest instructions" in text
    assert "8.00 M instructions" in text
    assert "Instructions against size" in text
    for absent in ("4.16", "3.12", "wall, ms", "Every inference", "Start", "memory, MB"):
        assert absent not in text


def test_what_failed_is_shown_and_not_ranked():
    crashed = run("b", 1.0, error="it crashed", host={}, launches=())
    broke = run("a", 1.0, session="s2", made="2026-10-02T10:00:00+00:00", error="no memory")
    machine = only([run("a"), crashed, broke])  # crashed saw nothing of its host: it is its session's
    assert [(e.name, e.run.session) for e in machine.entries] == [("a", "s1")]
    cells = {row[0].text: [cell.text for cell in row[2:]] for row in tables.errors(machine).rows}
    assert cells["b"] == ["it crashed", "0 inferences", "no figures"]
    assert cells["a"] == ["no memory", "180 inferences", "figures of an earlier session"]
    assert "it crashed" in markdown(report([crashed]))
    assert "it crashed" in Page(html(report([crashed]))).text


def test_history_tells_what_changed():
    sessions = [
        run("a", 4.0, session="s1", made="2026-10-01T10:00:00+00:00"),
        run("a", 5.0, session="s3", made="2026-10-03T10:00:00+00:00", facts={"runtime": "onnxruntime 1.33.0"}),
        run("a", 4.5, session="s2", made="2026-10-02T10:00:00+00:00", digest="new"),
    ]
    machine = only(sessions)
    (entry,) = machine.entries
    assert [r.session for r in (*entry.earlier, entry.run)] == ["s1", "s2", "s3"]
    assert history.changed([*entry.earlier, entry.run]) == {
        1: ["the file"],
        2: ["the file", "the runtime"],
    }
    assert "3 sessions" in history.history(machine)
    assert "dashed: the file and the runtime changed" in history.history(machine)
    assert history.history(only(sessions[:1])) == ""


def test_samples_are_thinned_with_both_ends_kept():
    drawn = rows.thinned([*range(1000), 10**9])
    assert len(drawn) == rows.DRAWN
    assert (drawn[0], drawn[-1]) == (0, 10**9)
    assert rows.thinned([3, 1, 2]) == [1, 2, 3]


def test_names_of_twenty_points_do_not_overlap():
    paper = labels.Box(50, 10, 850, 430)
    named = [
        labels.Named(f"mobilenetv2-tflite-int8-{n}", 300 + 9 * n, 200 + 5 * (n % 4), n % 5 == 0) for n in range(20)
    ]
    places = []
    for x, y, anchor, name in re.findall(
        r'x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([^<]+)<',
        "".join(labels.labels(named, paper, labels.Box(50, 10, 90, 28))),
    ):
        wide = 6.2 * len(name)
        left = float(x) - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
        places.append(labels.Box(left, float(y) - 11, left + wide, float(y)))
    assert len(places) == 20
    assert [(a, b) for i, a in enumerate(places) for b in places[i + 1 :] if a.overlap(b)] == []
    assert all(paper.left <= p.left and p.right <= paper.right and paper.top <= p.top for p in places)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (3.8, 4.1), (0.02, 900), (5, 5.0001)])
def test_an_axis_has_round_ticks(low, high):
    scale = svg.spread([low, high])
    assert 2 <= len(scale.ticks()) <= 14
    assert all(0 <= scale(tick) <= 1 for tick in scale.ticks())
    assert scale(low) <= scale(high) <= 1


def test_the_command(tmp_path):
    file = tmp_path / "runs.jsonl"
    append(file, [run("a"), run("b", 5.0)])
    with file.open("a") as half:
        half.write('{"kind":"latency","ses')
    done = run_edgekit("report", file, "-o", "deep/page.html", "--title", "October", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert (told["runs"], told["evaluations"], told["machines"], told["written"]) == (2, 0, 1, "deep/page.html")
    page = (tmp_path / "deep/page.html").read_text("utf-8")
    assert told["bytes"] == (tmp_path / "deep/page.html").stat().st_size
    assert "<h1>October</h1>" in page
    assert "only half written" in page
    assert "only half written" in done.stderr
    said = ask_edgekit("report", file, "-o", "-", cwd=tmp_path).stdout
    assert "## CPU class x86-vnni" in said


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ((), 2, "build/runs.jsonl: No such file"),
        (("empty.jsonl",), 2, "no runs in empty.jsonl"),
        (("foreign.jsonl",), 2, "no runs in foreign.jsonl"),
        (("good.jsonl", "-o", "."), 2, "is a folder"),
        (("good.jsonl", "-o", "report.pdf"), 2, "neither .html nor .md"),
        (("good.jsonl", "-o", "good.jsonl/report.html"), 4, "cannot write"),
        (("good.jsonl", "-o", "-", "--json"), 2, "both want stdout"),
    ],
)
def test_wrong_requests(tmp_path, monkeypatch, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    append(Path("good.jsonl"), [run("a")])
    Path("empty.jsonl").touch()
    Path("foreign.jsonl").write_bytes(b'{"a": 1}\nhello\n{"kind": "\xff"}\n')
    done = CliRunner().invoke(command, list(arguments))
    assert (done.exit_code, done.exception.__class__) == (code, SystemExit)
    assert expected in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.jsonl", "foreign.jsonl", "good.jsonl"]


def test_sizes_below_zero_of_a_damaged_file_of_runs_are_drawn_at_zero():
    scale = svg.from_zero([-0.5, -3.0])
    assert (scale(-0.5), svg.from_zero([]).high, svg.from_zero([2.0]).high) == (0.0, 1.0, 2.04)
    assert scale.ticks()


def test_a_page_takes_its_place_whole_or_not_at_all(tmp_path, monkeypatch):
    place, made = tmp_path / "report.html", report([run()], [], "t")
    assert pages.write(made, place) == place.stat().st_size
    monkeypatch.setattr("edgekit.places.os.fsync", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    before = place.read_bytes()
    with pytest.raises(OutputError, match="No space left"):
        pages.write(report([run("another")], [], "t"), place)
    assert (place.read_bytes(), list(tmp_path.iterdir())) == (before, [place])
