"""FSP: how the student's features flow from layer to layer imitates how the teacher's do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ekd.methods import Batch, Objective, architecture, frozen
from ekd.methods._stages import TwoStage
from ekd.methods.plain import PlainObjective
from ekd.models import CompNet
from ekd.spec import Run

MAPS = slice(0, 4)
"""Among the features of `Output`: stem and three stages, without the pooled vector."""


@final
class Fsp(TwoStage):
    """A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer
    Learning.

    Yim, Joo, Bae, Kim, CVPR 2017, doi 10.1109/CVPR.2017.754. A hint run on Eq. 2 alone, then a main
    run on the labels alone. The paper takes the first and the last features of each stage; a stage
    of ResNet8 is one block, so here each matrix is between what a stage takes and what it gives.
    """

    hint_lr: float = Field(0.01, ge=1e-5, le=10)
    """Learning rate of the hint run. Public code for CIFAR has 0.01 or 0.05 where the loss is a
    mean over elements; with this one SGD and Adam both fit the matrices."""

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Couple the student with its frozen teacher for the hint run; the main run has none."""
        if self.stage == "hint":
            return HintObjective(student, teachers)
        return PlainObjective(student, "sum")

    def chain(self, run: Run) -> Run:
        """Leave the teacher to the hint run: the main run learns from the labels alone."""
        chained = super().chain(run)
        return chained.model_copy(update={"teachers": ()}) if chained.start else chained

    def refuses(self, run: Run) -> str | None:
        """Refuse several branches too: their matrices have other sizes than the teacher's."""
        branches = run.student.branches
        if branches > 1:
            return (
                f"each matrix is of channels by channels, and {branches} branches have "
                f"{branches} times as many channels as the teacher: student.branches is 1"
            )
        teachers = run.start.run.teachers if run.start else run.teachers
        widths = {architecture(teacher).width for teacher in teachers} - {run.student.width}
        if widths:
            return (
                "each matrix is of channels by channels, and the teacher has others than the "
                f"student: student.width is {widths.pop()}"
            )
        return super().refuses(run)


class HintObjective(Objective):
    """Eq. 2 for all of the student but its classifier."""

    def __init__(self, student: CompNet, teachers: Sequence[CompNet]) -> None:
        super().__init__(student, [frozen(teacher) for teacher in teachers])
        for branch in student.branches:
            branch.linear.requires_grad_(False)

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the logits [B, K] of the untrained classifier, and the one term."""
        student, teacher = self.student(batch.x), self.teachers(batch.x)
        loss = fsp_loss(student.features[MAPS], teacher.features[MAPS])
        return student.logits, {"fsp": loss}


def fsp_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Give Eq. 2 with equal weights: the squared Frobenius norms of G^t - G^s, summed over pairs.

    Each is the mean over images and elements, as the norms grow with the number of channels.

    Args:
        student: Features from shallow to deep, [B, C_i, H_i, W_i].
        teacher: The same of the teacher.

    Raises:
        ValueError: A teacher's feature has another number of channels.
    """
    for own, other in zip(student, teacher, strict=True):
        if own.shape[1] != other.shape[1]:
            raise ValueError(
                f"FSP compares matrices of equal size: the student has {own.shape[1]} channels "
                f"where the teacher has {other.shape[1]}"
            )
    pairs = zip(pairwise(student), pairwise(teacher), strict=True)
    differences = [fsp_matrix(*own) - fsp_matrix(*other) for own, other in pairs]  # [B, C_1, C_2]
    return torch.stack([difference.square().mean() for difference in differences]).sum()


def fsp_matrix(first: Tensor, second: Tensor) -> Tensor:
    """Give Eq. 1, G_ij = sum over positions of F1_i F2_j / (h w), of [B, C_1, ..] and [B, C_2, ..].

    Where `first` has twice the side of `second`, it is max-pooled.

    Returns:
        [B, C_1, C_2]
    """
    if first.shape[2] > second.shape[2]:
        first = max_pooled(first)
    first, second = first.flatten(2), second.flatten(2)  # [B, C, h*w]
    return first @ second.mT / second.shape[2]


def max_pooled(features: Tensor) -> Tensor:
    """Halve the side of features [B, C, H, W], an odd one rounded up.

    torch's own pooling to a given size has no deterministic gradient on every device.
    """
    batch, channels, height, width = features.shape
    padded = F.pad(features, (0, width % 2, 0, height % 2), value=-torch.inf)
    windows = padded.reshape(batch, channels, (height + 1) // 2, 2, (width + 1) // 2, 2)
    return windows.amax((3, 5))
