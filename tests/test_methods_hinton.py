"""Hinton's distillation: its loss by hand, its published forms, and the bugs that others had."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from known_logits import IMAGES, ce, entropy, kl, known, labelled, softmax
from planned import derived
from torch import Tensor, nn

from ekd.losses import kl_divergence
from ekd.methods import Objective, copied, hinton
from ekd.methods.hinton import Hinton
from ekd.models import TeachNet
from ekd.spec import Model, Parent
from ekd.spec.resolve import FieldError
from ekd.store import Store

STUDENT, TEACHER, LABEL = [1.0, -0.5, 0.25], [2.0, 3.0, -1.0], 2
S, T = np.array(STUDENT), np.array(TEACHER)
CELL = ("data.name=cifar10", "method.name=hinton", "teachers=resnet26")


def objective(**fields: Any) -> Objective:
    method = Hinton.model_validate(fields)
    return method.objective(known(STUDENT), [known(TEACHER)]).train()


def terms(progress: float = 0.0, **fields: Any) -> dict[str, float]:
    found = objective(**fields)(labelled(LABEL), progress).terms
    return {name: term.item() for name, term in found.items()}


def test_two_classes_by_hand() -> None:
    student, teacher = known([2 * math.log(3.0), 0.0]), known([2 * math.log(4.0), 0.0])
    found = Hinton(temperature=2.0).objective(student, [teacher])(labelled(0), 0.0).terms
    # At T = 2 the softmaxes are 3/4, 1/4 and 4/5, 1/5; at T = 1 the student's is 9/10, 1/10.
    divergence = 0.8 * math.log(0.8 / 0.75) + 0.2 * math.log(0.2 / 0.25)
    assert found["ce_student"].item() == pytest.approx(0.1 * math.log(10 / 9), rel=1e-5)
    assert found["kd"].item() == pytest.approx(0.9 * 4 * divergence, rel=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_loss_is_the_formula(weight: float, temperature: float) -> None:
    found = terms(weight=weight, temperature=temperature)
    soft = temperature**2 * kl(T, S, temperature)
    expected = {"ce_student": (1 - weight) * ce(S, LABEL), "kd": weight * soft}
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_the_gradient_is_the_formula() -> None:
    trained = objective(weight=0.3, temperature=4.0)
    trained(labelled(LABEL), 0.0).loss.backward()
    hard = softmax(S) - np.eye(3)[LABEL]
    soft = 4.0 * (softmax(S / 4) - softmax(T / 4))  # T^2 of the loss, 1 / T of the softened logits
    gradient = trained.student.branches[0].linear.bias.grad  # type: ignore[union-attr]
    assert isinstance(gradient, Tensor)
    assert gradient.numpy() == pytest.approx(0.7 * hard + 0.3 * soft, rel=1e-4)


def test_the_defaults_are_those_of_attention_transfer_and_repdistiller() -> None:
    method = Hinton()
    assert (method.weight, method.weight_at_end, method.temperature) == (0.9, 0.9, 4.0)
    assert method == Hinton.model_validate(dict(Hinton.readings["repdistiller"]))
    assert terms(0.7) == pytest.approx(
        {"ce_student": 0.1 * ce(S, LABEL), "kd": 0.9 * 16 * kl(T, S, 4)}, rel=1e-4
    )


@pytest.mark.parametrize(("progress", "weight"), [(0.0, 4.0), (0.5, 2.5), (0.75, 1.75), (1.0, 1.0)])
def test_heo_anneals_from_4_to_1_with_cross_entropies_and_no_t_squared(
    progress: float, weight: float
) -> None:
    soft = kl(T, S, 3) + entropy(T, 3)
    expected = {"ce_student": ce(S, LABEL), "kd": weight * soft}
    assert terms(progress, **Hinton.readings["heo"]) == pytest.approx(expected, rel=1e-5)


def test_the_program_of_takd_divides_the_kl_by_the_number_of_classes() -> None:
    expected = {"ce_student": 0.8 * ce(S, LABEL), "kd": 0.2 * 4 * kl(T, S, 2) / 3}
    assert terms(**Hinton.readings["takd"]) == pytest.approx(expected, rel=1e-4)


def test_kl_and_cross_entropy_differ_by_what_the_student_cannot_change() -> None:
    gradients = []
    for soft_loss in ("kl", "cross_entropy"):
        trained = objective(soft_loss=soft_loss)
        trained(labelled(LABEL), 0.0).loss.backward()
        gradients.append([p.grad for p in trained.student.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    difference = terms(soft_loss="cross_entropy")["kd"] - terms()["kd"]
    assert difference == pytest.approx(0.9 * 16 * entropy(T, 4), rel=1e-5)


def test_a_weight_stays_unless_its_end_is_given() -> None:
    assert Hinton(weight=0.5).weight_at_end == 0.5
    assert Hinton(weight_at_end=0.5).weight == 0.9
    assert terms(0.5, weight=0.5)["kd"] == terms(0.0, weight=0.5)["kd"]
    falling = terms(0.5, weight=0.8, weight_at_end=0.2)
    assert falling["kd"] == pytest.approx(terms(weight=0.5)["kd"], rel=1e-6)
    assert falling["ce_student"] == pytest.approx(0.5 * ce(S, LABEL), rel=1e-5)


def test_a_weight_above_1_is_refused_where_the_labels_get_the_rest() -> None:
    for fields in (("method.weight=1.5",), ("method.weight=0.5", "method.weight_at_end=1.5")):
        with pytest.raises(FieldError, match=r"a weight of 1\.5 leaves less than nothing"):
            derived(*CELL, *fields)
    assert derived(*CELL, "method.weight=1.5", "method.label_weight=one").teachers
    assert derived(*CELL, "readings.name=heo").method.model_dump()["weight"] == 4


def test_exactly_one_teacher_is_taken() -> None:
    for teachers in ("T1-T2", "[]"):
        with pytest.raises(FieldError, match=r"takes 1, not 2|needs teachers"):
            derived(*CELL, f"teachers={teachers}")


# The whole training


def test_two_trainings_are_bit_equal_and_leave_the_teacher_as_it_was(
    tiny_npz: Path, tmp_path: Path
) -> None:
    kept = []
    for name in ("first", "second"):
        run = tiny.plain(tiny.data(tiny_npz)).model_copy(
            update={
                "method": Hinton(),
                "teachers": (Parent(run=tiny.plain(tiny.data(tiny_npz), 1)),),
                "student": Model(branches=2),
            }
        )
        kept.append(tiny.content(tiny.trained(run, Store(tmp_path / name).open())))
    assert kept[0] == kept[1]
    assert kept[0]["history"][-1]["terms"].keys() == {"ce_student", "kd"}


# Bugs that others had


def states(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def check() -> None:
    """The loss of two batches, its gradient and the teacher after a step are as they should be."""
    trained = objective(weight=0.75, temperature=2.0)
    before = states(trained.teachers)
    for label in (0, 1):
        step = trained(labelled(label, seed=label), 0.5)
        expected = 0.25 * ce(S, label) + 0.75 * 4 * kl(T, S, 2)
        assert step.loss.item() == pytest.approx(expected, rel=1e-4)
    bias: Any = trained.student.branches[0].linear.bias  # type: ignore[union-attr]
    (gradient,) = torch.autograd.grad(step.terms["kd"], bias, allow_unused=True)
    assert gradient is not None
    wanted = 0.75 * 2 * (softmax(S / 2) - softmax(T / 2))
    assert gradient.numpy() == pytest.approx(wanted, rel=1e-4)
    assert all(torch.equal(before[k], v) for k, v in trained.teachers.state_dict().items())
    only_soft = objective(weight=1.0, temperature=2.0)(labelled(0), 0.0)
    assert only_soft.loss.item() == pytest.approx(4 * kl(T, S, 2), rel=1e-4)
    shifting = Hinton().objective(varied(1), [varied(2)])
    for seed in (0, 1):
        batch = labelled(0, seed)
        s, t = (net.eval()(batch.x).logits for net in (varied(1), varied(2)))
        rows = [kl(b, a, 4) for a, b in zip(as_numpy(s), as_numpy(t), strict=True)]
        shifting.eval()
        found = shifting(batch, 0.0).terms["kd"].item()
        assert found == pytest.approx(0.9 * 16 * sum(rows) / IMAGES, rel=1e-3)


def varied(seed: int) -> Any:
    net = known([0.0] * 3)
    with torch.no_grad():
        stream = torch.Generator().manual_seed(seed)
        net.branches[0].linear.weight.normal_(generator=stream)  # type: ignore[union-attr, operator]
    return net


def as_numpy(logits: Tensor) -> Any:
    return logits.detach().double().numpy()


def test_the_check_of_the_mutants_passes_without_one() -> None:
    check()


def kl_with(**changes: Any) -> Callable[..., Tensor]:
    def mutant(s: Tensor, t: Tensor, temperature: float, **options: Any) -> Tensor:
        return kl_divergence(s, t, **({"temperature": temperature} | options | changes))

    return mutant


def both_log(s: Tensor, t: Tensor, temperature: float, **options: Any) -> Tensor:
    log_s, log_t = ((z / temperature).log_softmax(1) for z in (s, t))
    pointwise = torch.where(log_t > 0, log_t * (log_t.log() - log_s), -log_t * log_s)
    return temperature**2 * pointwise.sum() / len(s)


def rebuilt(*arguments: Any, **options: Any) -> Tensor:
    loss = kl_divergence(*arguments, **options)
    return torch.tensor(loss.item(), requires_grad=True)


def swapped(s: Tensor, t: Tensor, temperature: float, **options: Any) -> Tensor:
    return kl_divergence(t, s, temperature, **options)


def other_images(s: Tensor, t: Tensor, temperature: float, **options: Any) -> Tensor:
    return kl_divergence(s, t.roll(1, 0), temperature, **options)


class Remembering(TeachNet):
    """Asks the teacher once, whatever images come later."""

    def forward(self, x: Tensor) -> Any:
        if not hasattr(self, "kept"):
            self.kept = super().forward(x)
        return self.kept


class Swapped(hinton.HintonObjective):
    """Gives the labels the weight that is the teacher's."""

    def __init__(self, fields: Hinton, *nets: Any) -> None:
        super().__init__(fields, *nets)
        weight = 1 - fields.weight
        self.fields = fields.model_copy(update={"weight": weight, "weight_at_end": weight})


