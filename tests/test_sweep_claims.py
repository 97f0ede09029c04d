"""Who may try which point: the dead elsewhere, points that kill, and how a pruned run is shown."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny

from ekd.engines import Engine
from ekd.engines.local import Stopped
from ekd.store import Store
from ekd.sweep import claims as module
from ekd.sweep.asked import Asked
from ekd.sweep.claims import Claims
from ekd.sweep.proposals import bracket
from ekd.sweep.search import plan_of
from ekd.sweep.study import create_study
from ekd.tracking.segment import Segment

ATTRIBUTES = {
    "sweep": "s", "scale": "paper", "overrides": [], "run": {}, "title": "S", "limits": {},
    "space": {"recipe.lr": {"low": 0.1, "high": 1.0}}, "directions": ["maximize"], "first": [],
    "seed": 0, "again": {"best": 0, "seeds": [1]},
}  # fmt: skip


def claims(root: Path, trials: int = 5) -> Claims:
    asked = Asked("s@paper", ATTRIBUTES, "random", "none", trials)
    study = create_study(root, asked.study, None, ATTRIBUTES, print)
    return Claims(study, asked, root / "claims", shared=True)


def owned_by(found: Claims, trial: Any, **owner: Any) -> None:
    given = {**trial.user_attrs["owner"], **owner}
    found.study._storage.set_trial_user_attr(trial._trial_id, "owner", given)


def states(found: Claims) -> list[str]:
    return [trial.state.name for trial in found.study.get_trials()]


def test_a_trial_elsewhere_is_reaped_after_a_minute_without_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    found = claims(tmp_path, trials=1)
    trial = found.take()
    owned_by(found, trial, host="elsewhere")
    for beat in (1, 2):
        assert found.take() is None
        clock.now += 59
        assert not found.is_over()
        found.study._storage.set_trial_user_attr(trial._trial_id, "beat", beat)
    assert found.take() is None
    clock.now += 61
    again = found.take()
    assert states(found) == ["FAIL", "RUNNING"]
    assert again.params == trial.params
    assert again.user_attrs["retry_of"] == 0


def test_a_point_at_which_processes_die_comes_back_twice_and_no_more(tmp_path: Path) -> None:
    found = claims(tmp_path, trials=1)
    for _ in range(3):
        trial = found.take()
        owned_by(found, trial, pid=2**22 + 1)  # beyond the largest pid
    assert found.is_over()
    assert states(found) == ["FAIL"] * 3
    last = found.study.get_trials()[2].user_attrs
    assert last["failure"] == "its process died, 3 times at this point: free memory"
    assert "reaped" not in last


def test_interruptions_are_no_deaths(tmp_path: Path) -> None:
    found = claims(tmp_path, trials=1)
    for _ in range(5):
        found.give_back(found.take().number, "interrupted")
    assert states(found) == ["FAIL"] * 5 + ["WAITING"]
    assert found.take().number == 5


def test_two_reapers_queue_a_point_once(tmp_path: Path) -> None:
    first, second = claims(tmp_path), claims(tmp_path)
    trial = first.take()
    owned_by(first, trial, pid=2**22 + 1)
    first.is_over()
    second.is_over()
    assert states(second) == ["FAIL", "WAITING"]


def test_a_trial_that_died_before_it_had_a_point_is_drawn_again(tmp_path: Path) -> None:
    found, other = claims(tmp_path / "a"), claims(tmp_path / "b")
    found.study.ask()  # killed here
    assert found.take().params == other.take().params
    assert states(found) == ["FAIL", "RUNNING"]


def test_brackets_do_not_depend_on_numbers() -> None:
    shares = [bracket("s", {"turn": turn}, 3) for turn in range(3000)]
    counts = [shares.count(number) / 3000 for number in range(3)]
    assert counts == pytest.approx([9 / 17, 5 / 17, 3 / 17], abs=0.05)


class Silent:
    """A listener and mirror that notes only how runs ended."""

    def __init__(self) -> None:
        self.finished: list[tuple[str, str]] = []

    def finish(self, key: str, outcome: str = "") -> None:
        self.finished.append((key, outcome))

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: None


def test_a_stopped_run_keeps_its_last_epoch_and_gives_its_lease_back(
    tiny_npz: Path, store: Store, tmp_path: Path
) -> None:
    import torch

    run = tiny.plain(tiny.data(tiny_npz), epochs=4)
    silent = Silent()

    def watch(run: Any, line: Any) -> None:
        if line["epoch"] == 2:
            raise Stopped("enough", "pruned")

    engine = Engine(store, tmp_path, torch.device("cpu"), silent, silent, watch=watch)
    with pytest.raises(Stopped, match="enough"):
        engine.execute(plan_of(run, "test"))
    folder = store.folder(run)
    assert folder.status() == "partial"
    assert len(folder.history()) == 2
    assert folder.provenance()[-1]["stop"]
    assert silent.finished == [(run.key, "pruned")]
    engine = Engine(store, tmp_path, torch.device("cpu"), silent, silent)
    assert engine.execute(plan_of(run, "test")) == {run.key: "done"}
    whole = tiny.trained(run, Store(tmp_path / "other").open())
    assert tiny.content(folder) == tiny.content(whole)


def test_w_and_b_shows_that_a_run_was_pruned(tmp_path: Path) -> None:
    ends: list[int] = []
    segment = Segment.__new__(Segment)
    segment.folder, segment.older = tmp_path, []
    segment.run = SimpleNamespace(
        summary={}, dir=str(tmp_path), finish=lambda exit_code: ends.append(exit_code)
    )
    segment.tail = SimpleNamespace(read=list)
    segment.finish("pruned")
    assert segment.run.summary["status"] == "pruned"
    assert ends == [0]


def test_a_command_that_is_killed_whole_gives_up_no_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = claims(tmp_path, trials=1)
    for number in range(5):
        monkeypatch.setattr(module, "this_command", lambda number=number: f"command {number}")
        owned_by(found, found.take(), pid=2**22 + 1)
    monkeypatch.setattr(module, "this_command", lambda: "the last one")
    assert not found.is_over()
    assert states(found) == ["FAIL"] * 5 + ["WAITING"]


def test_a_worker_belongs_to_the_command_that_started_it() -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(module.this_command) == module.this_command()
    alone = "from ekd.sweep.claims import this_command; print(this_command())"
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True)
    assert done.stdout.strip() != module.this_command()
