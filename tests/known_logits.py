"""Networks whose logits are known beforehand, and formulas in NumPy for what they should cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ekd.methods import Batch
from ekd.models import CompNet, initialise
from ekd.streams import generator

Array = NDArray[np.float64]
IMAGES, SIDE = 4, 8


def known(logits: Sequence[float], arch: str = "resnet8") -> CompNet:
    """Make a network that gives these logits for every image: its linear layer is its bias."""
    net = CompNet(arch, 1, len(logits))
    initialise(net, "kaiming", 3)
    with torch.no_grad():
        for branch in net.branches:
            branch.linear.weight.zero_()  # type: ignore[union-attr, operator]
            branch.linear.bias.copy_(torch.tensor(logits))  # type: ignore[union-attr, operator]
    return net


def labelled(label: int, seed: int = 0) -> Batch:
    """Give a batch of noise in which every image has the same label."""
    x = torch.randn(IMAGES, 3, SIDE, SIDE, generator=generator(seed, "labelled"))
    y = torch.full((IMAGES,), label)
    return Batch(x, y, torch.arange(IMAGES), 0, generator(seed, "noise"))


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def ce(z: Array, label: int) -> float:
    return float(-np.log(softmax(z)[..., label]).mean())


def kl(target: Array, z: Array, temperature: float) -> float:
    """KL of the softened target's distribution from the softened z's, logits [K]."""
    q, p = softmax(target / temperature), softmax(z / temperature)
    return float((q * np.log(q / p)).sum())


def entropy(z: Array, temperature: float) -> float:
    q = softmax(z / temperature)
    return float(-(q * np.log(q)).sum())
