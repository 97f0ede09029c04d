"""What a search found, as plain values for JSON."""

from __future__ import annotations

import math
from typing import Any

from ekd.report.searched.model import Again, OnTest, Search
from ekd.sweep.facts import Trial


def plain(search: Search) -> dict[str, Any]:
    """Give study, trials, best, importances, the paper's rank, re-runs, test and hours.

    `value` is accuracy on the hold-out, null unless a trial is completed; with two objectives a
    trial has its `operations` too, and `front` lists the Pareto front. Optuna's own words name the
    states.
    """
    given = search.facts.importances
    luck = {one.trial.number: one.luck for one in search.again}
    return {
        "study": search.facts.name,
        "scale": search.scale,
        "title": search.title,
        "directions": list(search.facts.directions),
        "trials": [_trial(trial) for trial in search.trials],
        "best": search.best.number if search.best else None,
        "importances": {"ped_anova": given.ped_anova, "fanova": given.fanova},
        "paper_rank": search.paper_rank,
        "again": [_again(one) for one in search.again],
        "test": _test(search.test, luck) if search.test else None,
        "hours": search.hours,
        **({"front": [trial.number for trial in search.front]} if search.two else {}),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    optional = {
        "label": trial.label,
        "seconds": trial.seconds,
        "failure": trial.failure,
        "operations": trial.values[1] if len(trial.values) > 1 else None,
    }
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "params": {field: _finite(value) for field, value in trial.params.items()},
        "run": trial.run,
        **{name: _finite(value) for name, value in optional.items() if value is not None},
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _again(one: Again) -> dict[str, Any]:
    return {
        "trial": one.trial.number,
        "value": one.trial.values[0],
        "seeds": [rerun.seed for rerun in one.reruns],
        "values": [rerun.accuracy for rerun in one.reruns],
        "runs": [one.trial.run, *(rerun.run for rerun in one.reruns)],
        "mean": one.mean,
        "luck": one.luck,
    }


def _test(found: OnTest, luck: dict[int, float | None]) -> dict[str, Any]:
    return {
        "trial": found.number,
        "runs": list(found.runs),
        "holdout": found.holdout,
        "test": found.accuracy,
        "tests": list(found.accuracies),
        "gap": found.gap,
        "luck": luck.get(found.number),
    }
