"""BSS: the student also learns from images that were moved to its teacher's decision boundary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, cast, final

import torch
from pydantic import Field
from torch import Tensor

from ekd.losses import annealed, cross_entropy, soft_cross_entropy
from ekd.methods import (
    FORWARD,
    FORWARD_AND_BACKWARD,
    FORWARD_AND_INPUT_GRADIENT,
    Batch,
    Method,
    Objective,
    frozen,
)
from ekd.models import CompNet, Output
from ekd.spec import Run

Candidates = Literal["both", "teacher"]

LIMIT = 2.5
"""Attacked images are clipped to [-2.5, 2.5], in units of the normalised input."""
OVERSHOOT = 1e-4
"""Added to the gap that a step of the attack is to close, so that it ends beyond the boundary."""


@final
class Bss(Method):
    """Knowledge Distillation with Adversarial Samples Supporting Decision Boundary.

    Heo, Lee, Yun, Choi, AAAI 2019 (arXiv 1805.05532), with the values of the authors' script. Two
    deviations from it: its optimiser is re-created at the milestones, which sets the momentum to
    zero, here momentum is kept; its weights fall once per epoch, here with every step.
    """

    readings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"candidates": "both"},
        "code": {"candidates": "teacher"},
    }
    """paper: as described there. code: what the authors' script does."""

    candidates: Candidates = "both"
    """Which images may be attacked: those that both networks classify correctly, or all that the
    teacher does, as in the authors' script."""
    temperature: float = Field(3.0, ge=0.1, le=100)
    """T, which softens both sides; no factor T^2 makes up for it."""
    kd_start: float = Field(4.0, ge=0, le=100)
    """Weight of the distillation on the training images at the start."""
    kd_end: float = Field(1.0, ge=0, le=100)
    """The same at the end; it falls linearly."""
    bss_start: float = Field(2.0, ge=0, le=100)
    """Weight of the distillation on the attacked images at the start."""
    bss_until: float = Field(0.75, gt=0, le=1)
    """Part of the training at which that weight has fallen to 0, linearly; then no attack."""
    attack_size: int = Field(64, ge=1, le=4096)
    """Images per batch that are attacked, at most."""
    attack_steps: int = Field(10, ge=1, le=100)
    """Steps of the attack, at most: an image that has crossed the boundary is left there."""
    step_size: float = Field(0.3, gt=0, le=10)
    """eta, the length of a step in parts of the gap between the two logits."""

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Couple the student with its one frozen teacher."""
        return BssObjective(self, student, teachers)

    def teacher_count(self, run: Run) -> int | None:
        """Exactly one: the boundary is a single network's."""
        return 1

    def student_passes(self, run: Run) -> float:
        """Count the attacked images too, at most: `attack_size` of every batch until they end."""
        return FORWARD_AND_BACKWARD * (1 + self._attacked_part(run))

    def teacher_passes(self, run: Run) -> float:
        """Count all steps of the attack, and what the teacher says at its end."""
        attack = self.attack_steps * FORWARD_AND_INPUT_GRADIENT + FORWARD
        return FORWARD + attack * self._attacked_part(run)

    def _attacked_part(self, run: Run) -> float:
        """Give the part of all training images that are attacked, at most."""
        attacks = self.bss_until if self.bss_start else 0.0
        return attacks * min(self.attack_size / run.recipe.batch_size, 1)

    def kd_weight(self, progress: float) -> float:
        """Fall linearly from `kd_start` to `kd_end`: 3 (1 - e/E) + 1 as published."""
        return annealed(self.kd_start, self.kd_end, progress)

    def bss_weight(self, progress: float) -> float:
        """Fall linearly from `bss_start` to 0 at `bss_until`: max(2 (1 - 4/3 e/E), 0)."""
        return self.bss_start * max(1 - progress / self.bss_until, 0.0)


