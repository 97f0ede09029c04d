"""A search and its store: the paper's rank, the Pareto front, re-runs, and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fabricated_study import ABOUT, POINT, add, begun
from filled_store import finish

from ekd.report.searched import Search, gather, plain, text
from ekd.store import Store
from ekd.sweep import trial_run
from ekd.sweep.facts import facts
from ekd.sweep.reading import key_of


def at(**values: float) -> dict[str, float]:
    """The paper's point with other values of its method's fields."""
    return POINT | {f"method.{name}": value for name, value in values.items()}


def gathered(root: Path, study: Any) -> Search:
    found = facts(study)
    return gather(found, Store(root), key_of(found.about, root / "no-data"))


def with_values(root: Path, *values: float, paper: int = 0, **about: Any) -> Any:
    """Leave a study whose trials have these values at different points, one of them the paper's."""
    study = begun(root, **about)
    for number, value in enumerate(values):
        point = POINT if number == paper else at(alpha=(number + 1) / 64)
        run = trial_run({**ABOUT, **about}, point, 0, root / "no-data").key
        label = "paper" if number == paper else None
        add(study, "COMPLETE", [value], point, label=label, run=run, start=60.0 * number)
    return study


def trained(root: Path, point: dict[str, float], seed: int, holdout: float, test: float) -> str:
    """Leave the finished run of a point; give its key."""
    run = trial_run(ABOUT, point, seed, root / "no-data")
    finish(root, run, 100 * test, holdout={"accuracy": holdout})
    return run.key


@pytest.mark.parametrize(
    ("values", "rank", "ties"),
    [((0.5,), 1, 0), ((0.5, 0.6, 0.4), 2, 0), ((0.5, 0.5, 0.5), 1, 2), ((0.5, 0.6, 0.5), 2, 1)],
)
def test_the_papers_point_is_ranked_among_the_completed(
    tmp_path: Path, values: tuple[float, ...], rank: int, ties: int
) -> None:
    search = gathered(tmp_path, with_values(tmp_path, *values))
    assert (search.paper_rank, search.paper_ties) == (rank, ties)


def test_of_equal_trials_the_first_is_the_best(tmp_path: Path) -> None:
    search = gathered(tmp_path, with_values(tmp_path, 0.4, 0.6, 0.6))
    assert search.best is not None
    assert search.best.number == 1
    assert [trial.number for trial in search.history] == [0, 1]


def test_a_paper_point_that_was_tried_again_counts_by_the_trial_that_got_through(
    tmp_path: Path,
) -> None:
    study = begun(tmp_path)
    add(study, "FAIL", None, POINT, label="paper", failure="its process died")
    add(study, "COMPLETE", [0.7], at(alpha=0.1))
    add(study, "COMPLETE", [0.6], POINT, retry_of=0)
    search = gathered(tmp_path, study)
    assert search.paper is not None
    assert search.paper.number == 2
    assert search.paper_rank == 2
    assert search.retried_as(search.trials[0]) == 2


def test_a_paper_point_without_accuracy_has_no_rank(tmp_path: Path) -> None:
    study = begun(tmp_path)
    add(study, "RUNNING", None, POINT, {1: 0.3}, label="paper")
    search = gathered(tmp_path, study)
    assert search.paper is not None
    assert search.paper_rank is None


def test_the_front_is_what_none_beats_in_both(tmp_path: Path) -> None:
    study = begun(tmp_path, directions=["maximize", "minimize"])
    for accuracy, operations in ((0.5, 9.0), (0.6, 9.0), (0.7, 30.0), (0.65, 40.0), (0.7, 31.0),
                                 (0.3, 4.0), (0.3, 4.0)):  # fmt: skip
        add(study, "COMPLETE", [accuracy, operations], POINT)
    assert [trial.number for trial in gathered(tmp_path, study).front] == [2, 1, 5]


def test_hours_sum_what_the_trials_trained(tmp_path: Path) -> None:
    study = begun(tmp_path)
    add(study, "COMPLETE", [0.5], POINT, seconds=1800.0, start=0.0, lasted=1900.0)
    add(study, "PRUNED", None, POINT, {1: 0.4}, seconds=900.0, start=1900.0, lasted=1700.0)
    add(study, "RUNNING", None, POINT, start=3500.0)
    search = gathered(tmp_path, study)
    assert search.hours == 0.75
    assert search.wall_hours == 1.0


