"""BSS with a mistake in it: each is caught by a check of the closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_methods_bss import (
    FIELDS,
    check_candidates,
    check_clipping,
    check_loss,
    check_one_step,
    check_target_frequencies,
    check_weights,
)
from torch import Tensor

from ekd.methods import bss


def without_normalising(x: Tensor, **_: Any) -> Tensor:
    return torch.ones(len(x))


def attack_of_sign(sign: float) -> Callable[..., Tensor]:
    original = bss.attacked

    def mutant(teacher: Any, x: Tensor, base: Tensor, target: Tensor, fields: Any) -> Tensor:
        return x + sign * (original(teacher, x, base, target, fields) - x)

    return mutant


def by_all_classes(student: Tensor, teacher: Tensor, labels: Tensor, fitting: Tensor) -> Tensor:
    order = (teacher.softmax(1) - student.softmax(1)).square().sum(1).argsort(descending=True)
    return order[fitting[order]]


def of_the_teacher_alone(student: Tensor, teacher: Tensor, labels: Tensor, which: str) -> Tensor:
    return teacher.argmax(1) == labels


def the_second_class(teacher: Tensor, base: Tensor, stream: torch.Generator) -> Tensor:
    return teacher.scatter(1, base[:, None], -torch.inf).argmax(1)


def a_uniform_class(teacher: Tensor, base: Tensor, stream: torch.Generator) -> Tensor:
    flat = torch.zeros_like(teacher).scatter(1, base[:, None], -torch.inf).softmax(1)
    return torch.multinomial(flat, 1, generator=stream)[:, 0]


def soft(scale: float, both: bool = True) -> Callable[[Tensor, Tensor, float], Tensor]:
    def mutant(student: Tensor, teacher: Tensor, t: float) -> Tensor:
        log_student = (student / t if both else student).log_softmax(1)
        return -scale * ((teacher / t).softmax(1) * log_student).sum(1).mean()

    return mutant


MUTANTS: dict[str, tuple[Any, str, Any, Callable[[], None]]] = {
    "distance over all classes": (bss, "base_samples", by_all_classes, check_candidates),
    "candidates of the teacher alone": (
        bss, "candidates", of_the_teacher_alone, check_candidates),
    "always the second class": (
        bss, "target_classes", the_second_class, check_target_frequencies),
    "any class alike": (bss, "target_classes", a_uniform_class, check_target_frequencies),
    "attack away from the boundary": (bss, "attacked", attack_of_sign(-1), check_one_step),
    "no attack": (bss, "attacked", attack_of_sign(0), check_loss),
    "gradient as it is": (torch.linalg, "vector_norm", without_normalising, check_one_step),
    "no overshoot": (bss, "OVERSHOOT", 0.0, check_one_step),
    "no clipping": (bss, "LIMIT", 1e9, check_clipping),
    "T squared": (bss, "soft_cross_entropy", soft(9), check_loss),
    "divided by the number of classes": (bss, "soft_cross_entropy", soft(0.5), check_loss),
    "only the teacher is softened": (
        bss, "soft_cross_entropy", soft(1, both=False), check_loss),
    "bss falls until the end": (
        type(FIELDS), "bss_weight", lambda self, progress: 2 * (1 - progress), check_weights),
    "kd falls to 0": (
        type(FIELDS), "kd_weight", lambda self, progress: 4 * (1 - progress), check_weights),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, mutant, check = MUTANTS[name]
    check()
    monkeypatch.setattr(owner, attribute, mutant)
    with pytest.raises(AssertionError):
        check()
