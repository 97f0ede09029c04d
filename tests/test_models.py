"""The networks: names, features, combining and two-device BatchNorm."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ekd.models import (
    Combine,
    CompNet,
    ResNet,
    SplitBatchNorm2d,
    TeachNet,
    combined,
    initialise,
)
from ekd.spec import depth_of
from ekd.streams import generator

COMBINES: tuple[Combine, ...] = get_args(Combine)


def images(batch: int = 4, resolution: int = 16) -> Tensor:
    return torch.randn(batch, 3, resolution, resolution, generator=generator(1, "images"))


def student(branches: int = 1, combine: Combine = "sum", arch: str = "resnet8") -> CompNet:
    net = CompNet(arch, branches, 10, combine)
    initialise(net, "kaiming", 0)
    return net


@pytest.mark.parametrize(("arch", "depth"), [("resnet8", 8), ("resnet14", 14), ("resnet110", 110)])
def test_the_depth_is_in_the_name(arch: str, depth: int) -> None:
    assert depth_of(arch) == depth
    layers = [m for m in CompNet(arch, 1, 10).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth + 2  # and two shortcuts


@pytest.mark.parametrize(
    ("arch", "told"),
    [
        ("resnet18", "resnet14 and resnet20"),
        ("resnet2", "resnet8 and resnet14"),
        ("resnet7", "resnet8 and resnet14"),
        ("resnet111", "resnet110 and resnet116"),
        ("resnet8x4", "resnet8x4"),
        ("resnet08", "resnet08"),
        ("ResNet8", "6n[+]2"),
        ("vgg16", "6n[+]2"),
        ("resnet8\n", "6n[+]2"),
    ],
)
def test_another_name_is_refused_with_the_nearest(arch: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        depth_of(arch)


@pytest.mark.parametrize("resolution", [8, 16, 32, 64])
@pytest.mark.parametrize("branches", [1, 3])
def test_the_shapes_of_logits_and_features(branches: int, resolution: int) -> None:
    output = student(branches)(images(2, resolution))
    assert output.logits.shape == (2, 10)
    assert output.branches.shape == (branches, 2, 10)
    half, quarter = resolution // 2, resolution // 4
    assert [tuple(tap.shape) for tap in output.features] == [
        (2, 16 * branches, resolution, resolution),
        (2, 16 * branches, resolution, resolution),
        (2, 32 * branches, half, half),
        (2, 64 * branches, quarter, quarter),
        (2, 64 * branches),
    ]


def test_an_odd_resolution_is_rounded_up_at_each_downsampling() -> None:
    assert student()(images(2, 9)).features[3].shape == (2, 64, 3, 3)


def by_layers(net: ResNet, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Run ResNet8 with functional calls on its state, nothing in place, in training mode."""
    state = net.state_dict()

    def conv_bn(x: Tensor, conv: str, bn: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
        scale, shift = (state[f"{bn}.{part}"].view(1, -1, 1, 1) for part in ("weight", "bias"))
        normalised: Tensor = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
        return normalised

    taps = [conv_bn(x, "conv", "bn").relu()]
    for stage, stride in ((0, 1), (1, 2), (2, 2)):
        block = f"stages.{stage}.0"
        inner = conv_bn(taps[-1], f"{block}.conv1", f"{block}.bn1", stride).relu()
        inner = conv_bn(inner, f"{block}.conv2", f"{block}.bn2")
        skip = taps[-1]
        if stage:
            skip = conv_bn(skip, f"{block}.shortcut.0", f"{block}.shortcut.1", stride)
        taps.append((inner + skip).relu())
    taps.append(taps[-1].mean((2, 3)))
    return taps, taps[-1] @ state["linear.weight"].T + state["linear.bias"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_resnet8_is_its_definition_and_its_features_are_not_overwritten(
    layout: torch.memory_format,
) -> None:
    net = student().double()
    net.to(memory_format=layout)
    x = images().double().contiguous(memory_format=layout)
    output = net(x)
    branch = net.branches[0]
    assert isinstance(branch, ResNet)
    taps, logits = by_layers(branch, x)
    torch.testing.assert_close(output.logits, logits)
    for got, expected in zip(output.features, taps, strict=True):
        torch.testing.assert_close(got, expected)


def test_every_feature_and_parameter_receives_the_gradient_of_the_logits() -> None:
    net = student(2)
    output = net(images())
    taps = [tap for branch in output.branch_features for tap in branch]
    gradients = torch.autograd.grad(
        output.logits.square().sum(), [*taps, *net.parameters()], allow_unused=True
    )
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_the_features_stand_side_by_side_in_branch_order_and_are_joined_once() -> None:
    output = student(3)(images())
    for tap, joined in enumerate(output.features):
        for index, part in enumerate(joined.chunk(3, 1)):
            assert torch.equal(part, output.branch_features[index][tap])
    assert output.features is output.features
    single = student()(images())
    assert single.features[1] is single.branch_features[0][1]


def test_a_branch_reads_its_logits_off_its_own_pooled_features() -> None:
    net = student(2)
    output = net(images())
    for index, pooled in enumerate(output.features[-1].chunk(2, 1)):
        branch = net.branches[index]
        assert isinstance(branch, ResNet)
        torch.testing.assert_close(output.branches[index], branch.linear(pooled))


@pytest.mark.parametrize("combine", COMBINES)
def test_combining_is_its_formula(combine: Combine) -> None:
    branches = 3 * torch.randn(3, 4, 5, generator=generator(0, "b"), dtype=torch.float64)
    e = np.exp(branches.numpy())
    expected = {
        "sum": branches.numpy().sum(0),
        "mean": branches.numpy().sum(0) / 3,
        "probability": np.log((e / e.sum(-1, keepdims=True)).mean(0)),
    }[combine]
    np.testing.assert_allclose(combined(branches, combine).numpy(), expected, rtol=1e-10)


def test_mean_probabilities_by_hand_and_with_extreme_logits() -> None:
    branches = torch.tensor([[[math.log(3.0), 0.0]], [[0.0, 0.0]]])  # 3/4, 1/4 and 1/2, 1/2
    torch.testing.assert_close(
        combined(branches, "probability").exp(), torch.tensor([[0.625, 0.375]])
    )
    extreme = torch.tensor([[[0.0, 400.0]], [[0.0, 300.0]]])
    torch.testing.assert_close(
        combined(extreme, "probability"), torch.tensor([[math.log(0.5) - 300, math.log(1.0)]])
    )


@pytest.mark.parametrize("combine", COMBINES)
def test_a_net_and_a_teach_net_combine_alike(combine: Combine) -> None:
    net = student(2, combine).eval()
    output = net(images())
    torch.testing.assert_close(output.logits, combined(output.branches, combine))
    single = [CompNet("resnet8", 1, 10) for _ in range(2)]
    for index, teacher in enumerate(single):
        teacher.branches[0].load_state_dict(net.branches[index].state_dict())
    taught = TeachNet(single, combine).eval()(images())
    torch.testing.assert_close(taught.logits, output.logits)
    torch.testing.assert_close(taught.branches, output.branches)
    torch.testing.assert_close(taught.features, output.features)


def test_a_teach_net_keeps_the_order_of_its_nets_whatever_their_depth() -> None:
    nets = [student(arch="resnet8"), student(2, "mean"), student(arch="resnet14")]
    teachers = TeachNet(nets).eval()
    output = teachers(images())
    expected = torch.stack([net(images()).logits for net in nets])
    assert torch.equal(output.branches, expected)
    torch.testing.assert_close(output.logits, expected.sum(0))
    assert output.features[-1].shape == (4, 4 * 64)


def test_an_unknown_way_to_combine_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        combined(torch.zeros(1, 1, 2), "nonsense")  # type: ignore[arg-type]


def test_one_split_is_the_plain_layer() -> None:
    plain = [type(m) for m in CompNet("resnet8", 1, 10).modules()]
    assert nn.BatchNorm2d in plain
    assert SplitBatchNorm2d not in plain
    split = [type(m) for m in CompNet("resnet8", 1, 10, batchnorm_splits=2).modules()]
    assert split.count(SplitBatchNorm2d) == plain.count(nn.BatchNorm2d)
    assert nn.BatchNorm2d not in split


@pytest.mark.parametrize("batch", [8, 7])
def test_split_batch_norm_is_one_layer_per_device(batch: int) -> None:
    x = torch.randn(batch, 3, 5, 5, generator=generator(0, "x")) * 2 + 1
    split, devices = SplitBatchNorm2d(3, 2), [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    with torch.no_grad():
        for layer in (split, *devices):
            layer.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
            layer.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    expected = [device(part) for device, part in zip(devices, x.chunk(2), strict=True)]
    torch.testing.assert_close(split(x), torch.cat(expected))
    torch.testing.assert_close(split.running_mean, devices[0].running_mean)
    torch.testing.assert_close(split.running_var, devices[0].running_var)
    assert split.num_batches_tracked == 1
    assert not torch.allclose(nn.BatchNorm2d(3)(x), SplitBatchNorm2d(3, 2)(x), atol=1e-3)
    torch.testing.assert_close(split.eval()(x), devices[0].eval()(x))


def test_a_split_net_trains_each_half_as_if_it_were_alone_and_keeps_channels_last() -> None:
    split, plain = CompNet("resnet8", 1, 10, batchnorm_splits=2), CompNet("resnet8", 1, 10)
    for net in (split, plain):
        initialise(net, "kaiming", 0)
    x = images(8).contiguous(memory_format=torch.channels_last)
    output = split(x)
    halves = torch.cat([plain(half).logits for half in x.chunk(2)])
    torch.testing.assert_close(output.logits, halves, rtol=1e-4, atol=1e-5)
    assert output.features[2].is_contiguous(memory_format=torch.channels_last)


def test_features_keep_channels_last_through_the_whole_net() -> None:
    net = student()
    net.to(memory_format=torch.channels_last)
    output = net(images().contiguous(memory_format=torch.channels_last))
    for tap in output.features[:-1]:
        assert tap.is_contiguous(memory_format=torch.channels_last)


def test_pooled_is_the_last_of_the_features() -> None:
    net = CompNet("resnet8", 3, 5)
    output = net(torch.randn(2, 3, 8, 8, generator=generator(0, "x")))
    assert output.pooled.shape == (2, 3 * 64)
    assert torch.equal(output.pooled, output.features[-1])
