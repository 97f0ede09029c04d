"""The weights a network starts from."""

from __future__ import annotations

import math
import time
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from ekd.models import CompNet, ResNet, Scheme, initialise

NCHW = torch.contiguous_format
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


def weights(net: nn.Module, kind: type[nn.Conv2d] | type[nn.Linear]) -> list[Tensor]:
    return [m.weight.detach() for m in net.modules() if isinstance(m, kind)]


def test_the_papers_start_is_gaussian_with_deviation_a_hundredth() -> None:
    net = CompNet("resnet20", 1, 100)
    initialise(net, "gaussian", 0)
    for weight in [*weights(net, nn.Conv2d)[1:], *weights(net, nn.Linear)]:
        n = weight.numel()
        assert abs(weight.std().item() / 0.01 - 1) < 4 / math.sqrt(2 * n)
        assert abs(weight.mean().item()) < 4 * 0.01 / math.sqrt(n)


def test_the_kaiming_start_has_he_variance_and_torchs_linear_bound() -> None:
    net = CompNet("resnet20", 1, 100)
    initialise(net, "kaiming", 0)
    for weight in weights(net, nn.Conv2d)[1:]:
        deviation = math.sqrt(2 / (weight.shape[0] * weight.shape[2] * weight.shape[3]))
        assert abs(weight.std().item() / deviation - 1) < 4 / math.sqrt(2 * weight.numel())
    (linear,) = weights(net, nn.Linear)
    assert 0.99 / 8 < linear.abs().max().item() <= 1 / 8


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_start_covers_every_parameter_and_statistic(scheme: Scheme) -> None:
    nets = [CompNet("resnet8", 2, 10) for _ in range(2)]
    with torch.no_grad():
        for tensor in nets[0].state_dict().values():
            tensor.fill_(7)
    for net in nets:
        initialise(net, scheme, 3, "student")
    for name, tensor in nets[0].state_dict().items():
        assert torch.equal(tensor, nets[1].state_dict()[name]), name
    branch = nets[0].branches[0]
    assert isinstance(branch, ResNet)
    assert torch.equal(branch.bn.weight, torch.ones(16))
    assert not branch.bn.bias.any()
    assert not branch.linear.bias.any()
    assert not branch.bn.num_batches_tracked
    assert branch.bn.running_var is not None
    assert torch.equal(branch.bn.running_var, torch.ones(16))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_branch_starts_alike_however_many_there_are_and_unlike_its_sisters(
    scheme: Scheme,
) -> None:
    few, many = CompNet("resnet8", 2, 10), CompNet("resnet8", 4, 10)
    initialise(few, scheme, 5)
    initialise(many, scheme, 5)
    for mine, other in zip(few.branches, many.branches, strict=False):
        for got, expected in zip(mine.parameters(), other.parameters(), strict=True):
            assert torch.equal(got, expected)
    first = [weights(branch, nn.Conv2d)[0] for branch in many.branches]
    assert len({tuple(weight.flatten().tolist()) for weight in first}) == 4


def test_the_start_depends_on_seed_and_names_and_not_on_the_memory_layout() -> None:
    def start(seed: int, *names: str, layout: torch.memory_format = NCHW) -> Tensor:
        net = CompNet("resnet8", 1, 10)
        net.to(memory_format=layout)
        initialise(net, "gaussian", seed, *names)
        return weights(net, nn.Conv2d)[1]

    assert not torch.equal(start(0), start(1))
    assert not torch.equal(start(0), start(0, "teacher-1"))
    assert torch.equal(start(0), start(0, layout=torch.channels_last))


def test_making_and_starting_a_net_leaves_the_global_stream_alone_and_is_quick() -> None:
    before = torch.random.get_rng_state()
    start = time.perf_counter()
    for net in (CompNet("resnet8", 7, 10), CompNet("resnet110", 1, 10)):
        initialise(net, "gaussian", 0)
    assert time.perf_counter() - start < 5
    assert torch.equal(torch.random.get_rng_state(), before)
