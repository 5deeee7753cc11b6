"""Rows on a Ray cluster, of which there is a stand-in here; `make ray` asks Ray itself."""

import sys
from types import SimpleNamespace

import pytest

from edgekit.devices import host
from edgekit.errors import DeviceError, MissingExtraError
from edgekit.sweep.engines import Job
from edgekit.sweep.ray import LABEL, Ray


class RayError(Exception):
    pass


class Task:
    def __init__(self, cluster, function, options):
        self.cluster, self.function, self.asked = cluster, function, options

    def options(self, **more):
        return Task(self.cluster, self.function, self.asked | more)

    def remote(self, command):
        self.cluster.asked.append(self.asked)
        return lambda: self.function(command)


class Cluster:
    """As much of Ray as the engine asks for; the last that was submitted ends first."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, *, there=False, labels=None, resources=None, starts=True):
        self.there, self.starts = there, starts
        self.labels, self.resources = labels or {}, resources or {}
        self.asked, self.begun, self.cancelled, self.down = [], [], [], False

    def init(self, **how):
        if how["address"] != "local" and not self.there:
            raise ConnectionError("Could not find any running Ray instance")
        if not self.starts:
            raise RuntimeError("The current node timed out during startup\nmore")
        self.begun.append(how)
        self.labels = how.get("labels", self.labels)

    def nodes(self):
        return [{"Alive": False, "Labels": {LABEL: "gone"}}, {"Alive": True, "Labels": self.labels}]

    def cluster_resources(self):
        return {"CPU": 2.0} | self.resources

    def remote(self, **options):
        return lambda function: Task(self, function, options)

    def wait(self, references, num_returns):
        return references[-1:], references[:-1]

    def get(self, reference):
        return reference()

    def cancel(self, reference, force):
        self.cancelled.append(reference)

    def shutdown(self):
        self.down = True


@pytest.fixture
def cluster(monkeypatch):
    def put(**how):
        made = Cluster(**how)
        monkeypatch.setitem(sys.modules, "ray", made)
        for name in (
            "RAY_ADDRESS",
            "RAY_AUTH_MODE",
            "RAY_USAGE_STATS_ENABLED",
            "RAY_enable_metrics_collection",
            "RAY_worker_niceness",
        ):
            monkeypatch.setenv(name, "")  # so that they are as they were after the test
            monkeypatch.delenv(name)
        return made

    return put


def jobs(*codes, device="local"):
    said = "import sys; print('told'); print('said', file=sys.stderr); sys.exit({})"
    return [Job(n, (sys.executable, "-c", said.format(code)), device) for n, code in enumerate(codes)]


def test_each_row_is_a_task_that_runs_its_command(cluster, tmp_path):
    ray = cluster()
    ended = list(Ray(3).run(jobs(0, 4, 0), tmp_path))
    assert [(one.number, one.exit_code, one.told, one.said) for one in ended] == [
        (2, 0, b"told\n", "said"),
        (1, 4, b"told\n", "said"),
        (0, 0, b"told\n", "said"),
    ]
    (begun,) = ray.begun
    assert (begun["address"], begun["num_cpus"], begun["labels"]) == ("local", 3, {LABEL: host.cpu_class()})
    assert not begun["include_dashboard"]
    assert all(asked["num_cpus"] == 1 and asked["label_selector"] == begun["labels"] for asked in ray.asked)
    assert ray.down


def test_a_cluster_that_is_there_is_used_and_asked_for_what_rows_need(cluster, tmp_path, monkeypatch):
    ray = cluster(there=True, labels={LABEL: host.cpu_class()}, resources={"adb:serial": 1.0})
    list(Ray().run(jobs(0, device="adb:serial"), tmp_path))
    assert [how["address"] for how in ray.begun] == ["auto"]
    assert ray.asked[0]["resources"] == {"adb:serial": 1.0}
    with pytest.raises(DeviceError, match="no node of the Ray cluster has adb:other, which row 0 wants"):
        list(Ray().run(jobs(0, device="adb:other"), tmp_path))
    cluster(there=True, labels={LABEL: "riscv"})
    with pytest.raises(DeviceError, match="none of 1 nodes of the Ray cluster has the label cpu-class"):
        list(Ray().run(jobs(0), tmp_path))
    cluster()
    monkeypatch.setenv("RAY_ADDRESS", "far:6379")
    with pytest.raises(DeviceError, match="no Ray at far:6379"):
        list(Ray().run(jobs(0), tmp_path))


def test_a_row_whose_worker_dies_again_and_again_is_one_row(cluster, tmp_path, monkeypatch):
    ray = cluster()

    def get(reference):
        raise RayError("The worker died unexpectedly\nand much more")

    monkeypatch.setattr(ray, "get", get)
    (ended,) = Ray().run(jobs(0), tmp_path)
    assert (ended.exit_code, ended.said) == (1, "Ray gave it up: The worker died unexpectedly")


def test_who_leaves_cancels_what_is_left(cluster, tmp_path):
    ray = cluster()
    ended = Ray().run(jobs(0, 0, 0), tmp_path)
    next(ended)
    ended.close()
    assert (len(ray.cancelled), ray.down) == (2, True)


def test_a_ray_that_does_not_start_or_is_not_there_is_told_in_a_line(cluster, tmp_path, monkeypatch):
    cluster(starts=False)
    with pytest.raises(DeviceError, match="Ray does not start: The current node timed out during startup") as error:
        list(Ray().run(jobs(0), tmp_path))
    assert "more" not in str(error.value)
    assert error.value.hint == "--engine local"
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError) as missing:
        Ray()  # before a row is planned
    assert "[ray]" in missing.value.hint