def test_re_runs_and_test_come_from_the_store(tmp_path: Path) -> None:
    study = with_values(tmp_path, 0.60, 0.80, 0.78)
    for seed in (0, 1, 2):
        trained(tmp_path, at(alpha=2 / 64), seed, 0.80 if seed == 0 else 0.70, 0.1)
        trained(tmp_path, at(alpha=3 / 64), seed, 0.78, 0.75 + seed / 100)
    search = gathered(tmp_path, study)
    assert [one.trial.number for one in search.again] == [1, 2]
    lucky, steady = search.again
    assert lucky.fresh == [0.70, 0.70]
    assert lucky.luck == pytest.approx(0.10)
    assert steady.luck == pytest.approx(0.0)
    assert steady.mean == pytest.approx(0.78)
    assert search.test is not None
    assert search.test.number == 2  # the best mean, not the best trial
    assert search.test.accuracies == (0.75, 0.76, 0.77)
    assert search.test.accuracy == pytest.approx(0.76)
    assert search.test.gap == pytest.approx(0.02)
    told = plain(search)
    assert told["again"][0]["runs"][0] == search.trials[1].run
    assert told["again"][0]["values"] == [0.70, 0.70]
    assert told["test"]["tests"] == [0.75, 0.76, 0.77]
    said = text(search)
    assert "trial 1, 80.00 %: 70.00 % over 2 fresh seeds (\N{MINUS SIGN}10.00 points)" in said
    assert "trial 2, 78.00 %: 78.00 % over 2 fresh seeds (+0.00 points)" in said
    assert "Test: 76.00 % for trial 2, beside 78.00 % on the hold-out" in said


def test_test_is_not_read_before_all_re_runs_are_done(tmp_path: Path) -> None:
    study = with_values(tmp_path, 0.60, 0.80)
    trained(tmp_path, at(alpha=2 / 64), 0, 0.80, 0.79)
    trained(tmp_path, at(alpha=2 / 64), 1, 0.70, 0.69)
    search = gathered(tmp_path, study)
    assert [rerun.accuracy for rerun in search.again[0].reruns] == [0.70, None]
    assert search.test is None


def test_test_is_not_read_while_a_trial_runs(tmp_path: Path) -> None:
    study = with_values(tmp_path, 0.60, again={"best": 0, "seeds": []})
    trained(tmp_path, POINT, 0, 0.60, 0.59)
    assert gathered(tmp_path, study).test is not None
    add(study, "RUNNING", None, at(alpha=0.9))
    assert gathered(tmp_path, study).test is None


def test_what_the_search_kept_stands_where_the_store_is_elsewhere(tmp_path: Path) -> None:
    study = with_values(tmp_path, 0.60, 0.80)
    kept = {"seeds": [1, 2], "values": [0.7, 0.72]}
    study.set_user_attr("again", [{"trial": 1, **kept}, {"trial": 0, **kept}])
    study.set_user_attr(
        "test", {"trial": 1, "runs": ["a", "b", "c"], "tests": [0.7, 0.7, 0.73], "holdout": 0.74}
    )
    search = gathered(tmp_path, study)
    assert search.again[0].fresh == [0.7, 0.72]
    assert search.test is not None
    assert search.test.accuracy == pytest.approx(0.71)
    assert search.test.gap == pytest.approx(0.03)


def test_two_trials_of_one_run_are_trained_again_once(tmp_path: Path) -> None:
    study = with_values(tmp_path, 0.6)
    key = trial_run(ABOUT, POINT, 0, tmp_path).key
    add(study, "COMPLETE", [0.6], POINT, run=key)
    assert [one.trial.number for one in gathered(tmp_path, study).again] == [0]


def test_data_that_are_gone_leave_re_runs_without_a_key(tmp_path: Path) -> None:
    run = ABOUT["run"] | {"data": {"path": str(tmp_path / "gone.npz"), "holdout": 0.1}}
    study = begun(tmp_path, run=run, scale="paper")
    add(study, "COMPLETE", [0.5], POINT, run="0" * 16)
    search = gathered(tmp_path, study)
    assert {rerun.run for rerun in search.again[0].reruns} == {None}
