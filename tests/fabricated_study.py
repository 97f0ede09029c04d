"""A study as a search would have left it, fabricated: no run was trained for it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from ekd.sweep import trial_run
from ekd.sweep.storage import open_storage

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POINT = {
    "method.alpha": 0.5, "method.beta": 0.5, "method.gamma": 0.6, "method.temperature": 10.0,
}  # fmt: skip
SPACE: dict[str, Any] = {
    "method.alpha": {"low": 0.0, "high": 1.0},
    "method.beta": {"low": 0.0, "high": 1.0},
    "method.gamma": {"low": 0.0, "high": 1.0},
    "method.temperature": {"low": 1.0, "high": 20.0},
}
ABOUT: dict[str, Any] = {
    "sweep": "hparams",
    "scale": "smoke",
    "overrides": [],
    "space": SPACE,
    "run": {
        "student": {"arch": "resnet8", "branches": 3},
        "teachers": "T1-T3",
        "data": {"name": "digits", "holdout": 0.1},
        "method": {"name": "ekd"},
        "recipe": {"name": "paper"},
    },
    "directions": ["maximize"],
    "first": [{"label": "paper", "set": POINT}],
    "seed": 0,
    "limits": {},
    "again": {"best": 2, "seeds": [1, 2]},
    "title": "Loss weights and temperature",
}


def begun(root: Path, name: str = "hparams@smoke", **about: Any) -> optuna.Study:
    """Begin a study in its journal; `about` replaces what it says of itself."""
    said = {**ABOUT, **about}
    storage = open_storage(root, name, None, create=True)
    study = optuna.create_study(
        study_name=name, storage=storage, directions=list(said["directions"])
    )
    study.set_user_attr("ekd", said)
    return study


def distribution(given: Mapping[str, Any]) -> Any:
    """Give Optuna's distribution of a dimension."""
    if "choices" in given:
        return optuna.distributions.CategoricalDistribution(given["choices"])
    kind = (
        optuna.distributions.IntDistribution
        if given.get("integer")
        else optuna.distributions.FloatDistribution
    )
    return kind(given["low"], given["high"], log=given.get("log", False))


def add(study: optuna.Study, state: str = "COMPLETE", values: Any = None, params: Any = None,
        steps: Mapping[int, float] | None = None, start: float | None = 0.0,
        lasted: float | None = 60.0, **attributes: Any) -> None:  # fmt: skip
    """Add a trial that ended, runs or waits; times in seconds from BEGIN."""
    params = {} if params is None else params
    ended = state in ("COMPLETE", "PRUNED", "FAIL") and start is not None and lasted is not None
    waits = state == "WAITING"
    frozen = optuna.trial.create_trial(
        state=TrialState[state],
        values=None if values is None else list(values),
        params=params,
        distributions={f: distribution(study.user_attrs["ekd"]["space"][f]) for f in params},
        intermediate_values=dict(steps or {}),
        user_attrs={name: value for name, value in attributes.items() if value is not None},
    )
    frozen.datetime_start = None if waits else BEGIN + timedelta(seconds=start or 0.0)
    frozen.datetime_complete = (
        BEGIN + timedelta(seconds=(start or 0.0) + (lasted or 0.0)) if ended else None
    )
    study.add_trial(frozen)


def accuracy_at(point: Mapping[str, float], noise: random.Random) -> float:
    """Invent how accurate a point is: beta and temperature matter, alpha does not."""
    beta, gamma = point["method.beta"], point["method.gamma"]
    temperature = point["method.temperature"]
    hill = 0.05 * (beta - 0.7) ** 2 + 0.02 * (gamma - 0.35) ** 2
    slope = 0.03 * (math.log(temperature / 4) / math.log(20)) ** 2
    return 0.874 - hill - slope - 0.002 * noise.random()


def curve(last: float, epochs: int, noise: random.Random) -> dict[int, float]:
    """Invent accuracies by epoch that end at `last`."""
    steps = {e: last * (1 - 0.6 * math.exp(-3 * e / epochs)) for e in range(1, epochs)}
    return {e: round(v + 0.01 * (noise.random() - 0.5), 4) for e, v in steps.items()} | {
        epochs: last
    }


def searched(root: Path, trials: int = 40, **about: Any) -> optuna.Study:
    """Leave a whole search: two workers, a night's rest, pruned, failed and running trials."""
    study, noise = begun(root, **about), random.Random(7)
    free, number = [0.0, 1.0], 0
    while number < trials:
        worker = free.index(min(free))
        narrow = 1.0 if number < 12 else 0.45
        point = POINT if number == 0 else {
            "method.alpha": noise.random(),
            "method.beta": min(1.0, max(0.0, 0.7 + narrow * (noise.random() - 0.6))),
            "method.gamma": noise.random(),
            "method.temperature": 1 + 19 * noise.random() * (1 if number < 12 else 0.5),
        }  # fmt: skip
        start, lasted = free[worker], 300 + 120 * noise.random()
        _one(study, number, trials, point, start, lasted, noise)
        free[worker] = start + lasted * (0.4 if number % 7 == 5 else 1)
        if number == trials // 2:
            free = [max(free) + 9 * 3600, max(free) + 9 * 3600 + 2]
        number += 1
    return study


def _one(study: optuna.Study, number: int, trials: int, point: dict[str, float], start: float,
         lasted: float, noise: random.Random) -> None:  # fmt: skip
    value = round(accuracy_at(point, noise), 4)
    steps = curve(value, 15, noise)
    said = {"label": "paper"} if number == 0 else {}
    run = trial_run(study.user_attrs["ekd"], point, 0, Path("no-data")).key
    if number == trials - 1:
        steps = {e: v for e, v in steps.items() if e < 6}
        add(study, "RUNNING", None, point, steps, start, run=run)
    elif number % 7 == 5:
        steps = {e: v - 0.1 for e, v in steps.items() if e <= 5}
        add(study, "PRUNED", None, point, steps, start, 0.4 * lasted, run=run, seconds=0.4 * lasted)
    elif number in (9, 22):
        why = "diverged: the loss is not finite at epoch 3"
        add(study, "FAIL", None, point, {1: 0.2}, start, 70, run=run, failure=why, seconds=70.0)
    else:
        add(study, "COMPLETE", [value], point, steps, start, lasted, run=run,
            seconds=round(lasted, 1), **said)  # fmt: skip
