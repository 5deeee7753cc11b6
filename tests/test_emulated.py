"""Emulated devices, without the emulator: cores, counting, and set-ups that are whole or not there."""

import os
import struct

import pytest
from conftest import ask_edgekit, run_edgekit

import edgekit
from edgekit import registry
from edgekit.devices import arm64, cache, counting, emulated, packages, qemu
from edgekit.devices.x86 import X86
from edgekit.errors import DeviceError, OutputError, UnknownNameError, UnsupportedError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache of this test's own, with nothing in it."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_first_core_is_meant_where_none_is_named():
    assert registry.device("arm64").name == "arm64:cortex-a76"
    assert registry.device("x86").name == "x86:haswell"
    assert registry.device("arm64:cortex-a53").counts
    assert not registry.device("arm64:cortex-a53").timed


@pytest.mark.parametrize("name", ["arm64:max", "arm64:cortex-a75", "x86:skylake"])
def test_unknown_cores(name):
    with pytest.raises(UnknownNameError, match=f"unknown device '{name}'"):
        registry.device(name)


@pytest.mark.parametrize(
    ("name", "part", "midr", "dot_products"),
    [
        ("cortex-a76", "0xd0b", "0x00000000414fd0b1", True),
        ("cortex-a72", "0xd08", "0x00000000410fd083", False),
        ("cortex-a53", "0xd03", "0x00000000410fd034", False),
        ("neoverse-n1", "0xd0c", "0x00000000414fd0c1", True),
    ],
)
def test_a_core_says_the_same_in_all_its_files(name, part, midr, dot_products):
    cpuinfo, register = arm64.CORES[name].files.values()
    fields = dict(line.split(":") for line in cpuinfo.splitlines() if line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    assert (fields["CPU part"], register.strip()) == (part, midr)
    assert ("asimddp" in fields["Features"].split()) == dot_products


def test_haswell_has_avx2_and_nothing_later():
    flags = set(X86.cores["haswell"].files["proc/cpuinfo"].split())
    assert "avx2" in flags
    assert not any(flag.startswith(("avx512", "avx_vnni", "amx")) for flag in flags)


@pytest.mark.parametrize("kind", ["arm64", "x86"])
def test_what_is_not_set_up_says_how(kind, golden_artifact):
    with pytest.raises(DeviceError) as caught:
        registry.device(kind).state()
    assert caught.value.hint == f"edgekit doctor --setup {kind}"
    done = run_edgekit("verify", golden_artifact, "--on", kind)
    assert done.returncode == 3
    assert done.stderr.endswith(f"is not set up\n  try: edgekit doctor --setup {kind}\n")


def test_set_up_of_what_needs_none():
    done = ask_edgekit("doctor", "--setup", "local")
    assert (done.returncode, done.stderr) == (2, "error: local needs no set-up\n  try: edgekit doctor\n")
    assert ask_edgekit("doctor", "--setup", "arm65").returncode == 2


def test_counting_where_nothing_counts():
    with pytest.raises(UnsupportedError, match="nothing counts"):
        counting.count(lambda: None, 3)


def test_counts_are_what_passed_between_two_marks(monkeypatch):
    """The emulator's part, played: a mark writes the count so far to the descriptor that it names."""
    total, close = 100, os.close

    def closed(fd):
        if fd < counting.MARK:
            return close(fd)
        os.write(fd - counting.MARK, struct.pack("=Q", total))
        raise OSError

    def run():
        nonlocal total
        total += 7

    monkeypatch.setattr(os, "close", closed)
    assert counting.count(run, 3) == (7, 7, 7)
    assert total == 100 + 7 * (3 + counting.WARMUP)


def test_a_part_is_there_whole_or_not_at_all(home):
    def half(folder, downloads):
        (downloads / "kept.deb").touch()
        (folder / "something").touch()
        raise DeviceError("the network went away")

    def whole(folder, downloads):
        assert (downloads / "kept.deb").exists()
        assert not list(folder.iterdir())
        (folder / "program").touch()
        return {"program": "1"}

    with pytest.raises(DeviceError):
        cache.make("part", half)
    assert cache.part("part") is None
    cache.make("part", whole)
    assert cache.part("part") == cache.Part(home / "part", {"program": "1"})
    assert {p.name for p in home.iterdir()} == {"part", "part.lock"}
    with pytest.raises(DeviceError):  # what was there stays
        cache.make("part", half)
    assert (home / "part" / "program").exists()


def test_what_a_killed_set_up_left_is_no_part(home):
    (home / "part").mkdir(parents=True)
    (home / "part.partial").mkdir()
    (home / "part.partial" / "rest").touch()
    assert cache.part("part") is None
    assert cache.make("part", lambda folder, downloads: {}).holds == {}
    assert not (home / "part" / "rest").exists()


def test_two_set_ups_at_once():
    def again(folder, downloads):
        cache.make("part", lambda folder, downloads: {})

    with pytest.raises(DeviceError, match="another process is setting up part"):
        cache.make("part", again)


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(OutputError) as caught:
        cache.make("part", lambda folder, downloads: {})
    assert "EDGEKIT_CACHE" in caught.value.hint


def test_a_tool_that_fails_is_said_in_one_line():
    with pytest.raises(DeviceError) as caught:
        cache.run(["sh", "-c", "echo first >&2; echo 'E: no such package' >&2; exit 100"], "find qemu")
    assert caught.value.message == "cannot find qemu: E: no such package"


APT = """#!/bin/sh
case "$*" in
  *update*) test -s "$APT_CONFIG" ;;
  *--print-uris*) printf "'http://d/a.deb' qemu-user_1%%3a7.2+dfsg-7_amd64.deb 12000000 SHA256:0\n" ;;
  *) cd "$(dirname "$APT_CONFIG")" && touch qemu-user_1%3a7.2+dfsg-7_amd64.deb ;;
esac
"""


def test_debian_packages_by_a_fake_apt(monkeypatch, tmp_path):
    for name, script in (
        ("apt-get", APT),
        ("dpkg", "#!/bin/sh\necho amd64"),
        ("dpkg-deb", '#!/bin/sh\nmkdir -p "$3/usr/bin" && touch "$3/usr/bin/qemu-aarch64" "$3/usr/bin/qemu-hppa"'),
    ):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(qemu, "_compile", lambda there, say: None)
    said = []
    registry.device("x86").set_up(said.append)
    assert "downloading qemu-user and what that needs: 1 packages, 12 MB" in said
    there = cache.part("qemu")
    assert there.holds == {"qemu-user": "1:7.2+dfsg-7"}
    assert [p.name for p in (there.folder / "usr/bin").iterdir()] == ["qemu-aarch64"]  # the others are not kept


def test_a_system_that_is_no_debian(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match="apt-get is not installed"):
        registry.device("arm64").set_up(print)


@pytest.mark.parametrize(
    ("debian", "version", "why"),
    [("1:7.2+dfsg-7+deb12u18", "7.2", "no C compiler"), ("1:10.0.13+ds-0+deb13u1", "10.0.13", "has no plugins")],
)
def test_where_nothing_can_count_a_device_still_answers(monkeypatch, debian, version, why):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    cache.make("qemu", lambda folder, downloads: {"qemu-user": debian})
    said = []
    device = registry.device("x86")
    device.set_up(said.append)
    assert why in said[0]
    assert device.state() == f"QEMU {version}, does not count"


def test_wheels_of_other_versions_than_here_are_renewed():
    import numpy

    assert packages.installed_here({"numpy": numpy.__version__, "not-installed-here": "3"})
    assert not packages.installed_here({"numpy": "1.0"})


def test_a_guest_gets_this_edgekit_and_its_plugins(tmp_path):
    arm64._this_edgekit(tmp_path / "guest")
    found = {path.name for path in (tmp_path / "guest").iterdir()}
    assert found == {"edgekit", "edgekit_vision.py", f"edgekit_vision-{edgekit.__version__}.dist-info"}
    assert "litert" in next((tmp_path / "guest").glob("*/entry_points.txt")).read_text()


def test_counts_of_several_threads_are_refused():
    from edgekit.devices import Job
    from edgekit.runtimes import Options

    worker = object.__new__(emulated.EmulatedWorker)
    worker.job, worker.counts = Job("model", "litert", Options(threads=2)), True
    with pytest.raises(UnsupportedError, match="of one thread"):
        worker.count(1)
    worker.counts = False
    with pytest.raises(DeviceError, match="not counted here"):
        worker.count(1)
