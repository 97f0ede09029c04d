"""BSS on networks: what moves, what does not, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from planned import derived
from tiny_objectives import CLASSES, METHODS, a_batch, a_net, kept, moved

from ekd.methods import Batch
from ekd.spec.resolve import FieldError
from ekd.streams import generator

FIELDS = METHODS["bss"]()


def agreed(count: int) -> tuple[Any, Batch]:
    """An objective, and a batch of which both networks classify `count` images correctly.

    The student gives every image the class that the teacher gives the first one.
    """
    student, teacher = a_net(0), a_net(1)
    objective = FIELDS.objective(student, [teacher])
    objective.train()
    batch = a_batch()
    first = objective.teachers(batch.x).logits.argmax(1)[0]
    linear = student.branches[0].linear
    linear.weight.data.zero_()
    linear.bias.data = torch.nn.functional.one_hot(first, CLASSES).float()
    labels = torch.full_like(batch.y, (first + 1) % CLASSES)
    labels[:count] = first
    return objective, Batch(batch.x, labels, batch.index, 0, generator(0, "noise"))


def batches_seen(objective: Any) -> int:
    return int(objective.student.branches[0].bn.num_batches_tracked)


@pytest.mark.parametrize(("progress", "seen"), [(0.0, 2), (0.74, 2), (0.75, 1), (0.9, 1)])
def test_the_student_sees_the_attacked_images_in_train_mode(progress: float, seen: int) -> None:
    objective, batch = agreed(1)
    teacher = objective.teachers.nets[0].net
    x, before = batch.x.clone(), kept(teacher)
    step = objective(batch, progress)
    assert batches_seen(objective) == seen
    assert (step.terms["bss"].item() > 0) is (seen == 2)
    assert torch.equal(batch.x, x)
    assert not moved(before, teacher)


def test_no_candidate_gives_a_term_of_zero_and_finite_gradients() -> None:
    objective, batch = agreed(0)
    state = batch.generator.get_state()
    step = objective(batch, 0.0)
    assert step.terms["bss"].item() == 0.0
    assert batches_seen(objective) == 1
    assert torch.equal(batch.generator.get_state(), state)
    step.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.parameters())


def test_the_target_classes_of_a_step_come_from_the_batchs_generator() -> None:
    objective, batch = agreed(1)
    state = batch.generator.get_state()
    objective(batch, 0.0)
    assert not torch.equal(batch.generator.get_state(), state)
    unused = batch.generator.get_state()
    objective(batch, 0.75)  # no attack, no draw
    assert torch.equal(batch.generator.get_state(), unused)


def test_what_is_learnt_at_the_boundary_reaches_the_student_alone() -> None:
    objective, batch = agreed(1)
    term = objective(batch, 0.0).terms["bss"]
    names, parameters = zip(*objective.named_parameters(), strict=True)
    assert all(name.startswith("student.") for name in names)
    gradients = torch.autograd.grad(term, parameters)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("teachers", ["T1-T2", ""])
def test_another_number_of_teachers_than_one_is_refused(teachers: str) -> None:
    given = [f"teachers={teachers}"] if teachers else []
    with pytest.raises(FieldError, match=r"takes 1, not 2|needs teachers"):
        derived("data.name=cifar10", "method.name=bss", *given)
    assert len(derived("data.name=cifar10", "method.name=bss", "teachers=T3").teachers) == 1
