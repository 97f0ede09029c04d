"""The paper's loss terms against closed forms, NumPy and torch's own losses."""

from __future__ import annotations

import math
from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ekd.losses import (
    KlForm,
    KlScale,
    MseSpace,
    Reduction,
    annealed,
    cross_entropy,
    kl_divergence,
    mean_squared_error,
    soft_cross_entropy,
)
from ekd.streams import generator

FORMS: tuple[KlForm, ...] = get_args(KlForm)
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
SCALES: tuple[KlScale, ...] = get_args(KlScale)
SPACES: tuple[MseSpace, ...] = get_args(MseSpace)
BATCH, CLASSES, TEMPERATURE = 6, 5, 4.0


def logits(name: str) -> Tensor:
    stream = generator(3, name)
    return 3 * torch.randn(BATCH, CLASSES, generator=stream, dtype=torch.float64)  # [B, K]


def softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(z)
    return np.asarray(e / e.sum(1, keepdims=True))


def numpy_kl(form: KlForm, reduction: Reduction, scale: KlScale) -> float:
    s, t = logits("student").numpy(), logits("teacher").numpy()
    student, softened, target = softmax(s), softmax(s / TEMPERATURE), softmax(t / TEMPERATURE)
    total = {
        "torch": np.sum(target * np.log(target / student)),
        "softened": np.sum(target * np.log(target / softened)),
        "reverse": np.sum(student * np.log(student / target)),
        "literal": np.sum(student * (np.log(student) - target)),
    }[form]
    divisor = {"mean": BATCH * CLASSES, "batchmean": BATCH}[reduction]
    return float(total / divisor * (TEMPERATURE**2 if scale == "temperature_squared" else 1))


@pytest.mark.parametrize(("form", "reduction", "scale"), [*product(FORMS, REDUCTIONS, SCALES)])
def test_each_reading_of_the_kl_term_is_its_formula(
    form: KlForm, reduction: Reduction, scale: KlScale
) -> None:
    loss = kl_divergence(
        logits("student"),
        logits("teacher"),
        TEMPERATURE,
        form=form,
        reduction=reduction,
        scale=scale,
    )
    assert loss.item() == pytest.approx(numpy_kl(form, reduction, scale), rel=1e-10)


def test_no_two_readings_of_the_kl_term_agree() -> None:
    values = {round(numpy_kl(*reading), 9) for reading in product(FORMS, REDUCTIONS, SCALES)}
    assert len(values) == len(FORMS) * len(REDUCTIONS) * len(SCALES)


@pytest.mark.parametrize("form", FORMS)
def test_kl_by_hand_with_two_classes(form: KlForm) -> None:
    student = torch.tensor([[math.log(4.0), 0.0]], dtype=torch.float64)  # softmax 4/5, 1/5
    teacher = torch.tensor([[math.log(9.0), 0.0]], dtype=torch.float64)  # /2: softmax 3/4, 1/4
    by_hand = {
        "torch": 0.75 * math.log(0.75 / 0.8) + 0.25 * math.log(0.25 / 0.2),
        "softened": 0.75 * math.log(0.75 * 3 / 2) + 0.25 * math.log(0.25 * 3),
        "reverse": 0.8 * math.log(0.8 / 0.75) + 0.2 * math.log(0.2 / 0.25),
        "literal": 0.8 * (math.log(0.8) - 0.75) + 0.2 * (math.log(0.2) - 0.25),
    }[form]
    loss = kl_divergence(student, teacher, 2.0, form=form, reduction="batchmean")
    assert loss.item() == pytest.approx(by_hand, rel=1e-12)


def test_kl_defaults_are_eq_8_with_torchs_loss_of_2019() -> None:
    student, teacher = logits("student"), logits("teacher")
    with pytest.warns(UserWarning, match="batchmean"):
        expected = torch.nn.KLDivLoss(reduction="mean")(
            student.log_softmax(1), (teacher / 10).softmax(1)
        )
    torch.testing.assert_close(kl_divergence(student, teacher, 10.0), expected)


def test_batchmean_is_torchs_batchmean_and_mean_divides_it_by_the_classes() -> None:
    student, teacher = logits("student"), logits("teacher")
    expected = torch.nn.KLDivLoss(reduction="batchmean")(
        student.log_softmax(1), (teacher / 10).softmax(1)
    )
    summed = kl_divergence(student, teacher, 10.0, reduction="batchmean")
    torch.testing.assert_close(summed, expected)
    torch.testing.assert_close(kl_divergence(student, teacher, 10.0) * CLASSES, summed)