class BssObjective(Objective):
    """Cross-entropy with the labels, and distillation on images given and attacked."""

    def __init__(self, fields: Bss, student: CompNet, teachers: Sequence[CompNet]) -> None:
        super().__init__(student, [frozen(teacher) for teacher in teachers])
        self.fields = fields

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the student's logits [B, K], and the three terms."""
        fields = self.fields
        student, teacher = self.student(batch.x).logits, self._ask_teacher(batch.x)  # [B, K]
        kd = soft_cross_entropy(student, teacher, fields.temperature)
        return student, {
            "ce_student": cross_entropy(student, batch.y),
            "kd": fields.kd_weight(progress) * kd,
            "bss": self._at_the_boundary(batch, progress, student.detach(), teacher),
        }

    def _at_the_boundary(
        self, batch: Batch, progress: float, student: Tensor, teacher: Tensor
    ) -> Tensor:
        """Choose images by the logits [B, K] that they got, attack them, and distil there."""
        fields, weight = self.fields, self.fields.bss_weight(progress)
        fitting = candidates(student, teacher, batch.y, fields.candidates)  # [B]
        chosen = base_samples(student, teacher, batch.y, fitting)[: fields.attack_size]  # [n]
        if weight == 0 or not len(chosen):
            return student.new_zeros(())
        base = batch.y[chosen]
        target = target_classes(teacher[chosen], base, batch.generator)
        x = attacked(self._ask_teacher, batch.x[chosen], base, target, fields)
        student, teacher = self.student(x).logits, self._ask_teacher(x)  # [n, K]
        return weight * soft_cross_entropy(student, teacher, fields.temperature)

    def _ask_teacher(self, x: Tensor) -> Tensor:
        return cast(Output, self.teachers(x)).logits


def candidates(student: Tensor, teacher: Tensor, labels: Tensor, which: Candidates) -> Tensor:
    """Tell which images may be attacked, by the logits [B, K] and the labels [B]; gives [B]."""
    right = teacher.argmax(1) == labels
    return right & (student.argmax(1) == labels) if which == "both" else right


def base_samples(student: Tensor, teacher: Tensor, labels: Tensor, fitting: Tensor) -> Tensor:
    """Give the positions [n] of the `fitting` images [B].

    Those come first whose probabilities of the wrong classes differ most between the logits
    `student` and `teacher` [B, K]: sum over k != y of (p_t,k - p_s,k)^2, with `labels` y [B].
    """
    difference = (teacher.softmax(1) - student.softmax(1)).square()  # [B, K]
    distance = difference.scatter(1, labels[:, None], 0).sum(1)  # [B]
    order = distance.argsort(descending=True, stable=True)
    return order[fitting[order]]


def target_classes(teacher: Tensor, base: Tensor, generator: torch.Generator) -> Tensor:
    """Draw for each row of logits [n, K] a class k other than `base` [n]; gives [n].

    A roulette on p_t,k / (1 - p_t,base): the softmax without the base class, which is exact also
    where p_t,base rounds to 1. It turns on the CPU, as the generator does.
    """
    chances = teacher.scatter(1, base[:, None], -torch.inf).softmax(1)  # [n, K]
    return torch.multinomial(chances.cpu(), 1, generator=generator)[:, 0].to(teacher.device)


def attacked(
    teacher: Callable[[Tensor], Tensor], x: Tensor, base: Tensor, target: Tensor, fields: Bss
) -> Tensor:
    """Move copies of images x [n, 3, H, W] across the boundary between two classes [n] each.

    While the teacher, which gives logits [n, K], still says `base`, an image goes along the
    normalised gradient of z_target - z_base, eta (z_base - z_target + 1e-4) far, and is clipped.
    """
    x, moving = x.clone(), torch.arange(len(x), device=x.device)  # [n], later fewer
    for _ in range(fields.attack_steps):
        if not len(moving):
            break
        images = x[moving].requires_grad_()
        logits = teacher(images)  # [n, K]
        still = logits.argmax(1) == base[moving]
        ours, theirs = (logits.gather(1, k[moving, None])[:, 0] for k in (base, target))  # [n]
        (gradient,) = torch.autograd.grad((theirs - ours).sum(), images)
        length = torch.linalg.vector_norm(gradient, dim=(1, 2, 3)).clamp_min(1e-12)  # [n]
        far = fields.step_size * (ours - theirs + OVERSHOOT).detach() / length * still  # [n]
        moved = images.detach() + far[:, None, None, None] * gradient
        x[moving] = moved.clamp(-LIMIT, LIMIT)
        moving = moving[still]
    return x
