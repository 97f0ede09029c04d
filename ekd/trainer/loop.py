"""The only training loop: a generator of finished epochs, which whoever drives it may stop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch

from ekd.data import Splits, augment, normalise, order
from ekd.methods import Batch, Method, Objective
from ekd.spec import Run
from ekd.store import RunFolder
from ekd.streams import generator, stream_seed
from ekd.trainer import optimizer
from ekd.trainer.evaluate import evaluate
from ekd.trainer.state import Saver, State


@dataclass(frozen=True)
class Task:
    """What is trained, on which images, and where it is kept."""

    run: Run
    splits: Splits
    folder: RunFolder

    @property
    def steps(self) -> int:
        """Steps per epoch: a last batch of one image is left out, BatchNorm needs two."""
        full, rest = divmod(len(self.splits.train.labels), self.run.recipe.batch_size)
        return full + (rest > 1)


def begin(task: Task, objective: Objective) -> tuple[State, int | None]:
    """Start a training, or take up its checkpoint; then give that one's threads as well.

    Raises EnvironmentProblem where the checkpoint does not fit, or the history lacks epochs that
    it has behind it.
    """
    state = State(objective, optimizer.build(objective, task.run.recipe))
    content = task.folder.read_checkpoint()
    threads = state.restore(content, task.folder.path) if content else None
    task.folder.cut_history(state.epoch)
    return state, threads


def train(task: Task, state: State, saver: Saver) -> Iterator[dict[str, Any]]:
    """Train to the end, and yield the history line of each epoch once it is kept.

    Raises Diverged where the loss or a weight is no longer finite.
    """
    recipe, classifies = task.run.recipe, cast(Method, task.run.method).classifies()
    evaluated = evaluation_epochs(task.run.epochs, recipe.evaluations if classifies else 0)
    while state.epoch < task.run.epochs:
        rate = optimizer.learning_rate(recipe, state.epoch, task.run.epochs)
        train_epoch(task, state, saver, rate)
        state.check_finite()
        line = _line(state, rate, classifies)
        if state.epoch + 1 in evaluated:
            line |= _evaluation(task, state)
        task.folder.append_history(line)
        state.next_epoch()
        saver.offer(state)
        yield line


def train_epoch(task: Task, state: State, saver: Saver, rate: float) -> None:
    """Train the steps that the epoch under way still lacks, at learning rate `rate`."""
    objective, train = state.objective, task.splits.train
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    positions = order(task.run.seed, state.epoch, len(train.labels)).to(train.labels.device)
    objective.train()
    start = time.perf_counter() - state.seconds
    while state.step < task.steps:
        batch = _batch(task, state, positions)
        progress = (state.epoch + state.step / task.steps) / task.run.epochs
        # A method that forgets batch.generator still draws the same after a resume.
        torch.manual_seed(stream_seed(task.run.seed, "global", state.epoch, state.step))
        step = objective(batch, progress)
        state.optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        state.optimizer.step()
        state.count(step, batch.y)
        state.step += 1
        state.seconds = time.perf_counter() - start
        saver.offer(state)


def evaluation_epochs(epochs: int, evaluations: int) -> set[int]:
    """Spread the evaluations over the epochs (from 1), the last one among them."""
    return {math.ceil(i * epochs / evaluations) for i in range(1, evaluations + 1)}


def _batch(task: Task, state: State, positions: torch.Tensor) -> Batch:
    run, train = task.run, task.splits.train
    size = run.recipe.batch_size
    chosen = positions[state.step * size : (state.step + 1) * size]
    index = train.index[chosen]
    images = augment(train.images[chosen], index, run.data.augment, run.seed, state.epoch)
    return Batch(
        x=normalise(images, task.splits.mean, task.splits.std),
        y=train.labels[chosen],
        index=index,
        view=state.epoch,
        generator=generator(run.seed, "noise", state.epoch, state.step),
    )


def _line(state: State, rate: float, classifies: bool) -> dict[str, Any]:
    means = state.means()
    accuracy = {"train_accuracy": means["correct"]} if classifies else {}
    return {
        "epoch": state.epoch + 1,
        "lr": rate,
        "loss": means["loss"],
        "terms": {k.removeprefix("terms/"): v for k, v in means.items() if k.startswith("terms/")},
        **accuracy,
        "seconds": round(state.seconds, 3),
    }


def _evaluation(task: Task, state: State) -> dict[str, Any]:
    """Score the student on the hold-out, or on test where there is none."""
    splits = task.splits
    name, split = ("holdout", splits.holdout) if splits.holdout else ("test", splits.test)
    student = state.objective.student
    scores = evaluate(student, split, splits.mean, splits.std)
    if task.run.recipe.selection == "best" and (
        state.best is None or scores.accuracy > state.best["accuracy"]
    ):
        weights = {k: v.detach().cpu().clone() for k, v in state.objective.state_dict().items()}
        state.best = {
            "accuracy": scores.accuracy, "epoch": state.epoch + 1, "weights": weights,
        }  # fmt: skip
    return {"split": name, **asdict(scores)}
