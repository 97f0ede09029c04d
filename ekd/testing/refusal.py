"""What a method cannot take it refuses, with the reason, before anything trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ekd.methods import Method
from ekd.spec import Run, SpecError
from ekd.spec.resolve import FieldError
from ekd.testing.training import ready
from ekd.testing.trial import TEACHERS, a_batch, asked_run, demand, typical_run, working

SMALLEST_BATCH = 2


def check_what_cannot_be_trained_is_refused(method: Method) -> None:
    """Demand that what specs may ask for either works or is refused, in one sentence.

    Asked for are 1 to 3 branches with 0 to 3 teachers, averaged probabilities, and a single epoch;
    what is not refused must give a finite loss, for the smallest batch too.
    """
    typical_run(method)
    for branches, archs, changes in _questions():
        asked = f"student.branches = {branches}, teachers = {', '.join(archs) or 'none'}"
        asked += "".join(f", {field} = {value!r}" for field, value in changes.items())
        run = _accepted(method, asked, branches, archs, changes)
        if run is None:
            continue
        with working(method, f"it takes {asked}, but then"):
            objective, _ = ready(run)
            objective.train()
            loss = objective(a_batch(SMALLEST_BATCH), 0.0).loss
        finite = bool(loss.isfinite())
        demand(finite, method, f"it takes {asked}, but its loss is {loss.item()}")


def _questions() -> Iterator[tuple[int, tuple[str, ...], dict[str, Any]]]:
    yield from ((branches, archs, {}) for branches in (1, 2, 3) for archs in TEACHERS)
    for changes in ({"combine": "probability"}, {"epochs": 1}):
        yield from ((2, archs, changes) for archs in TEACHERS)


def _accepted(
    method: Method, asked: str, branches: int, archs: tuple[str, ...], changes: dict[str, Any]
) -> Run | None:
    """Give the run, or None where it is refused with a sentence."""
    try:
        return asked_run(method, branches, archs, **changes)
    except FieldError as refused:
        one = bool(refused.text.strip()) and "\n" not in refused.text
        demand(one, method, f"it refuses {asked} without one sentence that says why")
    except SpecError as error:
        raise AssertionError(f"{method.name()}: asked for {asked}: {error}") from error
    return None
