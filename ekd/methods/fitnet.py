"""FitNet: the student's middle layer imitates the teacher's, then its outputs do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self, cast, final

from pydantic import Field
from torch import Tensor, nn

from ekd.losses import annealed, cross_entropy, soft_cross_entropy
from ekd.methods import Batch, Objective, frozen
from ekd.methods._stages import TwoStage
from ekd.models import CompNet, ResNet
from ekd.models.resnet import WIDTH, widths

MIDDLE = 2
"""Among the features of `Output`: those after stage 2, the hint and the guided layer."""


@final
class FitNet(TwoStage):
    """FitNets: Hints for Thin Deep Nets.

    Romero, Ballas, Ebrahimi Kahou, Chassang, Gatta, Bengio, arXiv 1412.6550. A hint run on Eq. 3
    trains the student up to stage 2; the main run trains all of it on Eq. 2, whose weight falls.
    The channels of several branches, side by side, are one guided layer.
    """

    hint_lr: float = Field(0.05, ge=1e-5, le=10)
    """Learning rate of the hint run. None is published for a loss that is a mean over elements;
    with this one SGD and Adam both fit the hint."""
    temperature: float = Field(3.0, ge=0.1, le=100)
    """tau, which softens both outputs in the main run (published: 3)."""
    weight_at_start: float = Field(4.0, ge=0, le=100)
    """lambda of Eq. 2 when the main run starts (published: 4); it changes linearly."""
    weight_at_end: float = Field(1.0, ge=0, le=100)
    """lambda of Eq. 2 when the main run ends (the authors' code: 1)."""

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Couple the student with its frozen teacher, for the hint run or for the main run."""
        if self.stage == "hint":
            return HintObjective(student, teachers)
        return FitNetObjective(self, student, teachers)


class HintObjective(Objective):
    """Eq. 3 for the student up to stage 2 and for a regressor, which no later run needs."""

    def __init__(self, student: CompNet, teachers: Sequence[CompNet]) -> None:
        super().__init__(student, [frozen(teacher) for teacher in teachers])
        for untrained in self._untrained():
            untrained.requires_grad_(False)
        self.regressor = regressor(len(student.branches), student.width, teachers[0].width)

    def train(self, mode: bool = True) -> Self:
        """Keep what the hint does not reach in evaluation mode, or its statistics would move."""
        super().train(mode)
        for untrained in self._untrained():
            untrained.eval()
        return self

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the logits [B, K] of the untrained classifier, and the one term."""
        student, teacher = self.student(batch.x), self.teachers(batch.x)
        regressed = self.regressor(student.features[MIDDLE])  # [B, 32, H/2, W/2]
        return student.logits, {"hint": hint_loss(regressed, teacher.features[MIDDLE])}

    def _untrained(self) -> Iterator[nn.Module]:
        for branch in self.student.branches:
            net = cast(ResNet, branch)
            yield from (net.stages[MIDDLE:], net.linear)


class FitNetObjective(Objective):
    """Eq. 2: cross-entropy with the labels, and with the softened outputs of the teacher."""

    def __init__(self, fields: FitNet, student: CompNet, teachers: Sequence[CompNet]) -> None:
        super().__init__(student, [frozen(teacher) for teacher in teachers])
        self.fields = fields

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the student's logits [B, K] and the weighted terms."""
        fields = self.fields
        student, teacher = self.student(batch.x).logits, self.teachers(batch.x).logits  # [B, K]
        weight = annealed(fields.weight_at_start, fields.weight_at_end, progress)
        softened = soft_cross_entropy(student, teacher, fields.temperature)
        return student, {
            "ce_student": cross_entropy(student, batch.y),
            "ce_softened": weight * softened,
        }


def regressor(branches: int, width: int = WIDTH, hint_width: int = WIDTH) -> nn.Sequential:
    """Make r of Eq. 3: [B, branches * 32, h, w] to [B, 32, h, w], at the usual widths.

    A convolution with BatchNorm, and the non-linearity of the hint. The maps are of one size, so
    its kernel is 1x1.
    """
    inputs, channels = widths(width)[MIDDLE - 1], widths(hint_width)[MIDDLE - 1]
    convolution = nn.Conv2d(branches * inputs, channels, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


def hint_loss(regressed: Tensor, hint: Tensor) -> Tensor:
    """Give half the squared distance of features [B, C, H, W] (arXiv 1412.6550, Eq. 3).

    The mean over all elements: as the sum that Eq. 3 writes, it diverges at usual learning rates.
    """
    return (regressed - hint).square().mean() / 2
