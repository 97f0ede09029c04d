"""From a run to the objective that is trained: fresh student, stored teachers."""

from __future__ import annotations

from typing import cast

import safetensors.torch
import torch

from ekd.methods import Method, Objective, architecture
from ekd.models import CompNet, initialise
from ekd.spec import Model, Parent, Run
from ekd.store import Store
from ekd.streams import stream_seed


def build(run: Run, classes: int, store: Store) -> Objective:
    """Make the objective of a run at its start, on the CPU in channels_last.

    Raises EnvironmentProblem where a teacher's weights are missing or damaged, TypeError where
    the method would train a teacher itself instead of a copy.
    """
    return coupled(run, *starting_nets(run, classes, store))


def starting_nets(run: Run, classes: int, store: Store) -> tuple[CompNet, list[CompNet]]:
    """Make the student as it starts, its teachers as their runs left them, and fresh peers.

    The student's initialisation is a stream of its own, so it is the same under every method.
    Raises EnvironmentProblem where a network's weights are missing or damaged.
    """
    student = _net(run.student, classes, run)
    initialise(student, run.recipe.init, run.seed)
    if run.start:
        load_net(student, run.start, store)
    teachers = []
    for parent in run.teachers:
        teacher = _net(architecture(parent), classes, run)
        load_net(teacher, parent, store)
        teachers.append(teacher)
    for number, model in enumerate(cast(Method, run.method).peers(run), 1):
        teachers.append(_net(model, classes, run))
        initialise(teachers[-1], run.recipe.init, run.seed, "peer", number)
    return student, teachers


def coupled(run: Run, student: CompNet, teachers: list[CompNet]) -> Objective:
    """Let the method couple the networks; TypeError where it keeps a teacher that is no copy."""
    with torch.random.fork_rng(devices=[]):  # layers of a method's own start from its own stream
        torch.manual_seed(stream_seed(run.seed, "method"))
        objective = cast(Method, run.method).objective(student, teachers)
    kept = set(objective.modules())
    if any(teacher in kept for teacher in teachers):
        raise TypeError(
            f"the objective of {run.method.name()} holds a teacher as it came from the store: hand "
            "it over as frozen(teacher) or copied(teacher), or it trains unnoticed"
        )
    return objective.to(memory_format=torch.channels_last)


def load_net(net: CompNet, parent: Parent, store: Store) -> None:
    """Load the weights that a finished run kept; EnvironmentProblem where they are damaged."""
    content = store.folder(parent.run).read_output("weights.safetensors")
    prefix = f"{parent.net}."
    weights = safetensors.torch.load(content)
    net.load_state_dict(
        {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
    )


def _net(model: Model, classes: int, run: Run) -> CompNet:
    splits = run.recipe.batchnorm_splits
    return CompNet(model.arch, model.branches, classes, model.combine, splits, model.width)
