"""What a training moves, and what it does not."""

from __future__ import annotations

import torch

from ekd.methods import Method
from ekd.models import CompNet, initialise
from ekd.testing.training import Training, changed, kept, starting, typical_training
from ekd.testing.trial import CLASSES, demand


def check_the_student_moves(method: Method) -> None:
    """Demand that each parameter and BatchNorm statistic of the student moves.

    So does the student of a run before the main one.
    """
    training = typical_training(method)
    still = training.unmoved("student.")
    demand(not still, method, f"no gradient reaches {_listed(still)}")
    frozen = [n for n, p in training.objective.student.named_parameters() if not p.requires_grad]
    demand(not frozen, method, f"its student is not trained: {_listed(frozen)}")
    still = _unmoved_statistics(training)
    told = f"its student is in eval mode, {_listed(still)} stays: leave it in train mode"
    demand(not still, method, told)
    run = training.run
    if run.start is not None:
        fresh = CompNet(run.student.arch, run.student.branches, CLASSES, width=run.student.width)
        initialise(fresh, run.recipe.init, run.seed)
        moved = changed(kept(fresh), kept(starting(run)[0]))
        demand(bool(moved), method, "the run before the main one leaves the student as it was")


def check_layers_of_its_own_move(method: Method) -> None:
    """Demand that what the method adds to the networks is trained, or does not require grad."""
    still = [
        name
        for name in typical_training(method).unmoved()
        if not name.startswith(("student.", "teachers."))
    ]
    demand(not still, method, f"its own layers get no gradient: {_listed(still)}")


def check_joint_teachers_move(method: Method) -> None:
    """Demand that copies of teachers that are trained do move, and that the method says so."""
    training = typical_training(method)
    still = training.unmoved("teachers.")
    told = f"teachers that are to be trained get no gradient: {_listed(still)}; or say frozen(net)"
    demand(not still, method, told)
    nets = [net for _, net in training.objective.nets()][1 : 1 + len(training.run.teachers)]
    trained = any(p.requires_grad for net in nets for p in net.parameters())
    told = f"it {'trains' if trained else 'does not train'} its teachers: trains_teachers() is"
    demand(method.trains_teachers() == trained, method, f"{told} {trained}")


def check_frozen_teachers_stay_bit_equal(method: Method) -> None:
    """Demand that teachers without trained parameters end as they began, BatchNorm included."""
    training = typical_training(method)
    for name, net in training.objective.nets():
        trained = name == "student" or any(p.requires_grad for p in net.parameters())
        if not trained:
            _, before = training.handed[int(name.removeprefix("teacher-")) - 1]
            moved = changed(before, kept(net))
            demand(not moved, method, f"its {name} is not trained, and yet {moved} moves: frozen()")


def check_stored_teachers_stay_as_they_are(method: Method) -> None:
    """Demand that the teachers that were handed over stay as they came from the store."""
    for number, (teacher, before) in enumerate(typical_training(method).handed, 1):
        moved = changed(before, kept(teacher))
        told = f"teacher {number} itself is changed ({moved}): take frozen(net) or copied(net)"
        demand(not moved, method, told)


def _unmoved_statistics(training: Training) -> list[str]:
    return [
        name
        for name, buffer in training.objective.named_buffers()
        if name.startswith("student.")
        and name.endswith("running_mean")
        and torch.equal(buffer, training.before[name])
    ]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else ""
