"""Everything that a training carries from step to step, named in one place and saved whole."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ekd.methods import Objective, Step
from ekd.spec import EnvironmentProblem
from ekd.store import RunFolder

UNFIT = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, UnpicklingError)
"""What loading raises where a checkpoint has another layout."""


class Diverged(Exception):
    """The loss or a weight is no longer finite."""


@dataclass
class State:
    """The state of a training; random draws are functions of (seed, epoch, step), so not here."""

    objective: Objective
    optimizer: Optimizer
    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished steps of the epoch under way."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Loss, terms and correct predictions, summed over the images of the epoch under way."""
    seconds: float = 0.0
    """Time spent in the epoch under way."""
    best: dict[str, Any] | None = None
    """Accuracy, epoch and weights of the best evaluation, where the recipe selects by it."""

    def count(self, step: Step, labels: Tensor) -> None:
        """Add one step's loss and predictions; nothing waits for the device here."""
        correct = (step.logits.detach().argmax(1) == labels).sum()
        parts = {"loss": step.loss, **{f"terms/{k}": v for k, v in step.terms.items()}}
        added = {name: value.detach() * len(labels) for name, value in parts.items()}
        added |= {"correct": correct, "images": torch.tensor(len(labels))}
        for name, value in added.items():
            self.sums[name] = (
                self.sums[name] + value.double() if name in self.sums else value.double()
            )

    def means(self) -> dict[str, float]:
        """Give the epoch's means over images: loss, terms, and correct as an accuracy."""
        images = self.sums["images"].item()
        return {k: v.item() / images for k, v in self.sums.items() if k != "images"}

    def next_epoch(self) -> None:
        """Close the epoch under way."""
        self.epoch, self.step, self.sums, self.seconds = self.epoch + 1, 0, {}, 0.0

    def check_finite(self) -> None:
        """Raise Diverged where the loss, a weight or a BatchNorm statistic is not finite."""
        loss = self.sums.get("loss")
        if loss is not None and not loss.isfinite():
            raise Diverged(f"the loss is {loss.item()} in epoch {self.epoch + 1}")
        statistics = (b for _, net in self.objective.nets() for b in net.buffers())
        if not all(t.isfinite().all() for t in (*self.objective.parameters(), *statistics)):
            raise Diverged(f"a weight is not finite after epoch {self.epoch}, step {self.step}")

    def to_bytes(self) -> bytes:
        """Serialise with plain types only, so that it loads with weights_only."""
        buffer = io.BytesIO()
        content = {
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.sums,
            "seconds": self.seconds,
            "best": self.best,
            "threads": torch.get_num_threads(),
        }
        torch.save(content, buffer)
        return buffer.getvalue()

    def restore(self, content: bytes, folder: Path) -> int:
        """Take over a checkpoint of `folder`; give the number of threads that it was trained with.

        Raises EnvironmentProblem where it has another layout than this training.
        """
        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            self.objective.load_state_dict(saved["objective"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.epoch, self.step = saved["epoch"], saved["step"]
            device = next(self.objective.parameters()).device
            self.sums = {name: value.to(device) for name, value in saved["sums"].items()}
            self.seconds, self.best = saved["seconds"], saved["best"]
            return int(saved["threads"])
        except torch.OutOfMemoryError:
            raise
        except UNFIT as error:
            raise EnvironmentProblem(
                f"the checkpoint in {folder} does not fit, another version of torch or ekd wrote "
                "it (its provenance.json says which): go on with that version, or delete "
                f"{folder} to train that run again"
            ) from error


@dataclass
class Saver:
    """Decides when a checkpoint is due, and writes it; a new session's first after `seconds`."""

    folder: RunFolder
    seconds: float = 5.0
    """Least time between two checkpoints, at epoch ends and inside epochs alike."""
    ratio: float = 20.0
    """The same in times that the last one took to write: 5 % of a training at most."""
    last: float = field(default_factory=time.monotonic)
    took: float = 0.0

    def offer(self, state: State) -> None:
        """Keep the state if that is due; Diverged where it is not finite: it is not kept."""
        start = time.monotonic()
        if start - self.last >= max(self.seconds, self.ratio * self.took):
            self.keep(state)

    def keep(self, state: State) -> None:
        """Keep the state now; Diverged where it is not finite."""
        start = time.monotonic()
        state.check_finite()
        self.folder.write_checkpoint(state.to_bytes())
        self.last = time.monotonic()
        self.took = self.last - start
