"""What a training starts from, and which networks it has."""

from __future__ import annotations

from ekd.methods import Method
from ekd.models import CompNet, initialise
from ekd.testing.training import changed, kept, ready, starting
from ekd.testing.trial import CLASSES, demand, typical_run


def check_the_student_starts_as_under_any_method(method: Method) -> None:
    """Demand that neither the method nor its own layers change the student's initialisation.

    A student that starts from another run has that run's weights, and that run started alike.
    """
    run = typical_run(method)
    if run.start is None:
        model = run.student
        fresh = CompNet(model.arch, model.branches, CLASSES, model.combine, width=model.width)
        initialise(fresh, run.recipe.init, run.seed)
    else:
        fresh, _ = starting(run)
    objective, _ = ready(run)
    moved = changed(kept(fresh), kept(objective.student))
    demand(not moved, method, f"its student does not start as under any method: {moved}")


def check_every_network_is_named(method: Method) -> None:
    """Demand that a finished run keeps the student and each teacher: `student`, `teacher-1`, ..."""
    objective, teachers = ready(typical_run(method))
    names = [name for name, _ in objective.nets()]
    expected = ["student", *(f"teacher-{number + 1}" for number in range(len(teachers)))]
    demand(names == expected, method, f"it names its networks {names}, not {expected}")
    for (name, net), teacher in zip(list(objective.nets())[1:], teachers, strict=True):
        same = net.state_dict().keys() == teacher.state_dict().keys()
        demand(same, method, f"{name} has other tensors than the teacher that was handed over")
