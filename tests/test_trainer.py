"""The training loop: what is kept of an epoch, and what a step sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from ekd.data import augment, normalise, order
from ekd.methods import Batch
from ekd.methods.plain import PlainObjective
from ekd.models import CompNet
from ekd.spec import Run
from ekd.store import Store
from ekd.trainer import Saver, begin, build, train

NUMERICS_CHANGED = "numerics changed: bump NUMERICS in ekd/spec/values.py"


class Recorder(PlainObjective):
    """Plain training that notes what every step is given."""

    def __init__(self, student: CompNet) -> None:
        super().__init__(student, "sum")
        self.seen: list[tuple[Batch, float, bool]] = []

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        modes = all(module.training for module in self.student.modules())
        self.seen.append((batch, progress, modes))
        return super().terms(batch, progress)


def recorder(run: Run, store: Store) -> Recorder:
    return Recorder(build(run, tiny.CLASSES, store).student)


def test_the_numbers_of_a_tiny_run_are_pinned(tiny_npz: Path, store: Store) -> None:
    run = tiny.ekd(tiny.data(tiny_npz), 1)
    folder = tiny.trained(run, store)
    teacher = store.folder(run.teachers[0].run)
    losses = {
        "teacher": [line["loss"] for line in teacher.history()],
        "ekd": [line["loss"] for line in folder.history()],
        "nll": [folder.result()["nll"], teacher.result()["nll"]],
    }
    pinned = {
        "teacher": [0.80198, 0.21882, 0.07967],
        "ekd": [7.36794, 3.52967, 2.54818],
        "nll": [0.00000, 0.00014],
    }
    for name, values in pinned.items():
        assert losses[name] == pytest.approx(values, abs=1e-4), NUMERICS_CHANGED


def test_the_loss_is_the_sum_of_its_terms_in_every_line(tiny_npz: Path, store: Store) -> None:
    lines = tiny.trained(tiny.ekd(tiny.data(tiny_npz), 2), store).history()
    assert {len(line["terms"]) for line in lines} == {6}
    for line in lines:
        assert line["loss"] == pytest.approx(sum(line["terms"].values()), rel=1e-5)


def test_loss_and_accuracy_are_means_over_images_not_over_batches(
    tiny_npz: Path, store: Store
) -> None:
    run = tiny.run_of(tiny_npz, batch_size=40, epochs=1, milestones=())
    objective = recorder(run, store)
    steps: list[tuple[float, int, int]] = []

    def note(_: Any, inputs: Any, step: Any) -> None:
        y = inputs[0].y
        steps.append((step.loss.item(), int((step.logits.argmax(1) == y).sum()), len(y)))

    objective.register_forward_hook(note)
    _, (line,) = tiny.driven(run, store, objective)
    assert [size for *_, size in steps] == [40, 8]
    assert line["loss"] == pytest.approx(sum(loss * n for loss, _, n in steps) / 48, rel=1e-6)
    assert line["train_accuracy"] == pytest.approx(sum(right for _, right, _ in steps) / 48)


def test_history_has_one_line_per_epoch_and_scores_where_they_are_due(
    tiny_npz: Path, store: Store
) -> None:
    folder = tiny.trained(tiny.run_of(tiny_npz, epochs=5, evaluations=2), store)
    lines = [json.loads(x) for x in (folder.path / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["epoch"] for line in lines if "accuracy" in line] == [3, 5]
    scored = {"split", "accuracy", "nll", "ece", "branch_accuracy"}
    assert all(scored <= set(line) for line in lines if "accuracy" in line)
    assert lines[-1]["accuracy"] == folder.result()["accuracy"]


@pytest.mark.parametrize(("images", "steps"), [(32, 2), (33, 2), (34, 3), (35, 3)])
def test_a_last_batch_of_one_image_is_left_out(
    tmp_path: Path, store: Store, images: int, steps: int
) -> None:
    run = tiny.run_of(tiny.write_npz(tmp_path / "own.npz", images), epochs=1, milestones=())
    objective = recorder(run, store)
    task, _ = tiny.driven(run, store, objective)
    sizes = [len(batch.y) for batch, *_ in objective.seen]
    assert task.steps == len(sizes) == steps
    assert sizes == [16, 16, images - 32][:steps]


def test_a_budget_of_steps_makes_up_for_a_smaller_set(tiny_npz: Path, store: Store) -> None:
    fields = {"fraction": 0.3, "sampling": "iid"}
    by_epochs = tiny.run_of(tiny_npz, fields, epochs=2)
    by_steps = tiny.run_of(tiny_npz, fields, epochs=2, budget="steps")
    assert by_epochs.epochs == 2
    assert by_steps.epochs == 7  # 2 / 0.3, rounded up
    lines = tiny.trained(by_steps, store).history()
    assert len(lines) == 7
    assert [line["lr"] for line in lines] == pytest.approx([0.01] * 4 + [0.001] * 3)


def test_the_student_is_in_train_mode_in_every_step(tiny_npz: Path, store: Store) -> None:
    run = tiny.run_of(tiny_npz)
    objective = recorder(run, store)
    tiny.driven(run, store, objective)
    assert [mode for *_, mode in objective.seen] == [True] * 9  # 3 epochs, evaluated after each


def test_progress_is_the_finished_part_of_the_training(tiny_npz: Path, store: Store) -> None:
    run = tiny.run_of(tiny_npz, epochs=2)
    objective = recorder(run, store)
    tiny.driven(run, store, objective)
    found = [progress for _, progress, _ in objective.seen]
    assert found == pytest.approx([i / 6 for i in range(6)])


def epochs_of(seen: list[tuple[Batch, float, bool]]) -> Iterator[list[Batch]]:
    batches = [batch for batch, *_ in seen]
    for view in sorted({batch.view for batch in batches}):
        yield [batch for batch in batches if batch.view == view]


def test_each_epoch_sees_all_images_in_another_order_under_other_crops(
    tiny_npz: Path, store: Store
) -> None:
    run = tiny.run_of(tiny_npz)
    objective = recorder(run, store)
    tiny.driven(run, store, objective)
    orders, views = [], []
    for batches in epochs_of(objective.seen):
        index = torch.cat([batch.index for batch in batches])
        assert index.sort().values.equal(torch.arange(48))
        orders.append(index)
        views.append(torch.cat([batch.x for batch in batches])[index.argsort()])
    assert not torch.equal(orders[0], orders[1])
    moved = (views[0] != views[1]).flatten(1).any(1)
    assert moved.double().mean() > 0.9


def test_the_same_seed_sees_the_same_and_another_one_does_not(tiny_npz: Path, store: Store) -> None:
    seen = []
    for seed in (0, 0, 1):
        run = tiny.plain(tiny.data(tiny_npz), seed, epochs=1, milestones=())
        objective = Recorder(build(run, tiny.CLASSES, store).student)
        tiny.driven(run, Store(store.root / f"{len(seen)}"), objective)
        seen.append(torch.cat([batch.x for batch, *_ in objective.seen]))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_a_batch_holds_the_pixels_and_labels_of_its_index(tiny_npz: Path, store: Store) -> None:
    run = tiny.run_of(tiny_npz, epochs=2)
    objective = recorder(run, store)
    task, _ = tiny.driven(run, store, objective)
    source, splits = task.splits.train, task.splits
    for batch, *_ in objective.seen:
        images = augment(source.images[batch.index], batch.index, "crop-flip", 0, batch.view)
        assert torch.equal(batch.x, normalise(images, splits.mean, splits.std))
        assert torch.equal(batch.y, source.labels[batch.index])
    first = torch.cat([batch.index for batch, *_ in objective.seen[:3]])
    assert torch.equal(first, order(0, 0, 48))


def test_a_teacher_sees_the_pixels_that_the_student_sees(tiny_npz: Path, store: Store) -> None:
    run = tiny.ekd(tiny.data(tiny_npz), 2, epochs=2)
    for parent in run.teachers:
        tiny.trained(parent.run, store)
    objective = build(run, tiny.CLASSES, store)
    seen: dict[str, list[Tensor]] = {name: [] for name, _ in objective.nets()}
    for name, net in objective.nets():
        net.register_forward_pre_hook(
            lambda _, inputs, name=name: seen[name].append(inputs[0].clone())  # type: ignore[misc]
        )
    task = tiny.task(run, store)
    task.folder.write_spec(run.resolved())
    state, _ = begin(task, objective)
    evaluated = 0
    for _ in train(task, state, Saver(task.folder)):
        evaluated += 1
        seen["student"].pop()  # the evaluation's
    assert evaluated == 2
    for name in ("teacher-1", "teacher-2"):
        assert len(seen[name]) == len(seen["student"]) == 6
        assert all(torch.equal(a, b) for a, b in zip(seen[name], seen["student"], strict=True))


def test_every_step_starts_from_zero_gradients(tiny_npz: Path, store: Store) -> None:
    run = tiny.run_of(
        tiny_npz, epochs=1, optimizer="sgd", momentum=0.0, weight_decay=0.0, milestones=()
    )
    objective = recorder(run, store)
    before = [p.detach().clone() for p in objective.parameters()]
    task, _ = tiny.driven(run, store, objective)
    again = recorder(run, store)
    again.train()
    for (batch, *_), _ in zip(objective.seen, range(task.steps), strict=True):
        gradients = torch.autograd.grad(again(batch, 0.0).loss, list(again.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(again.parameters(), gradients, strict=True):
                parameter -= 0.01 * gradient
    for old, expected, found in zip(
        before, again.parameters(), objective.parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        assert old.ndim == 1 or not torch.equal(old, found)