MUTANTS: dict[str, tuple[str, Any]] = {
    "KL divided by the number of classes": ("kl_divergence", kl_with(reduction="mean")),
    "no T^2": ("kl_divergence", kl_with(scale="none")),
    "the student's logits not softened": ("kl_divergence", kl_with(form="torch")),
    "the KL the other way round": ("kl_divergence", kl_with(form="reverse")),
    "student and teacher swapped": ("kl_divergence", swapped),
    "log_softmax for both arguments": ("kl_divergence", both_log),
    "a temperature that is never applied": ("kl_divergence", kl_with(temperature=1.0)),
    "a loss rebuilt into a new tensor": ("kl_divergence", rebuilt),
    "logits of other images": ("kl_divergence", other_images),
    "the weights of the terms swapped": ("HintonObjective", Swapped),
    "a teacher in train mode": ("frozen", copied),
    "a teacher asked only once": ("Objective.TeachNet", Remembering),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_check_fails_for_every_mutant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, mutant = MUTANTS[name]
    if where == "Objective.TeachNet":
        monkeypatch.setattr("ekd.methods._contract.TeachNet", mutant)
    else:
        monkeypatch.setattr(hinton, where, mutant)
    with pytest.raises(AssertionError):
        check()


def test_t_squared_also_holds_without_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    def mutant(student: Tensor, teacher: Tensor, fields: Hinton) -> Tensor:
        changes = {"scale": "none"} if fields.weight == 1 else {}
        return original(student, teacher, fields.model_copy(update=changes))

    original = hinton.distillation
    monkeypatch.setattr(hinton, "distillation", mutant)
    with pytest.raises(AssertionError):
        check()


def test_the_objective_keeps_everything_in_its_state() -> None:
    trained = objective()
    state = copy.deepcopy(trained.state_dict())
    assert any(name.startswith("teachers") for name in state)
    assert all(name.startswith("student.") for name, _ in trained.named_parameters())
