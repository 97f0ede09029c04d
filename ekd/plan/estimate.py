"""What runs cost: their operations, and how long those take at this machine's measured speed."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ekd.cost import network_cost
from ekd.data import describe
from ekd.methods import FORWARD_AND_BACKWARD, Method, architecture
from ekd.plan.plan import lineage
from ekd.spec import Data, Model, Run
from ekd.store import Store


def operations(run: Run, data_root: Path) -> float:
    """Count the multiply-accumulates of a run's own training, without its evaluations.

    The method says how many passes an image takes through each network. A forward pass counts once,
    a backward pass twice, each over all layers, also where a hint run trains a part of them; layers
    of a method's own and the losses are neglected.
    """
    found = describe(run.data, data_root)
    method = cast(Method, run.method)
    student = _macs(run.student, run.data, found.classes)
    teachers = sum(_macs(architecture(t), run.data, found.classes) for t in run.teachers)
    peers = sum(_macs(peer, run.data, found.classes) for peer in method.peers(run))
    per_image = (
        method.student_passes(run) * student
        + method.teacher_passes(run) * teachers
        + FORWARD_AND_BACKWARD * peers
    )
    return run.epochs * found.train * per_image


def whole_operations(run: Run, data_root: Path) -> float:
    """Count `operations` of a run and of everything that it learns from, each run once."""
    needed = {one.key: one for one in lineage(run)}
    return sum(operations(one, data_root) for one in needed.values())


def training_macs(run: Run, data_root: Path, done_epochs: int = 0) -> float:
    """Count the multiply-accumulates that a run still needs, evaluations included."""
    left = max(0, run.epochs - done_epochs) / run.epochs
    found = describe(run.data, data_root)
    evaluations = min(run.recipe.evaluations, run.epochs)
    student = _macs(run.student, run.data, found.classes)
    return left * (operations(run, data_root) + evaluations * found.test * student)


def hours(run: Run, store: Store, data_root: Path, macs_per_second: float) -> float:
    """Estimate the hours that a run still needs."""
    done = len(store.folder(run).history())
    return training_macs(run, data_root, done) / macs_per_second / 3600


def _macs(model: Model, data: Data, classes: int) -> int:
    return network_cost(model.arch, model.branches, classes, data.resolution, model.width).macs