def test_the_target_is_probabilities_not_log_probabilities() -> None:
    student, teacher = logits("student"), logits("teacher")
    log_target = (teacher / TEMPERATURE).log_softmax(1)
    log_student = student.log_softmax(1)
    mistaken = (log_target * (log_target.abs().log() - log_student)).mean()  # KD_Lib's TAKD
    right = kl_divergence(student, teacher, TEMPERATURE).item()
    assert right > 0
    assert abs(right - mistaken.item()) > 0.1


@pytest.mark.parametrize("scale", SCALES)
def test_kl_of_equal_logits_is_zero_when_both_sides_are_softened(scale: KlScale) -> None:
    same = logits("student")
    loss = kl_divergence(same, same, TEMPERATURE, form="softened", scale=scale)
    assert loss.item() == pytest.approx(0, abs=1e-14)


def test_eq_8_softens_the_teacher_only_so_equal_logits_still_differ() -> None:
    same = logits("student")
    assert kl_divergence(same, same, TEMPERATURE).item() > 0.01
    divided = kl_divergence(same / TEMPERATURE, same, TEMPERATURE)
    assert divided.item() == pytest.approx(0, abs=1e-14)


def test_temperature_one_makes_softening_irrelevant() -> None:
    student, teacher = logits("student"), logits("teacher")
    once = kl_divergence(student, teacher, 1.0)
    torch.testing.assert_close(once, kl_divergence(student, teacher, 1.0, form="softened"))
    scaled = kl_divergence(student, teacher, 1.0, scale="temperature_squared")
    torch.testing.assert_close(once, scaled)


def test_temperature_is_irrelevant_for_a_teacher_without_an_opinion() -> None:
    student, teacher = logits("student"), torch.full((BATCH, CLASSES), 2.5, dtype=torch.float64)
    torch.testing.assert_close(
        kl_divergence(student, teacher, 2.0), kl_divergence(student, teacher, 20.0)
    )


@pytest.mark.parametrize("form", FORMS)
def test_kl_is_finite_with_finite_gradients_where_probabilities_underflow(form: KlForm) -> None:
    student = torch.tensor([[0.0, 500.0, -500.0]], requires_grad=True)
    teacher = torch.tensor([[900.0, 0.0, -900.0]], requires_grad=True)
    loss = kl_divergence(student, teacher, 1.0, form=form)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert teacher.grad is not None
    assert teacher.grad.isfinite().all()


def test_literal_eq_9_is_lowest_at_a_student_that_is_never_confident() -> None:
    probabilities = torch.zeros(1, 10, dtype=torch.float64)
    probabilities[0, 0] = 1.0
    teacher = 1000 * probabilities  # its softmax is one-hot
    student = probabilities.clone().requires_grad_()  # softmax(student) = softmax(probabilities)
    loss = kl_divergence(student, teacher, 1.0, form="literal", reduction="batchmean")
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient.abs().max().item() < 1e-12
    assert student.softmax(1).max().item() == pytest.approx(math.e / (math.e + 9))
    assert round(student.softmax(1).max().item(), 3) == 0.232
    for other in (teacher, torch.zeros_like(teacher)):
        assert kl_divergence(other, teacher, 1.0, form="literal", reduction="batchmean") > loss


def test_gradients_flow_into_a_teacher_unless_the_caller_detaches_it() -> None:
    student, teacher = logits("student").requires_grad_(), logits("teacher").requires_grad_()
    losses = [kl_divergence(student, teacher, TEMPERATURE, form=form) for form in FORMS]
    losses += [mean_squared_error(student, teacher, space=space) for space in SPACES]
    for loss in losses:
        gradients = torch.autograd.grad(loss, (student, teacher))
        assert all(gradient.abs().max() > 1e-4 for gradient in gradients)
    detached = kl_divergence(student, teacher.detach(), TEMPERATURE)
    detached = detached + mean_squared_error(student, teacher.detach())
    student_gradient, teacher_gradient = torch.autograd.grad(
        detached, (student, teacher), allow_unused=True
    )
    assert student_gradient.abs().max() > 1e-4
    assert teacher_gradient is None


@pytest.mark.parametrize("form", ["torch", "softened", "reverse"])
def test_a_step_against_the_gradient_brings_the_student_to_its_target(form: KlForm) -> None:
    student = torch.zeros(BATCH, CLASSES, dtype=torch.float64, requires_grad=True)
    teacher = logits("teacher")
    for _ in range(200):
        loss = kl_divergence(student, teacher, 2.0, form=form, reduction="batchmean")
        (gradient,) = torch.autograd.grad(loss, student)
        student.data -= 20 * gradient
    reached = student / 2 if form == "softened" else student
    torch.testing.assert_close(reached.softmax(1), (teacher / 2).softmax(1), atol=5e-3, rtol=0)


