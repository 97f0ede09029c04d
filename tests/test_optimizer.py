"""The learning rate's steps and the optimisers' steps, by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from ekd.spec.load import recipes
from ekd.store import Store
from ekd.trainer import Saver, begin, build, learning_rate, optimizer, train

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def paper_recipe() -> Any:
    return tiny.recipe(**{k: tuple(v) if k == "milestones" else v
                          for k, v in recipes()["paper"].items()})  # fmt: skip


def test_the_paper_divides_the_rate_by_ten_at_half_and_at_three_quarters() -> None:
    paper = paper_recipe()
    rates = [learning_rate(paper, epoch, paper.epochs) for epoch in range(500)]
    assert rates[:250] == pytest.approx([0.01] * 250)
    assert rates[250:375] == pytest.approx([0.001] * 125)
    assert rates[375:] == pytest.approx([0.0001] * 125)


def test_milestones_are_parts_of_the_epochs_that_are_trained() -> None:
    paper = paper_recipe()
    rates = [learning_rate(paper, epoch, 8) for epoch in range(8)]
    assert rates == pytest.approx([0.01] * 4 + [0.001] * 2 + [0.0001] * 2)


def test_the_rate_in_the_history_is_the_one_in_the_optimiser(
    tiny_npz: Path, tmp_path: Path
) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=4, milestones=(0.5, 0.75))
    task = tiny.task(run, Store(tmp_path))
    task.folder.write_spec(run.resolved())
    state, _ = begin(task, build(run, tiny.CLASSES, Store(tmp_path)))
    used: list[set[float]] = []
    step = state.optimizer.step

    def recorded() -> None:
        used.append({group["lr"] for group in state.optimizer.param_groups})
        step()

    state.optimizer.step = recorded  # type: ignore[assignment, method-assign]
    lines = list(train(task, state, Saver(task.folder)))
    per_step = [line["lr"] for line in lines for _ in range(task.steps)]
    assert used == [{rate} for rate in per_step]
    assert [line["lr"] for line in lines] == pytest.approx([0.01, 0.01, 0.001, 0.0001])


class Pair(nn.Module):
    """A matrix that decays and a vector that may be spared."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
        self.bias = nn.Parameter(torch.tensor([0.25, -4.0]))
        self.kept = nn.Parameter(torch.ones(2), requires_grad=False)


GRADIENTS = {"weight": torch.tensor([[0.3, 0.1], [-0.2, 2.0]]), "bias": torch.tensor([1.0, -0.5])}


def stepped(steps: int = 1, **fields: Any) -> dict[str, torch.Tensor]:
    net = Pair()
    chosen = optimizer.build(net, tiny.recipe(lr=0.1, weight_decay=0.2, **fields))
    for _ in range(steps):
        net.weight.grad, net.bias.grad = (GRADIENTS[n].clone() for n in ("weight", "bias"))
        chosen.step()
    return {name: value.detach() for name, value in net.named_parameters()}


def by_hand(step: Any, decay_bias: bool = True) -> dict[str, torch.Tensor]:
    start = {name: value.detach() for name, value in Pair().named_parameters()}
    decays = {"weight": 0.2, "bias": 0.2 if decay_bias else 0.0}
    return {n: step(start[n], GRADIENTS[n], decays[n]) for n in decays} | {"kept": start["kept"]}


def adam(weight: torch.Tensor, gradient: torch.Tensor, decay: float) -> torch.Tensor:
    coupled = gradient + decay * weight
    first = (1 - BETA_1) * coupled / (1 - BETA_1)
    second = (1 - BETA_2) * coupled**2 / (1 - BETA_2)
    return weight - 0.1 * first / (second.sqrt() + EPSILON)


def adamw(weight: torch.Tensor, gradient: torch.Tensor, decay: float) -> torch.Tensor:
    return weight * (1 - 0.1 * decay) - 0.1 * gradient / (gradient.abs() + EPSILON)


def nesterov(weight: torch.Tensor, gradient: torch.Tensor, decay: float) -> torch.Tensor:
    buffer = torch.zeros_like(weight)
    for _ in range(2):
        coupled = gradient + decay * weight
        buffer = 0.9 * buffer + coupled if buffer.any() else coupled
        weight = weight - 0.1 * (coupled + 0.9 * buffer)
    return weight


def two_adam_steps(weight: torch.Tensor, gradient: torch.Tensor, decay: float) -> torch.Tensor:
    first = second = torch.zeros_like(weight)
    for t in (1, 2):
        coupled = gradient + decay * weight
        first = BETA_1 * first + (1 - BETA_1) * coupled
        second = BETA_2 * second + (1 - BETA_2) * coupled**2
        root = (second / (1 - BETA_2**t)).sqrt()
        weight = weight - 0.1 * first / (1 - BETA_1**t) / (root + EPSILON)
    return weight


@pytest.mark.parametrize(
    ("fields", "steps", "formula"),
    [
        ({"optimizer": "adam"}, 1, adam),
        ({"optimizer": "adam"}, 2, two_adam_steps),
        ({"optimizer": "adamw"}, 1, adamw),
        ({"optimizer": "sgd", "nesterov": True}, 2, nesterov),
    ],
)
def test_a_step_is_the_one_of_the_formula(fields: Any, steps: int, formula: Any) -> None:
    torch.testing.assert_close(stepped(steps, **fields), by_hand(formula), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "formula"), [("adam", adam), ("adamw", adamw)])
def test_norm_and_bias_can_be_spared_the_decay(name: str, formula: Any) -> None:
    found = stepped(optimizer=name, decay_norm_and_bias=False)
    torch.testing.assert_close(found, by_hand(formula, decay_bias=False), rtol=1e-5, atol=1e-6)


def test_the_networks_norms_and_biases_are_in_the_spared_group(
    tiny_npz: Path, tmp_path: Path
) -> None:
    run = tiny.plain(tiny.data(tiny_npz))
    objective = build(run, tiny.CLASSES, Store(tmp_path))
    groups = optimizer.build(objective, tiny.recipe(decay_norm_and_bias=False)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.0005, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert all(p.ndim == 1 for p in groups[1]["params"])
    sizes = sum(p.numel() for group in groups for p in group["params"])
    assert sizes == sum(p.numel() for p in objective.parameters())
    assert math.isclose(groups[0]["lr"], 0.01)


def test_a_drop_at_half_of_an_odd_number_of_epochs_waits_for_the_half() -> None:
    halved = tiny.recipe(lr=1.0, milestones=(0.5,))
    assert [learning_rate(halved, epoch, 1) for epoch in range(1)] == [1.0]
    assert [learning_rate(halved, epoch, 5) for epoch in range(5)] == [1.0] * 3 + [0.1] * 2
