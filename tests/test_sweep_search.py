"""A search, from the command line: trials are ordinary runs, and test is read at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import swept
from command_line import Ended, Run

from ekd.cli import sweep as cli
from ekd.spec import SpecError
from ekd.store import RunFolder
from ekd.sweep import load_sweep, read_study

Sweep = Callable[..., Ended]
SLOWLY = [pytest.param(name, marks=pytest.mark.slow) for name in ("tpe-classic", "random", "gp")]


@pytest.fixture
def ekd_sweep(
    ekd_run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sweep:
    def command(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["ekd-sweep", *arguments])
        capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        return Ended(code, *capsys.readouterr())

    return command


def test_a_search_tries_its_first_point_and_then_others(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path
) -> None:
    swept.write(tmp_path, tiny_npz)
    ended = ekd_sweep("my.toml", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["study"] == "my@paper"
    assert [trial["number"] for trial in told["trials"]] == [0, 1, 2, 3]
    assert {trial["state"] for trial in told["trials"]} == {"COMPLETE"}
    assert told["trials"][0]["params"] == {"recipe.lr": 0.01, "recipe.lr_factor": 0.1}
    assert told["trials"][0]["label"] == "paper"
    for trial in told["trials"]:
        assert 0.0001 <= trial["params"]["recipe.lr"] <= 0.1
        folder = RunFolder(tmp_path / "runs", trial["run"])
        assert trial["value"] == folder.result()["holdout"]["accuracy"]
        spec = json.loads((folder.path / "spec.json").read_text())
        assert spec["recipe"]["lr"] == trial["params"]["recipe.lr"]
        assert spec["seed"] == 3
    best = max(told["trials"], key=lambda t: (t["value"], -t["number"]))
    assert told["best"] == best["number"] == told["test"]["trial"]
    test = RunFolder(tmp_path / "runs", best["run"]).result()["accuracy"]
    assert told["test"]["test"] == test
    assert told["test"]["gap"] == pytest.approx(best["value"] - test)


def test_values_are_those_of_the_hold_out_epoch_by_epoch(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path
) -> None:
    swept.write(tmp_path, tiny_npz, epochs=3)
    assert ekd_sweep("my.toml", "--trials", "1").code == 0
    (trial,) = swept.trials(tmp_path / "runs")
    history = RunFolder(tmp_path / "runs", trial.user_attrs["run"]).history()
    assert {line["split"] for line in history} == {"holdout"}
    assert trial.intermediate_values == {line["epoch"]: line["accuracy"] for line in history}
    assert trial.user_attrs["seconds"] == pytest.approx(sum(line["seconds"] for line in history))
    assert trial.user_attrs["owner"]["pid"]


def test_a_search_goes_on_and_two_searches_share_runs(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path
) -> None:
    swept.write(tmp_path, tiny_npz)
    assert ekd_sweep("my.toml", "--trials", "2").code == 0
    assert ekd_sweep("my.toml", "--trials", "3").code == 0
    assert len(swept.trials(tmp_path / "runs")) == 3
    assert ekd_sweep("my.toml", "--trials", "3").code == 0
    assert len(swept.trials(tmp_path / "runs")) == 3
    before = sorted(tmp_path.glob("runs/*/result.json"))
    assert ekd_sweep("my.toml", "--trials", "3", "--name", "other").code == 0
    assert sorted(tmp_path.glob("runs/*/result.json")) == before
    assert swept.tried(tmp_path / "runs", "other") == swept.tried(tmp_path / "runs")


@pytest.mark.parametrize("sampler", ["tpe", *SLOWLY])
def test_points_do_not_depend_on_where_a_search_was_stopped(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path, sampler: str
) -> None:
    swept.write(tmp_path, tiny_npz, epochs=1)
    for name, budgets in {"whole": ["12"], "parts": ["1", "4", "12"]}.items():
        for trials in budgets:
            arguments = ["--trials", trials, "--name", name, "--sampler", sampler]
            assert ekd_sweep("my.toml", *arguments).code == 0
    whole = swept.tried(tmp_path / "runs", "whole")
    assert whole == swept.tried(tmp_path / "runs", "parts")
    assert len({json.dumps(points[0]) for points in whole}) == 12


def test_the_grid_is_tried_without_the_points_that_the_method_refuses(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path
) -> None:
    swept.write(tmp_path, tiny_npz, swept.TAUGHT, epochs=1)
    fixed = ["-s", "method.gamma=0.0", "--sampler", "grid", "--json"]
    ended = ekd_sweep("my.toml", *fixed)
    assert ended.code == 0, ended.err
    assert "2 points of the grid are refused" in ended.err  # beta = gamma = 0
    points = [tuple(trial["params"].values()) for trial in json.loads(ended.out)["trials"]]
    assert points == [(0.5, 0.5), (0.0, 1.0), (1.0, 1.0)]


def test_teachers_are_trained_once_and_the_best_again_over_fresh_seeds(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path
) -> None:
    swept.write(tmp_path, tiny_npz, swept.TAUGHT)
    ended = ekd_sweep("my.toml", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    specs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/spec.json")]
    assert sorted(s["seed"] for s in specs if s["method"]["name"] == "plain") == [0, 7]
    assert sorted(s["seed"] for s in specs if s["method"]["name"] == "ekd") == [0, 0, 0, 7]
    (again,) = told["again"]
    assert again["seeds"] == [7]
    fresh = RunFolder(tmp_path / "runs", again["runs"][1]).result()
    assert again["values"] == [fresh["holdout"]["accuracy"]]
    assert again["mean"] == pytest.approx((again["value"] + again["values"][0]) / 2)
    assert told["test"]["luck"] == pytest.approx(again["value"] - again["values"][0])
    tests = [RunFolder(tmp_path / "runs", key).result()["accuracy"] for key in again["runs"]]
    assert told["test"]["test"] == pytest.approx(sum(tests) / 2)
    assert read_study(tmp_path / "runs", "my@paper").user_attrs["test"] == told["test"]


def test_a_point_that_diverges_is_failed_and_says_why(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path
) -> None:
    path = swept.write(tmp_path, tiny_npz, epochs=3)
    text = path.read_text().replace("high = 0.1,", "high = 1e30,")
    text = text.replace('"recipe.lr" = 0.01, ', '"recipe.lr" = 1e30, ')
    path.write_text(text)
    ended = ekd_sweep("my.toml", "--trials", "1")
    assert ended.code == 1  # no trial came to its end
    (trial,) = swept.trials(tmp_path / "runs")
    assert trial.state.name == "FAIL"
    assert trial.user_attrs["failure"].startswith("diverged: ")
    assert "trial 0: failed: diverged: " in ended.err


def test_a_refused_point_is_failed_with_the_sentence(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path
) -> None:
    path = swept.write(tmp_path, tiny_npz, swept.TAUGHT, epochs=1)
    text = path.read_text().replace('"method.beta" = 0.5 }', '"method.beta" = 0.0 }')
    path.write_text(text)
    ended = ekd_sweep("my.toml", "-s", "method.gamma=0.0", "--trials", "2")
    assert ended.code == 0
    first, second = swept.trials(tmp_path / "runs")
    assert (first.state.name, second.state.name) == ("FAIL", "COMPLETE")
    assert "beta = gamma = 0 leaves the student untrained" in first.user_attrs["failure"]


def test_a_point_beyond_a_limit_is_not_trained(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path
) -> None:
    path = swept.write(tmp_path, tiny_npz)
    path.write_text("limits = { parameters = 1000 }\n" + path.read_text())
    assert ekd_sweep("my.toml", "--trials", "1").code == 1
    (trial,) = swept.trials(tmp_path / "runs")
    assert trial.user_attrs["failure"].endswith("parameters, the limit is 1,000")
    assert not list(tmp_path.glob("runs/*/history.jsonl"))


def test_pruned_runs_stay_and_go_on_when_asked_for(
    ekd_sweep: Sweep, ekd_run: Run, tmp_path: Path, tiny_npz: Path
) -> None:
    swept.write(tmp_path, tiny_npz, epochs=6)
    ended = ekd_sweep("my.toml", "--trials", "6", "--pruner", "halving")
    assert ended.code == 0, ended.err
    found = swept.trials(tmp_path / "runs")
    pruned = [trial for trial in found if trial.state.name == "PRUNED"]
    assert pruned
    folder = RunFolder(tmp_path / "runs", pruned[0].user_attrs["run"])
    assert folder.status() == "partial"
    assert len(folder.history()) == pruned[0].last_step < 6
    assert not (folder.path / "lease.json").exists()
    ended = ekd_run("--from-sweep", "my", "--trial", str(pruned[0].number))
    assert ended.code == 0, ended.err
    assert f"resumed after epoch {pruned[0].last_step} of 6" in ended.err
    assert folder.status() == "done"


def test_the_best_becomes_an_override(
    ekd_sweep: Sweep, ekd_run: Run, tmp_path: Path, tiny_npz: Path, spec: str
) -> None:
    swept.write(tmp_path, tiny_npz)
    assert ekd_sweep("my.toml", "--trials", "2").code == 0
    best = read_study(tmp_path / "runs", "my@paper").user_attrs["test"]["trial"]
    ended = ekd_run(spec, "--from-sweep", "my", "--plan", "--json")
    assert ended.code == 0, ended.err
    rates = {run["recipe"]["lr"] for run in json.loads(ended.out)["runs"]}
    assert rates == {swept.trials(tmp_path / "runs")[best].params["recipe.lr"]}
    ended = ekd_run(spec, "--from-sweep", "my@paper", "--trial", "0", "--plan", "--json")
    assert {run["recipe"]["lr"] for run in json.loads(ended.out)["runs"]} == {0.01}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("high = 0.1", "high = 0.2"), "space.recipe.lr.high was 0.1 and is 0.2"),
        (("epochs = 2", "epochs = 1"), "run.recipe.epochs was 2 and is 1"),
        (("seed = 3", "seed = 4"), "seed was 3 and is 4"),
        (("trials = 4", 'trials = 4\nobjectives = ["accuracy", "operations"]'), "directions was"),
    ],
)
def test_another_search_under_an_old_name_is_refused_with_the_difference(
    ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path, change: tuple[str, str], said: str
) -> None:
    path = swept.write(tmp_path, tiny_npz)
    assert ekd_sweep("my.toml", "--trials", "1").code == 0
    path.write_text(path.read_text().replace(*change))
    ended = ekd_sweep("my.toml")
    assert ended.code == 2
    assert said in ended.err
    assert len(swept.trials(tmp_path / "runs")) == 1
    path.write_text(path.read_text().replace(change[1], change[0]))
    assert ekd_sweep("my.toml", "--trials", "2", "--sampler", "random").code == 0


def test_two_objectives(ekd_sweep: Sweep, tmp_path: Path, tiny_npz: Path) -> None:
    path = swept.write(tmp_path, tiny_npz, epochs=1)
    text = path.read_text().replace("seed = 3", 'objectives = ["accuracy", "operations"]')
    text = text.replace('"recipe.lr_factor" = { low = 0.1, high = 1.0 }', BRANCHES)
    text = text.replace('"recipe.lr_factor" = 0.1', '"student.branches" = 1')
    path.write_text(text[: text.index("[grid]")] + text[text.index("[[first]]") :])
    assert ekd_sweep("my.toml", "--sampler", "nsga2").code == 0
    found = swept.trials(tmp_path / "runs")
    assert len(found) == 4
    one = found[0].values[1]
    for trial in found:
        assert trial.values[1] == trial.params["student.branches"] * one
        assert trial.user_attrs["operations"] == trial.values[1]


BRANCHES = '"student.branches" = { low = 1, high = 2, integer = true }'


def test_the_sweeps_that_come_with_the_suite_are_right() -> None:
    sweep = load_sweep("hparams")
    assert [point.label for point in sweep.first] == ["paper"]
    assert list(sweep.first[0].set.values()) == [0.5, 0.5, 0.6, 10.0]
    assert sweep.at("smoke").trials == 8
    assert sweep.at("smoke").again.best == 2
    assert len(sweep.at("smoke").again.seeds) == 2
    assert sweep.run["data"]["holdout"] == 0.1


def test_reading_a_study_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no study 'my'"):
        read_study(tmp_path / "runs", "my")
    assert list(tmp_path.iterdir()) == []
