from edgekit.bench.latency import Samples, measure, ratio


class Clock:
    """A clock that only the calls under test move."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now

    def work(self, cost):
        def call():
            self.now += cost

        return call


def test_every_call_runs_once_a_round_and_is_timed_apart():
    clock = Clock()
    ticks = []
    samples = measure(
        [clock.work(300), clock.work(100)],
        rounds=7,
        warmup=2,
        tick=lambda: ticks.append(1),
        cpu_clock=clock,
        wall_clock=clock,
    )
    assert [s.cpu for s in samples] == [[300] * 7, [100] * 7]
    assert len(ticks) == 7


def test_the_order_changes_from_round_to_round():
    seen = []
    measure([lambda: seen.append("a"), lambda: seen.append("b")], rounds=20, warmup=0)
    rounds = ["".join(seen[i : i + 2]) for i in range(0, 40, 2)]
    assert set(rounds) == {"ab", "ba"}


def test_a_ratio_is_taken_inside_rounds():
    slow_machine = [1, 1, 10, 10, 1, 10, 1, 1, 10, 1]  # whatever slows a round slows both
    a = Samples(cpu=[200 * s for s in slow_machine])
    b = Samples(cpu=[100 * s for s in slow_machine])
    r = ratio(a, b)
    assert (r.value, r.low, r.high) == (2.0, 2.0, 2.0)


def test_the_interval_holds_the_median():
    a = Samples(cpu=list(range(100, 160)))
    b = Samples(cpu=[100] * 60)
    r = ratio(a, b)
    assert r.low < r.value < r.high
