"""After a search: the best trials over fresh seeds, and test, read once, for the chosen one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ekd.plan import Planned, Progress
from ekd.spec import Run
from ekd.store import Store
from ekd.sweep.asked import Asked
from ekd.sweep.point import trial_run
from ekd.sweep.search import accuracy, best_trials, plan_of
from ekd.sweep.storage import Study

AGAIN, TEST = "again", "test"
"""Under these names a study keeps what came out; see Conclusion."""

Train = Callable[[list[Planned]], dict[str, Progress]]


@dataclass(frozen=True)
class Conclusion:
    """What a search has found."""

    again: list[dict[str, Any]]
    """Of each trial that was trained again: trial, value (of the search), seeds, values (of the
    seeds, None where a run failed), mean (over all), luck (value - mean over the fresh seeds)."""
    test: dict[str, Any] | None
    """Of the chosen trial: trial, holdout and test (means over its runs), gap, runs, luck."""

    @property
    def whole(self) -> bool:
        """Tell whether every run came to its end."""
        return all(None not in entry["values"] for entry in self.again)


def conclude(study: Study, asked: Asked, store: Store, data_root: Path, train: Train) -> Conclusion:
    """Train the best trials over fresh seeds, choose one by its mean, and read its test accuracy.

    All of it is ordinary runs of the store; what comes out is kept in the study. A sweep that
    trains nothing again takes the best value.
    """
    attributes = asked.attributes
    number, seeds = attributes[AGAIN]["best"], attributes[AGAIN]["seeds"]
    candidates = _distinct(best_trials(study.get_trials(deepcopy=False)))[: number or 1]
    seeds = seeds if number else []
    runs = {
        trial.number: [
            trial_run(attributes, trial.params, seed, data_root)
            for seed in (attributes["seed"], *seeds)
        ]
        for trial in candidates
    }
    plan = _plan(runs, asked.study)
    states = train(plan) if seeds and plan else {}
    again = [_entry(trial, runs[trial.number], seeds, states, store) for trial in candidates]
    best = max(again, key=lambda entry: (entry["mean"], entry["value"]), default=None)
    test = best and _tested(best, runs[best["trial"]], store)
    again = again if seeds else []
    study.set_user_attr(AGAIN, again)
    study.set_user_attr(TEST, test)
    return Conclusion(again, test)


def _distinct(trials: list[Any]) -> list[Any]:
    """Leave out trials that share the run of a better one."""
    found: dict[str, Any] = {}
    for trial in trials:
        found.setdefault(trial.user_attrs["run"], trial)
    return list(found.values())


def _plan(runs: dict[int, list[Run]], study: str) -> list[Planned]:
    """List what the runs need, once each, teachers first."""
    entries: dict[str, Planned] = {}
    for number, own in runs.items():
        for run in own:
            for entry in plan_of(run, f"{study}: trial {number} again"):
                known = entries.get(entry.run.key)
                if known is None or known.is_teacher:
                    entries[entry.run.key] = entry
    return list(entries.values())


def _entry(
    trial: Any, runs: list[Run], seeds: list[int], states: dict[str, Progress], store: Store
) -> dict[str, Any]:
    values = [
        accuracy(store.folder(run)) if states.get(run.key) == "done" else None for run in runs[1:]
    ]
    fresh = [value for value in values if value is not None]
    value = trial.values[0]
    return {
        "trial": trial.number,
        "value": value,
        "seeds": list(seeds),
        "values": values,
        "runs": [run.key for run in runs],
        "mean": fmean([value, *fresh]),
        "luck": value - fmean(fresh) if fresh else None,
    }


def _tested(entry: dict[str, Any], runs: list[Run], store: Store) -> dict[str, Any]:
    """Read test for the chosen trial: the only place of a search that does."""
    values = [entry["value"], *entry["values"]]
    done = [run for run, value in zip(runs, values, strict=True) if value is not None]
    tests = [float(store.folder(run).result()["accuracy"]) for run in done]
    return {
        "trial": entry["trial"],
        "runs": [run.key for run in done],
        "holdout": entry["mean"],
        "test": fmean(tests),
        "tests": tests,
        "gap": entry["mean"] - fmean(tests),
        "luck": entry["luck"],
    }
