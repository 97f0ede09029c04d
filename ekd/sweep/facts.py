"""What a study holds, as plain values: whatever shows them needs no Optuna."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

State = Literal["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"]
Value = float | int | str | bool | None
Study = Any
"""optuna.Study; optuna is imported where it is used, and nowhere else."""
FrozenTrial = Any
"""optuna.trial.FrozenTrial."""
Evaluator = Any
"""optuna.importance.BaseImportanceEvaluator."""

FEWEST = 10
"""Completed trials below which an importance says more about chance than about a field."""

BEST_PART = 0.1
"""The part of the trials that PED-ANOVA takes for the good ones (Optuna's default)."""


@dataclass(frozen=True)
class Trial:
    """One point that was, is or will be tried."""

    number: int
    state: State
    values: tuple[float, ...]
    """One per objective, accuracy first; empty unless the trial is completed."""
    params: dict[str, Value]
    """By field path; empty before the point is drawn."""
    steps: tuple[tuple[int, float], ...] = ()
    """Epoch and accuracy on the hold-out, where it was evaluated; what is not finite is out."""
    start: float | None = None
    """Seconds after the start of the study's first trial."""
    stop: float | None = None
    label: str | None = None
    run: str | None = None
    """Key of its run."""
    seconds: float | None = None
    """What its run trained."""
    failure: str | None = None
    retry_of: int | None = None
    """The trial that died with this point."""

    @property
    def value(self) -> float | None:
        """Accuracy on the hold-out as a fraction; None unless completed with a finite number."""
        finite = bool(self.values) and all(map(math.isfinite, self.values))
        return self.values[0] if finite else None

    @property
    def last(self) -> float | None:
        """The value, or else the last evaluation there was before the trial ended."""
        if self.value is not None or not self.steps:
            return self.value
        return self.steps[-1][1]


@dataclass(frozen=True)
class Importances:
    """How much each field matters, by two measures; each sums to 1 over the fields."""

    trials: int
    """How many completed trials they rest on."""
    best: int
    """How many of them are the good ones of PED-ANOVA."""
    ped_anova: dict[str, float] | None = None
    fanova: dict[str, float] | None = None
    missing: str = ""
    """Why there are none."""


@dataclass(frozen=True)
class Facts:
    """A study as it was at one moment."""

    name: str
    about: dict[str, Any]
    """What the search wrote about itself: title, scale, space, run, first, again, seed."""
    directions: tuple[str, ...]
    trials: tuple[Trial, ...]
    """In the order of their numbers."""
    importances: Importances
    again: tuple[dict[str, Any], ...] = ()
    """What the search kept of its best trials' re-runs: trial, seeds and values."""
    test: dict[str, Any] | None = None
    """What it kept of the one look at the test images: trial, runs, tests, holdout."""


def facts(study: Study) -> Facts:
    """Read a study once; nothing is written."""
    frozen = sorted(study.get_trials(deepcopy=False), key=lambda trial: trial.number)
    starts = [one.datetime_start for one in frozen if one.datetime_start]
    first = min(starts).timestamp() if starts else 0.0
    trials = tuple(_trial(one, first) for one in frozen)
    about = study.user_attrs.get("ekd", {})
    usable = [one for one, trial in zip(frozen, trials, strict=True) if trial.value is not None]
    return Facts(
        name=study.study_name,
        about=dict(about) if isinstance(about, dict) else {},
        directions=tuple(direction.name.lower() for direction in study.directions),
        trials=trials,
        importances=importances(usable),
        again=tuple(study.user_attrs.get("again") or ()),
        test=study.user_attrs.get("test"),
    )


def _trial(frozen: FrozenTrial, first: float) -> Trial:
    attributes = frozen.user_attrs
    complete = frozen.state.name == "COMPLETE"
    steps = sorted(frozen.intermediate_values.items())
    return Trial(
        number=frozen.number,
        state=cast(State, frozen.state.name),
        values=tuple(frozen.values or ()) if complete else (),
        params=frozen.params or dict(frozen.system_attrs.get("fixed_params", {})),
        steps=tuple((step, value) for step, value in steps if math.isfinite(value)),
        start=_since(frozen.datetime_start, first),
        stop=_since(frozen.datetime_complete, first),
        label=attributes.get("label"),
        run=attributes.get("run"),
        seconds=attributes.get("seconds"),
        failure=attributes.get("failure"),
        retry_of=attributes.get("retry_of"),
    )


def _since(moment: datetime | None, first: float) -> float | None:
    return None if moment is None else max(0.0, round(moment.timestamp() - first, 3))


def importances(trials: Sequence[FrozenTrial]) -> Importances:
    """Weigh the fields by PED-ANOVA and by fANOVA, for the first objective.

    Both are Optuna's, with its defaults and a fixed seed. There are none where the completed trials
    are fewer than FEWEST, or all alike.
    """
    values = [trial.values[0] for trial in trials]
    fields = sorted(set.intersection(*(set(trial.params) for trial in trials)) if trials else ())
    counts = len(trials), math.ceil(BEST_PART * len(trials))
    if len(trials) < FEWEST:
        return Importances(*counts, missing=f"too few trials: {len(trials)} of {FEWEST} completed")
    if len(set(values)) == 1 or not fields:
        return Importances(*counts, missing="all completed trials have the same accuracy")
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    ped_anova = PedAnovaImportanceEvaluator(target_quantile=BEST_PART)
    fanova = FanovaImportanceEvaluator(seed=0)
    with _copied(trials) as study:
        return Importances(
            *counts,
            ped_anova=_shares(ped_anova, study, fields),
            fanova=_shares(fanova, study, fields),
        )


def _shares(evaluator: Evaluator, study: Study, fields: list[str]) -> dict[str, float] | None:
    """Scale to a sum of 1; None where the measure tells no field from another."""
    try:
        found = evaluator.evaluate(study, params=fields)
    except RuntimeError:  # fANOVA, where its trees see no variance
        return None
    total = sum(found.values())
    return {name: found[name] / total for name in fields} if total > 0 else None


@contextlib.contextmanager
def _copied(trials: Sequence[FrozenTrial]) -> Iterator[Study]:
    """Give a study in memory of the first objective: workers may be writing to the real one."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few trials in a regime; the page says how many
            study = optuna.create_study(direction="maximize")
            for trial in trials:
                # A point outside its range is no part of the space that is weighed.
                with contextlib.suppress(ValueError):
                    study.add_trial(
                        optuna.trial.create_trial(
                            value=trial.values[0],
                            params=trial.params,
                            distributions=trial.distributions,
                        )
                    )
            yield study
    finally:
        optuna.logging.set_verbosity(verbosity)
