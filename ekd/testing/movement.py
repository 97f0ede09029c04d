"""What a training moves, and what it does not."""

from __future__ import annotations

from ekd.methods import Method
from ekd.models import CompNet, initialise
from ekd.testing.training import changed, kept, starting, typical_training
from ekd.testing.trial import CLASSES, demand


def check_the_student_moves(method: Method) -> None:
    """Demand that each parameter of the student is trained, and that a run before it trains too."""
    training = typical_training(method)
    still = training.unmoved("student.")
    demand(not still, method, f"no gradient reaches {_listed(still)}")
    frozen = [n for n, p in training.objective.student.named_parameters() if not p.requires_grad]
    demand(not frozen, method, f"its student is not trained: {_listed(frozen)}")
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
    """Demand that copies of teachers that are trained do move."""
    still = typical_training(method).unmoved("teachers.")
    told = f"teachers that are to be trained get no gradient: {_listed(still)}; or say frozen(net)"
    demand(not still, method, told)


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


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else ""
