"""What a network costs: parameters, operations per image and measured latency.

The "paper" convention reproduces the columns of Tables 1 and 2 (arXiv 1909.08097) to the printed
digits, for 3x32x32 images, students with 10 classes and teachers with 200.
"""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn

from ekd.models import CompNet
from ekd.models.resnet import WIDTH
from ekd.streams import generator

Convention = Literal["paper", "macs", "torch"]


@dataclass(frozen=True)
class Cost:
    """What one network costs per image."""

    parameters: int
    flops_paper: int
    """Operations as the paper's FLOPs column counts them."""
    macs: int
    """Multiply-accumulates of convolutions and linear layers."""


@dataclass(frozen=True)
class Latency:
    """The wall time of one forward pass on the machine that measured it."""

    median_ms: float
    iqr_ms: float
    """The third quartile minus the first, in milliseconds."""
    threads: int


def parameters(net: nn.Module) -> int:
    """Count the elements of all parameters."""
    return sum(parameter.numel() for parameter in net.parameters())


def layer_operations(layer: nn.Module, inputs: Tensor, output: Tensor) -> tuple[int, int]:
    """Count one layer's MACs, and what the paper adds to them for BatchNorm, ReLU and pooling.

    Raises:
        TypeError: the layer holds parameters and is of no type that is known here.
    """
    match layer:
        case nn.Conv2d():
            return output.numel() * layer.weight[0].numel(), 0
        case nn.Linear():
            return output.numel() * layer.in_features, 0
        case nn.BatchNorm2d():
            return 0, 2 * output.numel()
        case nn.ReLU():
            return 0, output.numel()
        case nn.AdaptiveAvgPool2d():
            return 0, inputs.numel()
    if next(layer.parameters(recurse=False), None) is not None:
        raise TypeError(
            f"cannot count the operations of {type(layer).__name__}: add it to ekd.cost"
        )
    return 0, 0


def counted(net: nn.Module, resolution: int) -> tuple[int, int]:
    """Run `net` once without computing; give its MACs and the paper's further operations."""
    shadow = copy.deepcopy(net).to("meta").eval()
    counts: list[tuple[int, int]] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts.append(layer_operations(layer, inputs[0], output))

    for layer in shadow.modules():
        layer.register_forward_hook(count)
    with torch.no_grad():
        shadow(torch.empty(1, 3, resolution, resolution, device="meta"))
    return sum(macs for macs, _ in counts), sum(further for _, further in counts)


def operations(net: nn.Module, resolution: int, convention: Convention) -> int:
    """Count the operations of `net` for one image, 3 x resolution x resolution.

    "macs" are the multiply-accumulates of convolutions and linear layers, without biases; "torch"
    is twice that, as torch's FlopCounterMode counts; "paper" is the MACs plus 2 per BatchNorm
    output, 1 per ReLU output and 1 per pooled input.

    Raises:
        TypeError: a layer that ran holds parameters and is of no type that is known here.
    """
    macs, further = counted(net, resolution)
    match convention:
        case "paper":
            return macs + further
        case "macs":
            return macs
        case "torch":
            return 2 * macs
    raise ValueError(f"unknown convention {convention!r}: write paper, macs or torch")


@cache
def network_cost(
    arch: str, branches: int, classes: int, resolution: int, width: int = WIDTH
) -> Cost:
    """Give the cost of a CompNet without allocating it.

    Raises:
        ValueError: `arch` is not "resnet<6n+2>".
    """
    if branches > 1:  # branches are alike, and counting layers takes its time
        one = network_cost(arch, 1, classes, resolution, width)
        return Cost(branches * one.parameters, branches * one.flops_paper, branches * one.macs)
    with torch.device("meta"):
        net = CompNet(arch, 1, classes, width=width)
    macs, further = counted(net, resolution)
    return Cost(parameters(net), macs + further, macs)


def latency(net: nn.Module, resolution: int, batch_size: int = 1, repeats: int = 30) -> Latency:
    """Measure the forward pass of `net` in eval mode, where it lies; its mode is kept.

    Args:
        net: The network.
        resolution: Height and width of the random images.
        batch_size: Images per pass.
        repeats: Timed passes, at least 2, after a tenth as many and 3 more to warm up.
    """
    device = next(net.parameters()).device
    images = torch.randn(batch_size, 3, resolution, resolution, generator=generator(0, "latency"))
    images = images.to(device)
    modes = {module: module.training for module in net.modules()}
    net.eval()
    with torch.inference_mode():
        milliseconds = [timed(net, images) for _ in range(repeats // 10 + 3 + repeats)][-repeats:]
    for module, training in modes.items():
        module.training = training
    first, median, third = statistics.quantiles(milliseconds, n=4, method="inclusive")
    return Latency(median, third - first, torch.get_num_threads())


def timed(net: nn.Module, images: Tensor) -> float:
    """Give the milliseconds of one pass, all work on the images' device done."""
    start = time.perf_counter()
    net(images)
    if images.device.type != "cpu":
        torch.accelerator.synchronize(images.device)
    return 1000 * (time.perf_counter() - start)
