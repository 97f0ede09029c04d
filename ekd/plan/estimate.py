"""How long runs will take: their operations against this machine's measured speed."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ekd.cost import network_cost
from ekd.data import describe
from ekd.methods import FORWARD_AND_BACKWARD, Method, architecture
from ekd.spec import Data, Model, Run
from ekd.store import Store


def training_macs(run: Run, data_root: Path, done_epochs: int = 0) -> float:
    """Count the multiply-accumulates that a run still needs, evaluations included."""
    found = describe(run.data, data_root)
    left = max(0, run.epochs - done_epochs)
    student = _macs(run.student, run.data, found.classes)
    teachers = sum(_macs(architecture(t), run.data, found.classes) for t in run.teachers)
    method = cast(Method, run.method)
    peers = sum(_macs(peer, run.data, found.classes) for peer in method.peers(run))
    per_image = FORWARD_AND_BACKWARD * (student + peers) + method.teacher_passes() * teachers
    evaluations = min(run.recipe.evaluations, run.epochs) * left / run.epochs
    return left * found.train * per_image + evaluations * found.test * student


def hours(run: Run, store: Store, data_root: Path, macs_per_second: float) -> float:
    """Estimate the hours that a run still needs."""
    done = len(store.folder(run).history())
    return training_macs(run, data_root, done) / macs_per_second / 3600


def _macs(model: Model, data: Data, classes: int) -> int:
    return network_cost(model.arch, model.branches, classes, data.resolution, model.width).macs
