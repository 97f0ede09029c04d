"""BSS: whom it attacks, how far, with which weight; each against a formula of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_objectives import METHODS
from torch import Tensor, nn

from ekd.methods import Batch, bss
from ekd.models import Output
from ekd.streams import generator

Array = NDArray[np.float64]
FIELDS = METHODS["bss"]()


class Linear(nn.Module):
    """A network whose logits are linear in the pixels, so that its attack has a closed form."""

    combine = "sum"

    def __init__(self, weight: Array) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(weight).float())  # [K, pixels]
        self.images: list[int] = []

    def forward(self, x: Tensor) -> Output:
        self.images.append(len(x))
        logits = x.flatten(1) @ self.weight.T
        return Output(logits, logits[None], ((logits,),))


def fields(**changes: Any) -> Any:
    return type(FIELDS).model_validate(changes)


def attack(weight: Array, x: Array, base: list[int], target: list[int], **changes: Any) -> Array:
    """Attack images [n, 3, 1, 1], given as [n, 3]."""
    images = torch.from_numpy(x).float()[:, :, None, None]
    ends = bss.attacked(
        lambda images: Linear(weight)(images).logits, images, torch.tensor(base),
        torch.tensor(target), fields(**changes),
    )  # fmt: skip
    return ends.double().numpy()[:, :, 0, 0]


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


# Candidates, and their order

LABELS = np.array([0, 1, 2, 0, 1, 2, 0])
P_T = np.array([[.6, .2, .2], [.1, .7, .2], [.1, .2, .7], [.5, .3, .2], [.7, .2, .1],
                [.1, .2, .7], [.8, .1, .1]])  # fmt: skip
P_S = np.array([[.8, .1, .1], [.21, .7, .09], [.1, .5, .4], [.5, .31, .19], [.2, .6, .2],
                [.25, .05, .7], [.76, .12, .12]])  # fmt: skip


def check_candidates() -> None:
    """By hand: 2 (0.1^2), 2 (0.11^2), -, 2 (0.01^2), -, 2 (0.15^2) and 2 (0.02^2).

    The student is wrong on 2, the teacher on 4. Their own class, where they differ by 0.2, would
    put image 0 first with 0.06.
    """
    assert chosen("both") == [5, 1, 0, 6, 3]


def chosen(which: Any) -> list[int]:
    student, teacher = (torch.from_numpy(np.log(p)) for p in (P_S, P_T))
    labels = torch.from_numpy(LABELS)
    fitting = bss.candidates(student, teacher, labels, which)
    return bss.base_samples(student, teacher, labels, fitting).tolist()


def test_candidates_are_what_both_get_right_the_most_different_first() -> None:
    check_candidates()


def test_the_script_takes_all_that_the_teacher_gets_right() -> None:
    assert chosen("teacher") == [2, 5, 1, 0, 6, 3]  # image 2: 0.3^2
    assert METHODS["bss"].readings["code"] == {"candidates": "teacher"}
    assert FIELDS.candidates == "both"


def test_without_a_candidate_nothing_is_chosen() -> None:
    logits, wrong = torch.from_numpy(P_T), torch.from_numpy((LABELS + 1) % 3)
    fitting = bss.candidates(logits, logits, wrong, "teacher")
    assert bss.base_samples(logits, logits, wrong, fitting).tolist() == []


# Target classes

DRAWS = 40_000


def check_target_frequencies() -> None:
    p_t = np.array([[0.1, 0.6, 0.28, 0.02], [0.5, 0.2, 0.2, 0.1]])
    for row, base in zip(p_t, (1, 0), strict=True):
        logits = torch.from_numpy(np.log(row)).float().expand(DRAWS, -1)
        drawn = bss.target_classes(logits, torch.full((DRAWS,), base), generator(0, "a"))
        expected = row / (1 - row[base])
        expected[base] = 0
        found = np.bincount(drawn.numpy(), minlength=4) / DRAWS
        spread = np.sqrt(expected * (1 - expected) / DRAWS)
        assert (np.abs(found - expected) <= 4.5 * spread).all()


def test_target_classes_are_as_frequent_as_the_teacher_finds_them_likely() -> None:
    check_target_frequencies()


def test_a_certain_teacher_still_has_a_second_opinion() -> None:
    logits = torch.tensor([[200.0, 1.0, 1.0 + math.log(3)]]).expand(DRAWS, -1)  # p_max is 1
    drawn = bss.target_classes(logits, torch.zeros(DRAWS, dtype=torch.long), generator(0, "a"))
    assert (drawn == 2).double().mean().item() == pytest.approx(0.75, abs=0.01)
    assert (drawn > 0).all()


def test_target_classes_come_from_the_generator_alone() -> None:
    logits, base = torch.randn(50, 10, generator=generator(0, "z")), torch.zeros(50).long()
    state = torch.get_rng_state()
    first, same, other = (bss.target_classes(logits, base, generator(s, "a")) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


# The attack on a linear teacher

IDENTITY = np.eye(3)
"""z = x: between two classes the gradient is (-1, 1, 0) / sqrt(2), and so on."""


def check_one_step() -> None:
    found = attack(IDENTITY, np.array([[2.0, 0.5, 0.25]]), [0], [1], attack_steps=1)
    step = 0.3 * (1.5 + 1e-4) / math.sqrt(2)
    np.testing.assert_allclose(found, [[2 - step, 0.5 + step, 0.25]], rtol=1e-6)


def check_ten_steps() -> None:
    """A step of eta (gap + d) shortens gap + d by eta |grad|: a geometric series."""
    weight = np.diag([1.0, 0.5, 0.0])
    found = attack(weight, np.array([[2.0, 1.0, -1.0]]), [0], [1])
    slope = math.hypot(1, 0.5)
    gap = (1.5 + 1e-4) * (1 - 0.3 * slope) ** 10 - 1e-4
    assert gap > 0  # not across yet
    along = (1.5 - gap) / slope**2
    np.testing.assert_allclose(found, [[2 - along, 1 + 0.5 * along, -1]], rtol=1e-5)


def check_crossing() -> None:
    """With eta = 0.8 a step overshoots, and what is across stays, whatever the others do."""
    x = np.array([[2.0, 0.5, 0.25], [1.0, 0.0, 0.9]])
    steep = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0.1]])
    found = attack(steep, x, [0, 0], [1, 2], step_size=0.8)
    step = 0.8 * (1.5 + 1e-4) / math.sqrt(2)
    np.testing.assert_allclose(found[0], [2 - step, 0.5 + step, 0.25], rtol=1e-6)
    gap, slope, expected = 1 - 0.09, math.hypot(1, 0.1), np.array([1, 0, 0.9])
    for _ in range(10):
        if expected[0] > 0.1 * expected[2]:
            gap = expected[0] - 0.1 * expected[2]
            expected = expected + 0.8 * (gap + 1e-4) / slope * np.array([-1, 0, 0.1]) / slope
    np.testing.assert_allclose(found[1], expected, rtol=1e-4, atol=1e-6)


def check_clipping() -> None:
    """Pixels beyond 2.5 are cut, also those that the gradient leaves alone; -2.5 alike."""
    found = attack(np.diag([1.0, 1, 0]), np.array([[2.7, 2.4, 2.75]]), [0], [1], attack_steps=1)
    step = 0.3 * (0.3 + 1e-4) / math.sqrt(2)
    assert 2.7 - step > 2.5
    np.testing.assert_allclose(found, [[2.5, 2.4 + step, 2.5]], rtol=1e-6)
    weight = np.array([[0, 0, 3.0], [-1, 0, 0], [0, 0, 0]])
    found = attack(weight, np.array([[-2.4, 0, 1.0]]), [0], [1], attack_steps=1, step_size=1.0)
    step = (0.6 + 1e-4) / math.sqrt(10)
    assert -2.4 - step < -2.5
    np.testing.assert_allclose(found, [[-2.5, 0, 1 - 3 * step]], rtol=1e-6)


ATTACKS = [check_one_step, check_ten_steps, check_crossing, check_clipping]


@pytest.mark.parametrize("check", ATTACKS)
def test_the_attack_has_its_closed_form(check: Callable[[], None]) -> None:
    check()


def test_the_attack_ends_when_all_are_across_and_asks_the_teacher_for_no_other_image() -> None:
    teacher = Linear(IDENTITY)
    x = torch.tensor([[2.0, 0.5, 0.0], [1.0, 0.5, 0.0]])[:, :, None, None]
    base, before = torch.zeros(2).long(), x.clone()
    target = torch.tensor([1, 2])
    bss.attacked(lambda x: teacher(x).logits, x, base, target, fields(step_size=0.8))
    assert teacher.images == [2, 2]  # the second look finds both across
    assert torch.equal(x, before)
    many = Linear(IDENTITY)
    xs, zeros = x[:1].expand(500, -1, -1, -1), torch.zeros(500).long()
    bss.attacked(lambda x: many(x).logits, xs, zeros, zeros + 1, fields())
    assert many.images == [500] * 10  # steps, not samples, are what is looped over


def test_a_flat_teacher_moves_nothing_and_gives_no_nan() -> None:
    x = np.array([[1.0, 0.5, 0.25]])
    np.testing.assert_array_equal(attack(np.zeros((3, 3)), x, [0], [1]), x)


# The whole loss, for two classes: the target class is the other one, so nothing is random


def numpy_attack(w: Array, x: Array, base: int) -> Array:
    for _ in range(10):
        z = w @ x
        if z.argmax() != base:
            break
        gradient = w[1 - base] - w[base]
        far = 0.3 * (z[base] - z[1 - base] + 1e-4)
        x = np.clip(x + far * gradient / np.sqrt((gradient**2).sum()), -2.5, 2.5)
    return x


def numpy_soft(w_s: Array, w_t: Array, xs: list[Array]) -> float:
    h = [-(softmax(w_t @ x / 3) * np.log(softmax(w_s @ x / 3))).sum() for x in xs]
    return float(np.mean(h))


def numpy_terms(
    w_s: Array,
    w_t: Array,
    x: Array,
    y: NDArray[np.int64],
    progress: float,
    size: int,
    which: str = "both",
) -> dict[str, float]:
    chosen = []
    for i, label in enumerate(y):
        student_right = (w_s @ x[i]).argmax() == label or which == "teacher"
        if student_right and (w_t @ x[i]).argmax() == label:
            p_s, p_t = softmax(w_s @ x[i]), softmax(w_t @ x[i])
            chosen.append(((p_t[1 - label] - p_s[1 - label]) ** 2, i))
    attacked = [numpy_attack(w_t, x[i], y[i]) for _, i in sorted(chosen, reverse=True)[:size]]
    ce = [-np.log(softmax(w_s @ x[i])[label]) for i, label in enumerate(y)]
    return {
        "ce_student": float(np.mean(ce)),
        "kd": (3 * (1 - progress) + 1) * numpy_soft(w_s, w_t, list(x)),
        "bss": max(2 * (1 - 4 / 3 * progress), 0) * numpy_soft(w_s, w_t, attacked),
    }


def check_loss() -> None:
    random = np.random.default_rng(3)
    w_s, w_t, x = (
        random.normal(size=(2, 12)),
        random.normal(size=(2, 12)),
        random.normal(size=(40, 12)),
    )
    y = (x @ w_t.T + 1.5 * random.normal(size=(40, 2))).argmax(1)
    images = torch.from_numpy(x).float().view(40, 3, 2, 2)
    batch = Batch(images, torch.from_numpy(y), torch.arange(40), 0, generator(0, "noise"))
    for size, which in ((3, "both"), (64, "both"), (64, "teacher")):
        method = fields(attack_size=size, candidates=which)
        objective = method.objective(Linear(w_s), [Linear(w_t)])
        for progress in (0.0, 0.5, 0.75, 0.999):
            expected = numpy_terms(w_s, w_t, x, y, progress, size, which)
            found = {name: term.item() for name, term in objective(batch, progress).terms.items()}
            assert found == pytest.approx(expected, rel=2e-5)


def test_the_loss_is_its_formula() -> None:
    check_loss()


def check_weights() -> None:
    for progress, kd, weight in ((0, 4, 2), (0.5, 2.5, 2 / 3), (0.75, 1.75, 0), (1, 1, 0)):
        assert FIELDS.kd_weight(progress) == pytest.approx(kd, rel=1e-12)
        assert FIELDS.bss_weight(progress) == pytest.approx(weight, rel=1e-12)
    assert FIELDS.bss_weight(0.75) == 0


def test_the_weights_fall_as_published() -> None:
    check_weights()
