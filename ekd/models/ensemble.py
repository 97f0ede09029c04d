"""Networks in parallel: the student CompNet (Eq. 2) and the teachers' TeachNet (Eq. 3).

Paper: Ensemble Knowledge Distillation, arXiv 1909.08097, Sec. 3.1 and 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from ekd.models.resnet import WIDTH, ResNet

Combine = Literal["sum", "mean", "probability"]


@dataclass(frozen=True, eq=False)
class Output:
    """What a network gives for a batch of B images: N branches, K classes."""

    logits: Tensor
    """P, the combined logits, [B, K]."""
    branches: Tensor
    """Q, each branch's own logits, [N, B, K]."""
    branch_features: tuple[tuple[Tensor, ...], ...]
    """Per branch, its features from shallow to deep; the last is the pooled vector [B, 4C]."""

    @cached_property
    def features(self) -> tuple[Tensor, ...]:
        """The features from shallow to deep, the branches' channels side by side in branch order.

        Stem and stages are [B, N*C, H, W], the last is the pooled vector [B, N*4C]. Joined when
        first read, as copying feature maps that nobody reads would slow each training step.
        """
        if len(self.branch_features) == 1:
            return self.branch_features[0]
        return tuple(torch.cat(taps, 1) for taps in zip(*self.branch_features, strict=True))

    @property
    def pooled(self) -> Tensor:
        """The last features alone, `[B, N*4C]`, without joining the maps before them."""
        return torch.cat([taps[-1] for taps in self.branch_features], 1)


def combined(branches: Tensor, combine: Combine) -> Tensor:
    """Combine the logits of N networks, [N, B, K], into one, [B, K].

    "sum" is Eqs. 2 and 3; "mean" is their mean; "probability" gives the log of the mean of the
    networks' softmaxes, the deep ensemble of arXiv 1612.01474.
    """
    match combine:
        case "sum":
            return branches.sum(0)
        case "mean":
            return branches.mean(0)
        case "probability":
            return branches.log_softmax(-1).logsumexp(0) - math.log(len(branches))
    raise ValueError(f"unknown way to combine {combine!r}: write sum, mean or probability")


class CompNet(nn.Module):
    """N branches of one architecture in parallel (Sec. 3.1); a single teacher is one branch."""

    def __init__(
        self,
        arch: str,
        branches: int,
        classes: int,
        combine: Combine = "sum",
        batchnorm_splits: int = 1,
        width: int = WIDTH,
    ) -> None:
        """Make the branches; `initialise` then gives them the weights that a run starts from.

        `batchnorm_splits` above 1 computes BatchNorm statistics per chunk of the batch, as
        training on so many devices with DataParallel does.

        Raises:
            ValueError: `arch` is not "resnet<6n+2>".
        """
        super().__init__()
        self.arch = arch
        self.width = width
        self.combine: Combine = combine
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global stream
            self.branches = nn.ModuleList(
                ResNet(arch, classes, batchnorm_splits, width) for _ in range(branches)
            )

    def forward(self, x: Tensor) -> Output:
        """Run every branch on the images `x`, [B, 3, H, W]."""
        logits, features = zip(*(branch(x) for branch in self.branches), strict=True)
        branches = torch.stack(logits)  # [N, B, K]
        return Output(combined(branches, self.combine), branches, features)


class TeachNet(nn.Module):
    """N trained or training networks as one teacher (Sec. 3.2)."""

    def __init__(self, nets: Sequence[nn.Module], combine: Combine = "sum") -> None:
        """Hold `nets` in the order in which they pair with the student's branches."""
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.combine: Combine = combine

    def forward(self, x: Tensor) -> Output:
        """Run every network on the images `x`, [B, 3, H, W]; its logits are one branch."""
        outputs: list[Output] = [net(x) for net in self.nets]
        branches = torch.stack([output.logits for output in outputs])  # [N, B, K]
        features = tuple(taps for output in outputs for taps in output.branch_features)
        return Output(combined(branches, self.combine), branches, features)
