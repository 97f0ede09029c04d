"""The weights a network starts from, drawn per branch from named streams."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from ekd.models.ensemble import CompNet
from ekd.streams import generator

Scheme = Literal["gaussian", "kaiming"]


def draw(layer: nn.Conv2d | nn.Linear, scheme: Scheme, stream: torch.Generator) -> Tensor:
    """Draw the weight of `layer` on the CPU, in its shape.

    "gaussian" is N(0, 0.01^2) (Sec. 4.2); "kaiming" is N(0, 2 / fan-out) for a convolution
    (arXiv 1502.01852) and torch's U(-1/sqrt(fan-in), 1/sqrt(fan-in)) for a linear layer.
    """
    weight = torch.empty(layer.weight.shape, device="cpu")
    if scheme == "gaussian":
        return weight.normal_(0, 0.01, generator=stream)
    if isinstance(layer, nn.Conv2d):
        fan_out = layer.out_channels * math.prod(layer.kernel_size)
        return weight.normal_(0, math.sqrt(2 / fan_out), generator=stream)
    bound = 1 / math.sqrt(layer.in_features)
    return weight.uniform_(-bound, bound, generator=stream)


@torch.no_grad()
def initialise(net: CompNet, scheme: Scheme, seed: int, *names: str | int) -> None:
    """Set every parameter and BatchNorm statistic of `net` to where a run with `seed` starts.

    Branch i draws from the stream (seed, "initialise", *names, arch, i), so its start does not
    depend on the number of branches. Biases are 0, BatchNorm weights 1, its statistics fresh.
    """
    for index, branch in enumerate(net.branches):
        stream = generator(seed, "initialise", *names, net.arch, index)
        for module in branch.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.copy_(draw(module, scheme, stream))
                if module.bias is not None:
                    module.bias.zero_()