@pytest.mark.parametrize(("space", "reduction"), [*product(SPACES, REDUCTIONS)])
def test_each_reading_of_the_mse_term_is_its_formula(space: MseSpace, reduction: Reduction) -> None:
    student, teacher = logits("student"), logits("teacher")
    s, t = student.numpy(), teacher.numpy()
    if space == "probabilities":
        s, t = softmax(s), softmax(t)
    expected = np.sum((s - t) ** 2) / (BATCH * (CLASSES if reduction == "mean" else 1))
    loss = mean_squared_error(student, teacher, space=space, reduction=reduction)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_mse_by_hand_and_its_default_is_torchs() -> None:
    student, teacher = (
        torch.tensor([[1.0, 2.0], [0.0, 0.0]]),
        torch.tensor([[3.0, 1.0], [0.0, 1.0]]),
    )
    assert mean_squared_error(student, teacher).item() == pytest.approx((4 + 1 + 0 + 1) / 4)
    summed = mean_squared_error(student, teacher, reduction="batchmean")
    assert summed.item() == pytest.approx((4 + 1 + 0 + 1) / 2)
    student, teacher = logits("student"), logits("teacher")
    torch.testing.assert_close(
        mean_squared_error(student, teacher), torch.nn.MSELoss()(student, teacher)
    )


def test_cross_entropy_is_positive_and_the_mean_over_the_batch() -> None:
    scores = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0], [0.0, math.log(7.0)]])
    labels = torch.tensor([0, 1, 0])
    expected = -(math.log(3 / 4) + math.log(1 / 2) + math.log(1 / 8)) / 3
    assert cross_entropy(scores, labels).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("option", ["form", "reduction", "scale"])
def test_an_unknown_reading_is_refused(option: str) -> None:
    with pytest.raises((ValueError, KeyError), match="nonsense"):
        kl_divergence(logits("a"), logits("b"), 1.0, **{option: "nonsense"})  # type: ignore[arg-type]


# What other methods share


@pytest.mark.parametrize(("reduction", "scale"), [*product(REDUCTIONS, SCALES)])
def test_the_soft_cross_entropy_is_its_formula(reduction: Reduction, scale: KlScale) -> None:
    student, teacher = logits("student"), logits("teacher")
    p, q = softmax(student.numpy() / TEMPERATURE), softmax(teacher.numpy() / TEMPERATURE)
    expected = -np.sum(q * np.log(p)) / (BATCH * (CLASSES if reduction == "mean" else 1))
    expected *= TEMPERATURE**2 if scale == "temperature_squared" else 1
    loss = soft_cross_entropy(student, teacher, TEMPERATURE, reduction=reduction, scale=scale)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_the_soft_cross_entropy_by_hand_sums_over_classes_without_t_squared() -> None:
    student = torch.tensor([[math.log(9.0), 0.0]], dtype=torch.float64)  # /2: softmax 3/4, 1/4
    teacher = torch.tensor([[math.log(16.0), 0.0]], dtype=torch.float64)  # /2: softmax 4/5, 1/5
    by_hand = -0.8 * math.log(0.75) - 0.2 * math.log(0.25)
    found = soft_cross_entropy(student.repeat(3, 1), teacher.repeat(3, 1), 2.0)
    assert found.item() == pytest.approx(by_hand, rel=1e-12)


def test_the_soft_cross_entropy_has_the_gradient_of_the_softened_kl() -> None:
    student, teacher = logits("student").requires_grad_(), logits("teacher")
    kl = kl_divergence(student, teacher, TEMPERATURE, form="softened", reduction="batchmean")
    soft = soft_cross_entropy(student, teacher, TEMPERATURE)
    (first,), (second,) = (torch.autograd.grad(loss, student) for loss in (kl, soft))
    torch.testing.assert_close(first, second)
    own = soft_cross_entropy(teacher, teacher, TEMPERATURE)
    torch.testing.assert_close(soft - kl, own)


def test_the_soft_cross_entropy_is_finite_where_probabilities_underflow() -> None:
    student = torch.tensor([[0.0, 500.0, -500.0]], requires_grad=True)
    loss = soft_cross_entropy(student, torch.tensor([[900.0, 0.0, -900.0]]), 1.0)
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss.item() == pytest.approx(500)
    assert gradient.isfinite().all()


def test_annealing_is_linear_from_start_to_end() -> None:
    assert [annealed(4.0, 1.0, progress) for progress in (0.0, 0.5, 1.0)] == [4.0, 2.5, 1.0]
    assert [annealed(0.0, 2.0, progress) for progress in (0.0, 0.25, 1.0)] == [0.0, 0.5, 2.0]
    assert annealed(0.9, 0.9, 0.3) == 0.9
