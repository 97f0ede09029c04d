"""`ekd-run --why RUN`: why a run is in the store, or has to be trained."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import click

from ekd.cli.explain_text import why_text
from ekd.cli.train import Options
from ekd.plan import Planned, Resolved, flatten, nearest_run, progress, sheets, stored_runs
from ekd.spec import EkdError, EnvironmentProblem, SpecError
from ekd.store import Request, Store

LEAST_DIGITS = 4


def show_why(digits: str, request: Request, options: Options) -> None:
    """Print why the run whose key starts with `digits` is stored or not.

    It is looked for among the runs that the request plans; where it names no exhibit, among all
    that the store was asked for or holds. Raises SpecError where it is none of them, or several.
    """
    store = Store(options.root)
    known = Known(store, _plan(request, options, store), stored_runs(store), request.exhibits)
    told = explanation(known, known.find(digits))
    click.echo(json.dumps(told, indent=1) if options.json_ else why_text(told))


def _plan(request: Request, options: Options, store: Store) -> list[Planned]:
    if request.exhibits:
        return flatten(sheets(request, options.data_root), options.only == "teachers")
    laid_out = []
    for stored in store.requests():
        try:
            laid_out += sheets(stored, options.data_root)
        except EkdError:  # its spec or its data are gone; its runs are found by their folders
            continue
    return flatten(laid_out)


@dataclass(frozen=True)
class Known:
    """The runs among which one is looked for, and with which it is compared."""

    store: Store
    plan: list[Planned]
    stored: Mapping[str, Resolved]
    """Every run that the store has a folder of, by key."""
    exhibits: tuple[str, ...]
    """What the plan is of; where it is empty, a stored run may be meant that nothing plans."""

    @cached_property
    def runs(self) -> dict[str, Resolved]:
        """Stored and planned runs by key."""
        return {**self.stored, **{e.run.key: Resolved.of(e.run) for e in self.plan}}

    @cached_property
    def states(self) -> dict[str, str]:
        """How far each of them is."""
        planned = progress(self.plan, self.store)
        rest = {key: _state(self.store, key) for key in self.stored if key not in planned}
        return {**rest, **planned}

    def find(self, digits: str) -> str:
        """Give the one key that starts with these digits; SpecError where there is none."""
        digits = digits.lower()
        keys = [entry.run.key for entry in self.plan] if self.exhibits else list(self.runs)
        found = [key for key in keys if key.startswith(digits)]
        if len(digits) < LEAST_DIGITS:
            raise SpecError(f"--why {digits!r}: give {LEAST_DIGITS} digits of a run's key, or more")
        if len(found) > 1:
            names = ", ".join(f"{key} ({self.runs[key].describe()})" for key in found)
            raise SpecError(f"--why {digits} may be {names}: give more digits")
        if not found:
            raise SpecError(self._not_found(digits, keys))
        return found[0]

    def _not_found(self, digits: str, keys: list[str]) -> str:
        starts = {key[: len(digits)]: key for key in keys}
        close = [starts[start] for start in difflib.get_close_matches(digits, starts, 1, 0.0)]
        hint = "".join(f"; the nearest is {key} ({self.runs[key].describe()})" for key in close)
        if not self.exhibits:
            return (
                f"--why {digits}: {self.store.root} neither holds such a run nor was asked for "
                f"one{hint}: name exhibits, with the options of the --plan that showed it"
            )
        remedy = "give the same options as to --plan, which shows the keys"
        if any(key.startswith(digits) for key in self.stored):
            remedy = "the store holds it, though: leave the exhibits and their options out"
        names = ", ".join(self.exhibits)
        return f"--why {digits}: {names} needs no such run with these options{hint}: {remedy}"


def _state(store: Store, key: str) -> str:
    try:
        return store.folder(key).status()
    except EnvironmentProblem:  # of a run that nobody asks about
        return "damaged"


def explanation(known: Known, key: str) -> dict[str, Any]:
    """Say all about the run `key` as plain JSON values.

    `reason` is one sentence; `nearest` is there where the run is missing though others are stored.

    Raises EnvironmentProblem where the run's own files are damaged.
    """
    state, folder, run = known.states[key], known.store.folder(key), known.runs[key]
    failed = folder.status() in ("failed", "diverged")
    return {
        "key": key,
        "name": run.describe(),
        "state": state,
        "hit": state == "done",
        "reason": _reason(known, key),
        "nearest": _nearest(known, key) if state == "missing" else None,
        "failure": folder.failure() | {"file": str(folder.path / "failure.json")}
        if failed
        else None,
        "asked_by": [name for e in known.plan if e.run.key == key for name in e.asked_by],
        "accuracy": folder.result()["accuracy"] if state == "done" else None,
        "epochs": len(folder.history()),
        "sessions": folder.provenance(),
        **run.model_dump(mode="json"),
    }


REASONS = {
    "done": "a hit: the store holds it",
    "running": "a process trains it now",
    "partial": "it was begun: the same command goes on from its last checkpoint",
    "missing": "a miss: the store holds no such run",
}


def _reason(known: Known, key: str) -> str:
    state, folder = known.states[key], known.store.folder(key)
    if state == "blocked":
        return f"blocked: {_blocking(known, key)}"
    if state in ("failed", "diverged"):
        return f"it {state}: {folder.failure()['message']}; --retry trains it again"
    if state == "missing" and folder.provenance():
        return "a miss: it was begun, but stopped before its first checkpoint"
    return REASONS[state]


def _blocking(known: Known, key: str) -> str:
    """Name the run, however far up, without whose result this one cannot start."""
    parents = [(place, parent.run) for place, parent in known.runs[key].parents().items()]
    stopped = ("failed", "diverged", "blocked")
    place, parent = next(one for one in parents if known.states[one[1]] in stopped)
    if known.states[parent] == "blocked":
        return _blocking(known, parent)
    name = f"{parent} ({known.runs[parent].describe()})"
    return f"it needs {name}, its {place}; {_reason(known, parent)}"


def _nearest(known: Known, key: str) -> dict[str, Any] | None:
    done = [other for other in known.stored if known.states[other] == "done"]
    found = nearest_run(key, known.runs, known.stored, done)
    if found is None:
        return None
    sessions = []
    with contextlib.suppress(EnvironmentProblem):
        sessions = known.store.folder(found.key).provenance()
    return {
        "key": found.key,
        "name": known.runs[found.key].describe(),
        "state": known.states[found.key],
        "differences": [asdict(difference) for difference in found.differences],
        "sessions": sessions,
    }
