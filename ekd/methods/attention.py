"""Attention transfer: where the student's layers are active imitates where the teacher's are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from ekd.losses import cross_entropy
from ekd.methods import Batch, Method, Objective, frozen
from ekd.models import CompNet
from ekd.spec import Run

Mode = Literal["code", "paper"]

STAGES = slice(1, 4)
"""Among the features of `Output`: those after the three stages, without stem and pooled vector."""


@final
class Attention(Method):
    """Paying More Attention to Attention: Improving the Performance of Convolutional Neural
    Networks via Attention Transfer.

    Zagoruyko, Komodakis, arXiv 1612.03928, Eq. 2 with activation-based maps of what the three
    stages give. The channels of several branches, side by side, make one map.
    """

    mode: Mode = "code"
    """code: the mean over positions of the squared difference, times beta, as the authors' program
    has it. paper: the norm of the difference, times beta / 2 (Eq. 2)."""
    beta: float = Field(1000.0, ge=0, le=1e6)
    """Weight of the three maps' distances: 1000 is published for mode `code`. None is published
    for the norm of mode `paper`, so there it must be given."""

    @model_validator(mode="before")
    @classmethod
    def _beta_of_the_paper_is_unknown(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("mode") == "paper" and "beta" not in values:
            raise ValueError("mode = 'paper' has no published beta: give method.beta as well")
        return values

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Couple the student with its frozen teacher."""
        return AttentionObjective(self, student, teachers)

    def teacher_count(self, run: Run) -> int | None:
        """Take one teacher."""
        return 1


class AttentionObjective(Objective):
    """Eq. 2: the cross-entropy, and the distance between the attention maps of each stage."""

    def __init__(self, fields: Attention, student: CompNet, teachers: Sequence[CompNet]) -> None:
        super().__init__(student, [frozen(teacher) for teacher in teachers])
        self.fields = fields

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the student's logits [B, K] and the weighted terms."""
        student, teacher = self.student(batch.x), self.teachers(batch.x)
        pairs = zip(student.features[STAGES], teacher.features[STAGES], strict=True)
        distances = torch.stack([attention_loss(s, t, self.fields.mode) for s, t in pairs])
        weight = self.fields.beta / (1 if self.fields.mode == "code" else 2)
        return student.logits, {
            "ce_student": cross_entropy(student.logits, batch.y),
            "attention": weight * distances.sum(),
        }


def attention_map(features: Tensor) -> Tensor:
    """Give Q / ||Q||_2 with Q = vec(sum_c |A_c|^2) of features [B, C, H, W]: [B, H*W].

    The mean over channels stands for the sum: the norm takes out the factor (Sec. 3.1).
    """
    return F.normalize(features.square().mean(1).flatten(1), dim=1)


def attention_loss(student: Tensor, teacher: Tensor, mode: Mode) -> Tensor:
    """Compare the attention maps of features [B, C_s, H, W] and [B, C_t, H, W].

    "code" gives the mean over images and positions of the squared difference; "paper" the mean over
    images of the difference's norm (arXiv 1612.03928, Eq. 2).
    """
    difference = attention_map(student) - attention_map(teacher)  # [B, H*W]
    if mode == "code":
        return difference.square().mean()
    norms: Tensor = torch.linalg.vector_norm(difference, dim=1)  # [B]
    return norms.mean()
