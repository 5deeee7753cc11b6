"""What a training step costs against the same step written by hand, and how fast images are read.

    python benchmarks/fetch.py fashion
    OMP_WAIT_POLICY=passive python benchmarks/train_cost.py

CPU time, one thread; the steps take turns, and the ratio is the median over pairs.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from timm.optim import create_optimizer_v2
from torch.nn import functional

from edgekit.data import open_splits
from edgekit.devices import host
from edgekit.preprocess import Preprocess
from edgekit.training import Settings, batches
from edgekit.training.learner import Learner
from edgekit.training.objective import Classes
from edgekit.training.settings import AUGMENTS
from edgekit.training.world import World

DATA = Path(__file__).resolve().parent.parent / ".cache" / "data" / "fashion-mnist"
STEPS, WARM = 30, 5
SIZE = (96, 96)


def network(name: str) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=10).train()


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def step_ratio() -> float:
    """edgekit's step through mobilenetv2_035, 32 images of 64 px, over a plain one."""
    asked = Settings(model="mobilenetv2_035", data="")
    objective = Classes(asked, Preprocess(SIZE))
    ours = Learner(network(asked.model), objective, asked, STEPS, World(0, 1, torch.device("cpu")))
    theirs = network(asked.model).to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(theirs, asked.optimizer, asked.lr, asked.weight_decay)
    x, y = torch.randn(32, 3, 64, 64).to(memory_format=torch.channels_last), torch.randint(0, 10, (32,))
    batch = batches.Batch(x, y, tuple((int(v),) for v in y), torch.ones(32), ())

    def by_hand() -> None:
        loss = functional.cross_entropy(theirs(x), y, label_smoothing=asked.smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    pairs = [(seconds(lambda i=i: ours.step(batch, i)), seconds(by_hand)) for i in range(STEPS)]  # type: ignore[misc]
    return statistics.median(a / b for a, b in pairs[WARM:])


def reading_rate(augment: Any) -> float:
    """Images of Fashion-MNIST in a CPU second, made ready for SIZE."""
    asked, data, spec = Settings(model="", data="", augment=augment), open_splits(DATA).train, Preprocess(SIZE, 1.0)
    parts, learned = batches.epoch_batches(len(data), asked, 0)[:20], Classes(asked, spec)
    stream = batches.stream(data, parts, learned.random, learned.nothing, 0, (0,))
    return sum(map(len, parts)) / seconds(lambda: list(stream))


def training_rate(name: str) -> float:
    """Images of SIZE in a CPU second, forward and backward."""
    net = network(name).to(memory_format=torch.channels_last)
    x, y = torch.randn(32, 3, *SIZE).to(memory_format=torch.channels_last), torch.randint(0, 10, (32,))
    return 4 * 32 / seconds(lambda: [functional.cross_entropy(net(x), y).backward() for _ in range(4)])  # type: ignore[no-untyped-call]


def main() -> None:
    torch.set_num_threads(1)
    print(f"CPU class {host.cpu_class()}")
    print(f"a step costs {step_ratio():.3f} times one by hand")
    for augment in AUGMENTS:
        print(f"augment {augment}: {reading_rate(augment):,.0f} images a CPU second at {SIZE[0]} px")
    for name in ("mobilenetv2_035", "mobilenetv2_100"):
        print(f"{name} trains on {training_rate(name):,.0f}")


if __name__ == "__main__":
    main()
