"""Objectives of tiny networks, and whether training moved them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ekd.methods import Batch, Method, Objective, discover
from ekd.models import CompNet, initialise
from ekd.spec import Data, Model, Parent, Recipe, Run
from ekd.streams import generator

BATCH, CLASSES, SIDE = 4, 5, 8
RECIPE = Recipe(
    epochs=5, batch_size=BATCH, optimizer="adam", lr=0.01, weight_decay=5e-4, init="kaiming"
)
METHODS = discover()


def a_batch(seed: int = 0) -> Batch:
    stream = generator(seed, "batch")
    x = torch.randn(BATCH, 3, SIDE, SIDE, generator=stream)
    y = torch.randint(CLASSES, (BATCH,), generator=stream)
    return Batch(x, y, torch.arange(BATCH), 0, generator(seed, "noise"))


def a_net(seed: int, branches: int = 1, arch: str = "resnet8") -> CompNet:
    net = CompNet(arch, branches, CLASSES)
    initialise(net, "kaiming", seed)
    return net


def a_run(method: Method, branches: int | None = None) -> Run:
    """Make a run with its teachers; without `branches` of two, or of one if two are refused."""
    if branches is None:
        run = a_run(method, 2)
        return run if method.refuses(run) is None else a_run(method, 1)
    data = Data(name="digits")
    student = Model(branches=branches)
    run = Run(student=student, data=data, method=method, recipe=RECIPE, seed=0)
    count = method.teacher_count(run)
    method_of_teacher, deeper = METHODS["plain"](), Model(arch="resnet14")
    plain = Run(student=deeper, data=data, method=method_of_teacher, recipe=RECIPE, seed=0)
    teachers = (Parent(run=plain),) * (2 if count is None else count)
    return method.chain(run.model_copy(update={"teachers": teachers}))


def an_objective(method: Method, branches: int | None = None) -> tuple[Objective, list[CompNet]]:
    run = a_run(method, branches)
    count = len(run.teachers) + len(cast(Method, run.method).peers(run))
    teachers = [a_net(10 + i) for i in range(count)]
    student = CompNet("resnet8", run.student.branches, CLASSES, run.student.combine)
    initialise(student, "kaiming", 0)
    return cast(Method, run.method).objective(student, teachers), teachers


def two_adam_steps(objective: Objective) -> None:
    parameters = [p for p in objective.parameters() if p.requires_grad]
    adam = torch.optim.Adam(parameters, lr=0.01, weight_decay=5e-4)
    objective.train()
    for step in range(2):
        adam.zero_grad()
        objective(a_batch(step), step / 2).loss.backward()
        adam.step()


def moved(before: Mapping[str, Tensor], after: nn.Module) -> bool:
    """Tell whether anything moved, BatchNorm buffers included."""
    state = after.state_dict()
    assert state.keys() == before.keys()
    return any(not torch.equal(state[name], value) for name, value in before.items())


def kept(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def ekd(**fields: Any) -> Method:
    """Make EKD with some fields."""
    return METHODS["ekd"].model_validate(fields)
