"""Facts of a study: what was tried, and how much each field mattered."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from fabricated_study import POINT, add, begun

from ekd.sweep.facts import FEWEST, Facts, facts
from ekd.sweep.study import read_study

PLANE: dict[str, Any] = {
    "method.alpha": {"low": 0.0, "high": 1.0},
    "method.beta": {"low": 0.0, "high": 1.0},
}


def on_a_plane(root: Path, values: list[float], seed: int = 0) -> Facts:
    """Facts of a search over two fields whose trials have these values, or beta for NaN."""
    study, noise = begun(root, space=PLANE), random.Random(seed)
    for number, value in enumerate(values):
        point = {field: noise.random() for field in PLANE}
        value = point["method.beta"] if math.isnan(value) else value
        add(study, "COMPLETE", [value], point, start=60.0 * number)
    return facts(study)


def test_a_field_without_effect_weighs_little_by_fanova(tmp_path: Path) -> None:
    found = on_a_plane(tmp_path, [math.nan] * 40).importances
    assert found.trials == 40
    assert found.best == 4
    assert found.fanova is not None
    assert found.fanova["method.beta"] > 0.9
    for shares in (found.ped_anova, found.fanova):
        assert shares is not None
        assert set(shares) == set(PLANE)
        assert math.isclose(sum(shares.values()), 1.0)


def test_importances_are_the_same_each_time(tmp_path: Path) -> None:
    first = on_a_plane(tmp_path, [math.nan] * 20)
    assert facts(read_study(tmp_path, "hparams@smoke")) == first


def test_too_few_trials_have_no_importances(tmp_path: Path) -> None:
    found = on_a_plane(tmp_path, [math.nan] * (FEWEST - 1)).importances
    assert found.ped_anova is None
    assert found.fanova is None
    assert found.missing == "too few trials: 9 of 10 completed"


def test_equal_accuracies_tell_no_field_from_another(tmp_path: Path) -> None:
    found = on_a_plane(tmp_path, [0.5] * FEWEST).importances
    assert found.ped_anova is None
    assert found.fanova is None
    assert "same accuracy" in found.missing


def test_a_value_that_is_not_finite_counts_as_none(tmp_path: Path) -> None:
    found = on_a_plane(tmp_path, [0.5, math.inf])
    assert [trial.value for trial in found.trials] == [0.5, None]
    assert found.importances.trials == 1


def test_evaluations_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    study = begun(tmp_path)
    add(study, "FAIL", None, POINT, {1: 0.2, 2: math.nan})
    (trial,) = facts(study).trials
    assert trial.steps == ((1, 0.2),)
    assert trial.last == 0.2


def test_times_are_seconds_after_the_first_start(tmp_path: Path) -> None:
    study = begun(tmp_path)
    add(study, "COMPLETE", [0.5], POINT, start=100.0, lasted=30.0)
    add(study, "RUNNING", None, POINT, start=90.5)
    add(study, "WAITING")
    times = [(trial.start, trial.stop) for trial in facts(study).trials]
    assert times == [(9.5, 39.5), (0.0, None), (None, None)]


def test_what_a_trial_says_of_itself_is_kept(tmp_path: Path) -> None:
    study = begun(tmp_path)
    add(study, "FAIL", None, POINT, label="paper", run="ab" * 8, seconds=3.5, failure="its end",
        retry_of=7)  # fmt: skip
    (trial,) = facts(study).trials
    assert (trial.state, trial.label, trial.run) == ("FAIL", "paper", "ab" * 8)
    assert (trial.seconds, trial.failure, trial.retry_of) == (3.5, "its end", 7)
    assert trial.params == POINT


def test_a_point_that_waits_in_the_queue_is_known(tmp_path: Path) -> None:
    study = begun(tmp_path)
    study.enqueue_trial(POINT, {"label": "paper"})
    (trial,) = facts(study).trials
    assert (trial.state, trial.label, trial.params) == ("WAITING", "paper", POINT)


@pytest.mark.parametrize("directions", [["maximize"], ["maximize", "minimize"]])
def test_all_objectives_are_read(tmp_path: Path, directions: list[str]) -> None:
    study = begun(tmp_path, directions=directions)
    values = [0.5, 12e6][: len(directions)]
    add(study, "COMPLETE", values, POINT)
    found = facts(study)
    assert found.directions == tuple(directions)
    assert found.trials[0].values == tuple(values)
