"""Attention transfer: its maps, its two ways to compare them, and which layers it reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from planned import derived
from pydantic import ValidationError
from tiny_objectives import BATCH, METHODS, a_batch, an_objective, kept, moved, two_adam_steps
from torch import Tensor

from ekd.methods import Method, attention, copied
from ekd.spec.resolve import FieldError

Array = NDArray[np.float64]
CELL = ("data.name=cifar10", "method.name=attention", "teachers=T3")


def method(**fields: Any) -> Method:
    return METHODS["attention"].model_validate(fields)


def array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().double().numpy())


# The maps and their distance


def check_map_by_hand() -> None:
    """Two channels and two positions: sums of squares 9 + 0 and 0 + 16, their norm is 18.36."""
    features = torch.tensor([[[[3.0, 0.0]], [[0.0, -4.0]]]])  # [1, 2, 1, 2]
    expected = [[9 / 337**0.5, 16 / 337**0.5]]
    assert array(attention.attention_map(features)) == pytest.approx(np.array(expected))


def check_distances_by_hand() -> None:
    """The maps (1, 0) and (0, 1), and in a second image equal ones: squares 1 + 1 in 4 places."""
    one, other = torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 5.0], [3.0, 0.0]])
    pair = one.view(2, 1, 1, 2), other.view(2, 1, 1, 2)
    assert attention.attention_loss(*pair, "code").item() == pytest.approx(2 / 4)
    assert attention.attention_loss(*pair, "paper").item() == pytest.approx(2**0.5 / 2)


def test_a_map_is_the_normed_sum_of_squares_over_channels() -> None:
    check_map_by_hand()
    several = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    twice = torch.cat([several, several], dim=1)
    torch.testing.assert_close(attention.attention_map(twice), attention.attention_map(several))


def test_code_takes_the_mean_square_and_paper_the_norm() -> None:
    check_distances_by_hand()


def test_equal_maps_have_no_distance_and_a_finite_gradient() -> None:
    features = torch.ones(2, 3, 4, 4, requires_grad=True)
    for mode in ("code", "paper"):
        loss = attention.attention_loss(features, features.detach(), mode)
        (gradient,) = torch.autograd.grad(loss, features)
        assert loss.item() == 0
        assert gradient.isfinite().all()


# The loss


def numpy_loss(student: list[Array], teacher: list[Array], mode: str) -> float:
    """Sum Eq. 2's distances over the stages, features [B, C, H, W] each, image by image."""
    total = 0.0
    for own, other in zip(student, teacher, strict=True):
        for a, b in zip(own, other, strict=True):  # [C, H, W]
            q_s, q_t = (a**2).sum(0).ravel(), (b**2).sum(0).ravel()
            d = q_s / np.sqrt((q_s**2).sum()) - q_t / np.sqrt((q_t**2).sum())
            total += (d**2).sum() / d.size if mode == "code" else np.sqrt((d**2).sum()) / 2
    return total / BATCH


def check_loss(branches: int = 1) -> None:
    for mode, beta in (("code", 1000.0), ("paper", 3.0)):
        objective, (teacher,) = an_objective(method(mode=mode, beta=beta), branches)
        objective.train()
        batch = a_batch()
        with torch.no_grad():
            student = objective.student(batch.x)
            taught = teacher.eval()(batch.x).features
        own = [array(f) for f in student.features[1:4]]
        assert [f.shape for f in own] == [
            (BATCH, branches * c, side, side) for c, side in ((16, 8), (32, 4), (64, 2))
        ]
        z = array(student.logits)
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        ce = -log_p[np.arange(BATCH), batch.y.numpy()].mean()
        distance = beta * numpy_loss(own, [array(f) for f in taught[1:4]], mode)
        terms = {name: term.item() for name, term in objective(batch, 0.5).terms.items()}
        assert terms == pytest.approx({"ce_student": ce, "attention": distance}, rel=1e-3)


