"""A network with all that changes it in a step, and the state that makes it go on bit for bit."""

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from edgekit.errors import TrainingError, UnsupportedError
from edgekit.models import heads
from edgekit.models.trained import Score
from edgekit.training import quantized, randomness
from edgekit.training.batches import Batch
from edgekit.training.objective import Objective
from edgekit.training.quantized import FakeQuantized, Judged
from edgekit.training.settings import Settings
from edgekit.training.world import World

NO_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


class Learner:
    """
    module  what is trained and saved; float32
    kept    what is kept: its moving average where there is one, else the module itself
    grid    of quantization-aware training: the module through the int8 grid
    whole   what learns: the grid, the head alone where it is given features, else the module
    """

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        settings: Settings,
        steps: int,
        world: World,
        *,
        of_features: bool = False,
    ) -> None:
        """steps: in an epoch; of_features: the batches hold what the head is given, not images."""
        self.module, self.objective, self.settings, self.world = world.place(module), objective, settings, world
        self.head = heads.head(module) if settings.freeze else None
        if self.head is not None:
            module.requires_grad_(False)
            self.head.requires_grad_(True)
        self.optimizer = create_optimizer_v2(
            module, settings.optimizer, settings.lr, settings.weight_decay, layer_decay=settings.layer_decay
        )
        self.scheduler, _ = create_scheduler_v2(
            self.optimizer,
            settings.schedule,
            num_epochs=settings.epochs,
            warmup_epochs=settings.warmup * settings.epochs,
            warmup_lr=settings.lr / 100,
            step_on_epochs=False,
            updates_per_epoch=steps,
        )
        self.average = ModelEmaV3(module, settings.ema, use_warmup=True) if settings.ema else None
        self.grid = FakeQuantized(module).to(world.device) if settings.qat else None
        self.whole = self.head if self.head is not None and of_features else self.grid or objective.taught(module)
        self.net = world.spread(self.whole)
        gpu = world.device.type == "cuda"
        self.half = gpu and torch.cuda.is_bf16_supported()

    def close(self) -> None:
        """Let go of what spreads it over processes: see world.join."""
        self.net = self.whole

    @property
    def kept(self) -> nn.Module:
        return self.average.module if self.average else self.module

    @property
    def judged(self) -> nn.Module:
        """What is measured: of quantization-aware training, what is kept as an int8 file would see it."""
        return Judged(self.grid, self.kept) if self.grid else self.objective.taught(self.kept)

    def finished(self) -> nn.Module:
        """What is saved."""
        if not self.grid:
            return self.kept
        made = copy.deepcopy(self.kept)
        quantized.bake(made)
        return made

    @property
    def rate(self) -> float:
        """The largest learning rate of the last step."""
        return float(max(group["lr"] for group in self.optimizer.param_groups))

    def step(self, batch: Batch, number: int) -> tuple[float, int]:
        """The mean loss over the readable images of all processes, and their number. `number` counts from 0.

        Raises TrainingError, before anything changes, where the loss is not a number.
        """
        if self.scheduler is not None:
            self.scheduler.step_update(number)  # depends on the number alone
        randomness.reseed(self.settings.seed, randomness.STEP, number, self.world.rank)
        self._train_mode()
        images = self.world.place(batch.images)
        truth, weight = (t.to(self.world.device) for t in (batch.truth, batch.weight))
        with torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.half):
            scores = self.net(images)
        if not isinstance(scores, Tensor):
            raise UnsupportedError(
                f"in training the model answers {type(scores).__name__}, not scores", hint="a model with one head"
            )
        total = (self.objective.loss(scores.float(), images, truth) * weight).sum()
        count = self.world.sum(weight.sum()).clamp(min=1)
        mean = (self.world.sum(total.detach()) / count).item()
        if not math.isfinite(mean):
            raise TrainingError(f"the loss is {mean} at step {number + 1}", hint="a smaller --lr or a longer --warmup")
        self.optimizer.zero_grad()
        # of several processes the gradients are averaged
        (total * self.world.size / count).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.average:
            self.average.update(self.module, step=number + 1)
        return mean, round(count.item())

    def _train_mode(self) -> None:
        """A frozen body keeps the statistics that it has."""
        self.net.train(self.head is None)
        if self.head is not None:
            self.head.train()

    def state(self) -> dict[str, Any]:
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.module.state_dict() if self.average else None,
            "grid": [self.grid.ranges, self.grid.seen] if self.grid else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
        if self.grid:
            for own, saved in zip((self.grid.ranges, self.grid.seen), state["grid"], strict=True):
                own.copy_(saved)


def score(module: nn.Module, objective: Objective, batches: Iterable[Batch], world: World) -> Score:
    """How good a model is; each process brings batches of its own. An image that cannot be read does not count."""
    module.eval()
    with torch.inference_mode():
        counted = [objective.count(module(world.place(batch.images)).float(), batch) for batch in batches]
    return objective.score(world.all(counted))


def in_plain_words(error: RuntimeError, settings: Settings) -> TrainingError | None:
    """Where memory ran out or a process died; None for another error of torch's."""
    if any(sign in str(error) for sign in NO_MEMORY):
        said = f"not enough memory for {settings.batch} images in a step"
        return TrainingError(said, hint=f"--batch {settings.batch // 2}, and --fresh: it changes the result")
    if "DataLoader worker" in str(error):
        return TrainingError("a process that reads images died", hint="--resume --workers 0 goes on without them")
    return None
