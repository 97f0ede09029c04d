"""What a network gives on a split, and how good that is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ekd.data import Split, normalise
from ekd.trainer.state import Diverged

CALIBRATION_BINS = 15
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Predictions:
    """Outputs of a network on a whole split of n images."""

    logits: Tensor  # [n, K]
    branches: Tensor  # [N, n, K]
    features: Tensor  # [n, N*64], pooled


@dataclass(frozen=True)
class Scores:
    """How good predictions are; fractions in [0, 1], nll in nats."""

    accuracy: float
    nll: float
    ece: float
    branch_accuracy: list[float]


@torch.inference_mode()
def infer(net: nn.Module, split: Split, mean: Tensor, std: Tensor) -> Predictions:
    """Run `net` in evaluation mode on a split, and leave it in the mode that it had."""
    training = net.training
    net.eval()
    parts = []
    for images in torch.split(split.images, EVALUATION_BATCH):
        output = net(normalise(images, mean, std))
        parts.append((output.logits, output.branches, output.pooled))
    net.train(training)
    logits, branches, features = zip(*parts, strict=True)
    return Predictions(torch.cat(logits), torch.cat(branches, dim=1), torch.cat(features))


def score(logits: Tensor, branches: Tensor, labels: Tensor) -> Scores:
    """Score logits [n, K] and branch logits [N, n, K] against labels [n].

    Raises Diverged where the logits are not finite: they have no likelihood.
    """
    if not logits.isfinite().all():
        raise Diverged("the outputs on images that are evaluated are not finite")
    return Scores(
        accuracy=accuracy(logits, labels),
        nll=F.cross_entropy(logits.double(), labels).item(),
        ece=expected_calibration_error(logits, labels),
        branch_accuracy=[accuracy(branch, labels) for branch in branches],
    )


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Part of the rows of logits [n, K] whose largest entry is the label's."""
    return (logits.argmax(1) == labels).double().mean().item()


def expected_calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins (Guo et al. 2017, Eq. 5)."""
    confidence, predicted = logits.double().softmax(1).max(1)
    bins = (confidence * CALIBRATION_BINS).ceil().clamp(1, CALIBRATION_BINS).long() - 1
    gaps = confidence - (predicted == labels).double()
    sums = torch.zeros(CALIBRATION_BINS, dtype=torch.float64, device=logits.device)
    return sums.index_add(0, bins, gaps).abs().sum().item() / len(labels)


def evaluate(net: nn.Module, split: Split, mean: Tensor, std: Tensor) -> Scores:
    """Score a network on a split."""
    found = infer(net, split, mean, std)
    return score(found.logits, found.branches, split.labels)