@pytest.mark.parametrize("branches", [1, 3])
def test_the_loss_is_its_formula_over_the_three_stages(branches: int) -> None:
    check_loss(branches)


def check_gradient() -> None:
    """The maps pull every layer up to stage 3; the classifier learns from the labels alone."""
    objective, _ = an_objective(method(), 1)
    term = objective(a_batch(), 0.0).terms["attention"]
    assert term.requires_grad
    names, parameters = zip(*objective.named_parameters(), strict=True)
    found = torch.autograd.grad(term, parameters, allow_unused=True)
    reached = {n for n, g in zip(names, found, strict=True) if g is not None and g.abs().max() > 0}
    assert reached == {name for name in names if ".linear." not in name}


def test_the_maps_reach_every_stage_but_not_the_classifier() -> None:
    check_gradient()


def check_teacher_stays() -> None:
    objective, (teacher,) = an_objective(method(), 1)
    before = kept(teacher)
    two_adam_steps(objective)
    assert not moved(before, dict(objective.nets())["teacher-1"])


def test_the_teacher_stays_as_it_was_with_its_statistics() -> None:
    check_teacher_stays()


# Fields


def test_the_published_beta_is_that_of_the_code() -> None:
    assert method().model_dump() == {"mode": "code", "beta": 1000.0}


def test_the_mode_of_the_paper_needs_a_beta_of_its_own() -> None:
    with pytest.raises(ValidationError, match="no published beta"):
        method(mode="paper")
    with pytest.raises(FieldError, match=r"no published beta: give method\.beta"):
        derived(*CELL, 'method.mode="paper"')
    run = derived(*CELL, 'method.mode="paper"', "method.beta=0.1")
    assert run.method == method(mode="paper", beta=0.1)


@pytest.mark.parametrize("teachers", ["T1-T2", "[]"])
def test_it_takes_exactly_one_teacher(teachers: str) -> None:
    with pytest.raises(FieldError, match="teacher"):
        derived(*CELL[:2], f"teachers={teachers}")


# What public code got wrong


def without_channel_sum(features: Tensor) -> Tensor:
    return F.normalize(features.square().flatten(1), dim=1)


def over_the_batch(features: Tensor) -> Tensor:
    return F.normalize(features.square().mean(1).flatten(1), dim=0)


def rebuilt(student: Tensor, teacher: Tensor, mode: Any) -> Tensor:
    return torch.tensor(CORRECT(student, teacher, mode).item())


def summed(student: Tensor, teacher: Tensor, mode: Any) -> Tensor:
    difference = attention.attention_map(student) - attention.attention_map(teacher)
    return difference.square().sum(1).mean()


CORRECT = attention.attention_loss
MUTANTS: dict[str, tuple[str, object, Callable[[], None]]] = {
    "channels not reduced": ("attention_map", without_channel_sum, check_map_by_hand),
    "not normed": ("attention_map", lambda f: f.square().mean(1).flatten(1), check_map_by_hand),
    "not squared": ("attention_map", lambda f: F.normalize(f.abs().mean(1).flatten(1)),
                    check_map_by_hand),
    "normed over the batch": ("attention_map", over_the_batch, check_distances_by_hand),
    "a sum over positions": ("attention_loss", summed, check_loss),
    "the norm for its square": ("attention_loss", lambda s, t, mode: CORRECT(s, t, "paper"),
                                check_distances_by_hand),
    "the square for the norm": ("attention_loss", lambda s, t, mode: CORRECT(s, t, "code"),
                                check_loss),
    "losses rebuilt": ("attention_loss", rebuilt, check_gradient),
    "stem in place of stage 3": ("STAGES", slice(0, 3), check_loss),
    "two of three stages": ("STAGES", slice(2, 4), check_loss),
    "teacher trained": ("frozen", copied, check_teacher_stays),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mistake_that_others_made_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute, wrong, check = MUTANTS[name]
    check()
    monkeypatch.setattr(attention, attribute, wrong)
    with pytest.raises(AssertionError):
        check()
