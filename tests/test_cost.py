"""Parameters and operations against the columns of Tables 1 and 2 of the paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ekd.cost import Cost, latency, network_cost, operations, parameters
from ekd.models import CompNet, TeachNet

# arch, branches, classes, parameters, paper's count, MACs; 3x32x32 images
EXACT = [
    ("resnet8", 1, 10, 78_042, 12_751_488, 12_501_632),
    ("resnet8", 4, 10, 312_168, 51_005_952, 4 * 12_501_632),
    ("resnet8", 5, 10, 390_210, 63_757_440, 5 * 12_501_632),
    ("resnet8", 7, 10, 546_294, 89_260_416, 7 * 12_501_632),
    ("resnet14", 1, 200, 187_608, 27_091_456, 26_669_568),
    ("resnet20", 1, 200, 284_824, 41_419_264, 40_825_344),
    ("resnet26", 1, 200, 382_040, 55_747_072, 54_981_120),
    ("resnet32", 1, 200, 479_256, 70_074_880, 69_136_896),
    ("resnet44", 1, 200, 673_688, 98_730_496, 97_448_448),
    ("resnet56", 1, 200, 868_120, 127_386_112, 125_760_000),
    ("resnet110", 1, 200, 1_743_064, 256_336_384, 253_161_984),
]
# Tables 1 and 2: millions of parameters, MFLOPs
STUDENTS = {
    1: ("0.08", "12.75"),
    2: ("0.16", "25.50"),
    3: ("0.23", "38.25"),
    4: ("0.31", "51.01"),
    5: ("0.39", "63.76"),
    6: ("0.47", "76.51"),
    7: ("0.55", "89.26"),
}
TEACHERS = {
    "resnet14": ("0.19", "27.09"),
    "resnet20": ("0.28", "41.42"),
    "resnet26": ("0.38", "55.75"),
    "resnet32": ("0.48", "70.07"),
    "resnet44": ("0.67", "98.73"),
    "resnet56": ("0.87", "127.39"),
    "resnet110": ("1.74", "256.34"),
}


def printed(cost: Cost) -> tuple[str, str]:
    return f"{cost.parameters / 1e6:.2f}", f"{cost.flops_paper / 1e6:.2f}"


def by_formula(arch: str, classes: int) -> int:
    """Count a ResNet's parameters from its widths."""
    blocks = (int(arch.removeprefix("resnet")) - 2) // 6
    total, inputs = 3 * 16 * 9 + 2 * 16, 16
    for width in (16, 32, 64):
        for _ in range(blocks):
            total += 9 * width * (inputs + width) + 4 * width
            total += width * inputs + 2 * width if width != inputs else 0
            inputs = width
    return total + 64 * classes + classes


@pytest.mark.parametrize(("arch", "branches", "classes", "size", "count", "macs"), EXACT)
def test_parameters_and_operations_are_exact(
    arch: str, branches: int, classes: int, size: int, count: int, macs: int
) -> None:
    assert network_cost(arch, branches, classes, 32) == Cost(size, count, macs)
    assert size == branches * by_formula(arch, classes)


@pytest.mark.parametrize("branches", STUDENTS)
def test_students_with_10_classes_have_the_printed_numbers(branches: int) -> None:
    assert printed(network_cost("resnet8", branches, 10, 32)) == STUDENTS[branches]


@pytest.mark.parametrize("arch", TEACHERS)
def test_teachers_with_200_classes_have_the_printed_numbers(arch: str) -> None:
    assert printed(network_cost(arch, 1, 200, 32)) == TEACHERS[arch]


def test_teachers_with_10_or_100_classes_do_not_have_the_printed_numbers() -> None:
    ten = [printed(network_cost(arch, 1, 10, 32)) for arch in list(TEACHERS)[:3]]
    assert ten == [("0.18", "27.08"), ("0.27", "41.41"), ("0.37", "55.73")]
    hundred = [printed(network_cost(arch, 1, 100, 32))[1] for arch in list(TEACHERS)[:3]]
    assert hundred == ["27.09", "41.41", "55.74"]


def test_images_of_64_pixels_would_cost_four_times_the_printed_number() -> None:
    ratio = network_cost("resnet8", 1, 10, 64).flops_paper / 12_751_488
    assert ratio == pytest.approx(4, rel=1e-3)


def test_a_network_counts_like_its_name_and_torch_counts_twice_its_macs() -> None:
    net = CompNet("resnet14", 2, 5)
    cost = network_cost("resnet14", 2, 5, 16)
    assert parameters(net) == cost.parameters
    assert operations(net, 16, "paper") == cost.flops_paper
    assert operations(net, 16, "macs") == cost.macs
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, 3, 16, 16))
    assert operations(net, 16, "torch") == counter.get_total_flops() == 2 * cost.macs


def test_counting_leaves_the_network_as_it_was() -> None:
    net = CompNet("resnet8", 1, 10).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    operations(net, 32, "paper")
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_teach_net_costs_what_its_teachers_cost_together() -> None:
    nets = [CompNet("resnet8", 1, 10), CompNet("resnet14", 1, 10)]
    teachers = TeachNet(nets)
    assert parameters(teachers) == sum(parameters(net) for net in nets)
    assert operations(teachers, 32, "paper") == sum(operations(net, 32, "paper") for net in nets)


def test_two_device_batch_norm_costs_the_same() -> None:
    assert operations(CompNet("resnet8", 1, 10, batchnorm_splits=2), 32, "paper") == 12_751_488


def test_a_layer_that_cannot_be_counted_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))
    with pytest.raises(TypeError, match="GroupNorm"):
        operations(net, 8, "macs")


def test_a_grouped_convolution_with_stride_counts_its_own_inputs_only() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3))
    assert operations(net, 8, "macs") == 6 * 4 * 4 * 1 * 9


def test_an_unknown_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        operations(nn.Sequential(nn.ReLU()), 8, "nonsense")  # type: ignore[arg-type]


def test_latency_is_positive_and_keeps_each_modules_mode() -> None:
    net = CompNet("resnet8", 1, 10).train()
    net.branches[0].get_submodule("bn").eval()
    before = [module.training for module in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    measured = latency(net, 8, batch_size=2, repeats=5)
    assert 0 < measured.median_ms < 10_000
    assert measured.iqr_ms >= 0
    assert measured.threads == torch.get_num_threads()
    assert [module.training for module in net.modules()] == before
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
