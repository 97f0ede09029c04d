"""Training a method's run in a temporary folder, after the runs that it learns from."""

from __future__ import annotations

import atexit
import contextlib
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ekd.methods import Method, Objective
from ekd.models import CompNet
from ekd.spec import Run
from ekd.store import RunFolder, Store
from ekd.testing.trial import CLASSES, images, typical_run, working
from ekd.trainer import Saver, State, Task, begin, coupled, finish, starting_nets, train

NEVER = 1e9  # seconds until a checkpoint
Tensors = dict[str, Tensor]


class Stopped(BaseException):
    """Ends a training as a kill would: no method catches it."""


@dataclass(frozen=True, eq=False)
class Training:
    """A training that has ended, and what there was before."""

    run: Run
    objective: Objective
    before: Tensors
    """The whole objective at the start."""
    handed: list[tuple[CompNet, Tensors]]
    """The teachers as they were handed over, and what they were then."""
    lines: list[dict[str, Any]]
    """Its history, without the seconds that it took."""

    def unmoved(self, prefix: str = "") -> list[str]:
        """Name the parameters that the optimiser got and that are bit-equal to the start."""
        return [
            name
            for name, parameter in self.objective.named_parameters()
            if name.startswith(prefix)
            and parameter.requires_grad
            and torch.equal(parameter, self.before[name])
        ]


def kept(net: nn.Module) -> Tensors:
    """Copy the state of a network, BatchNorm buffers included."""
    return {name: value.clone() for name, value in net.state_dict().items()}


def changed(before: Tensors, after: Tensors) -> str:
    """Name the first tensor that is not bit-equal, or give ""."""
    if before.keys() != after.keys():
        return min(before.keys() ^ after.keys())
    return next((name for name in before if not torch.equal(before[name], after[name])), "")


def starting(run: Run) -> tuple[CompNet, list[CompNet]]:
    """Give a run's student as it starts and its teachers, trained where they were not yet."""
    for parent in run.parents():
        _finish(parent.run)
    return starting_nets(run, CLASSES, _store())


def ready(run: Run) -> tuple[Objective, list[CompNet]]:
    """Give the objective of a run at its start, and the teachers that were handed over."""
    student, teachers = starting(run)
    with working(cast(Method, run.method), "objective()"):
        return coupled(run, student, teachers), teachers


def trained(run: Run, stop_after: int | None = None) -> Training:
    """Train a run from its start to its end.

    With `stop_after` steps it is stopped, and fresh objects go on from its checkpoint.
    """
    with tempfile.TemporaryDirectory(prefix="ekd-testing-") as name:
        folder = Store(Path(name)).open().folder(run)
        if stop_after is not None:
            objective, _ = ready(run)
            _stop(objective, stop_after)
            with contextlib.suppress(Stopped):
                _train(run, objective, folder, Saver(folder, 0, ratio=0))  # keeps every step
        objective, teachers = ready(run)
        before, handed = kept(objective), [(teacher, kept(teacher)) for teacher in teachers]
        _train(run, objective, folder, Saver(folder, NEVER))
        lines = [{k: v for k, v in x.items() if k != "seconds"} for x in folder.history()]
    return Training(run, objective, before, handed, lines)


def typical_training(method: Method) -> Training:
    """Train the method's typical run; the checks that only look at it share it."""
    key = (type(method), method.model_dump_json())
    if key not in _trainings:
        _trainings[key] = trained(typical_run(method))
    return _trainings[key]


_trainings: dict[tuple[type[Method], str], Training] = {}


def _train(run: Run, objective: Objective, folder: RunFolder, saver: Saver) -> tuple[Task, State]:
    task = Task(run, images(), folder)
    folder.write_spec(run.resolved())
    with torch.random.fork_rng(devices=[]), working(cast(Method, run.method), "training"):
        state, _ = begin(task, objective)
        list(train(task, state, saver))
    return task, state


def _finish(run: Run) -> None:
    """Train a run that others learn from, once for all checks."""
    folder = _store().folder(run)
    if folder.status() != "done":
        objective, _ = ready(run)
        finish(*_train(run, objective, folder, Saver(folder, NEVER)))


def _stop(objective: Objective, steps: int) -> None:
    """Let the objective's next step after so many raise Stopped."""
    left = iter(range(steps))

    def stop(*_: Any) -> None:
        if next(left, None) is None:
            raise Stopped

    objective.register_forward_pre_hook(stop)


@cache
def _store() -> Store:
    """Keep the networks that others learn from until this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="ekd-testing-")
    atexit.register(folder.cleanup)
    return Store(Path(folder.name)).open()
