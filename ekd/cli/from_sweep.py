"""`ekd-run --from-sweep NAME`: what a search found, as overrides or as the very run."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from ekd.cli.train import Options, check, train_plan
from ekd.engines import prepare
from ekd.spec import SpecError
from ekd.spec.fields import assignment
from ekd.sweep import about, read_study, trial_run
from ekd.sweep.conclusion import TEST
from ekd.sweep.search import best_trials, plan_of
from ekd.sweep.storage import Study, journal_of


def with_fields(name: str, number: int | None, options: Options) -> Options:
    """Put the fields of a search's best trial, or of trial `number`, before the user's own -s.

    What the search fixed of its method goes with them: a point was good beside those values.
    Raises SpecError where there is no such search or trial.
    """
    study = _study(name, options)
    trial = _trial(study, number)
    fixed = tuple(text for text in about(study)["overrides"] if _is_of_method(text))
    found = tuple(f"{field}={json.dumps(value)}" for field, value in trial.params.items())
    fields = (*fixed, *found)
    return dataclasses.replace(options, overrides=(*fields, *options.overrides))


def train_trial(name: str, number: int, options: Options) -> bool:
    """Train the run of one trial to its end; tell whether it is done. Raises as `with_fields`."""
    prepare()
    check(options)
    study = _study(name, options)
    attributes, trial = about(study), _trial(study, number)
    run = trial_run(attributes, trial.params, attributes["seed"], options.data_root)
    asker = f"{study.study_name}: trial {number}"
    return train_plan(plan_of(run, asker), (attributes["scale"], study.study_name), "", options)


def _is_of_method(text: str) -> bool:
    field, _ = assignment(text)
    return field.startswith("method.") and field != "method.name"


def _study(name: str, options: Options) -> Study:
    """Find the search of that name, else the one of that name at the scale."""
    own = journal_of(options.root, name, None)
    if "@" not in name and (own is None or not own.exists()):
        name = f"{name}@{options.scale}"
    return read_study(options.root, name)


def _trial(study: Study, number: int | None) -> Any:
    trials = study.get_trials(deepcopy=False)
    if number is None:
        number = _chosen(study, trials)
    elif number >= len(trials):
        raise SpecError(
            f"--trial {number}: the search {study.study_name} has {len(trials)} trials, from 0"
        )
    if set(trials[number].params) != set(about(study)["space"]):
        raise SpecError(
            f"--trial {number}: it ended before it had all its fields: take another one"
        )
    return trials[number]


def _chosen(study: Study, trials: list[Any]) -> int:
    test = study.user_attrs.get(TEST)
    if test:
        return int(test["trial"])
    best = best_trials(trials)
    if not best:
        raise SpecError(f"no trial of the search {study.study_name} has come to its end yet")
    return int(best[0].number)
