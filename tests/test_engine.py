"""The engine: teachers first, each run once, and one that fails harms only its children."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny
import torch
from faulty import Faulty

from ekd.engines import Console, Engine, all_done
from ekd.engines.process import revision
from ekd.plan import Planned, generation, lineage
from ekd.spec import EnvironmentProblem, Parent, Run
from ekd.store import Lease, Store, acquire
from ekd.store.lease import Holder
from ekd.tracking import Mirror


def plan_of(*runs: Run) -> list[Planned]:
    wanted = {run.key: run for asked in runs for run in lineage(asked)}
    shown = {run.key for run in runs}
    entries = [Planned(run, ("test",), run.key not in shown) for run in wanted.values()]
    return sorted(entries, key=lambda entry: generation(entry.run))


def engine(root: Path, *, retry: bool = False) -> Engine:
    store = Store(root).open()
    console = Console(2, lambda run: run.key, io.StringIO())
    mirror = Mirror(root, "disabled")
    return Engine(store, root, torch.device("cpu"), mirror, console, retry=retry)


def execute(root: Path, plan: list[Planned], *, retry: bool = False) -> tuple[list[str], str]:
    """Give the states in the order of the plan, and what the console said."""
    chosen = engine(root, retry=retry)
    states = chosen.execute(plan)
    assert isinstance(chosen.console.stream, io.StringIO)
    return [states[entry.run.key] for entry in plan], chosen.console.stream.getvalue()


def test_teachers_are_trained_before_their_students(tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny.ekd(tiny.data(tiny_npz), 2, epochs=1)
    plan = plan_of(run)
    states, said = execute(tmp_path, list(reversed(plan)))
    assert states == ["done"] * 3
    starts = [line.split()[1] for line in said.splitlines() if line.startswith("[")]
    assert starts[-1] == run.key
    assert set(starts[:2]) == {parent.run.key for parent in run.teachers}


def test_a_finished_run_is_not_trained_again(tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=1)
    execute(tmp_path, plan_of(run))
    folder = Store(tmp_path).folder(run)
    before = {path.name: path.stat().st_mtime_ns for path in folder.path.glob("*.*")}
    assert before["result.json"]
    states, said = execute(tmp_path, plan_of(run))
    assert (states, said) == (["done"], "")
    after = {path.name: path.stat().st_mtime_ns for path in folder.path.glob("*.*")}
    assert after == before


def test_a_run_tells_where_its_numbers_come_from(tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=1)
    execute(tmp_path, plan_of(run))
    folder = Store(tmp_path).folder(run)
    (session,) = folder.provenance()
    assert session["device"] == "cpu"
    assert session["threads"] == 1
    assert session["versions"]["torch"] == torch.__version__
    assert session["start"] <= session["stop"]
    assert json.loads((folder.path / "spec.json").read_text()) == run.resolved()


def failing(source: Any, broken: Path, *, diverges: bool = False) -> list[Run]:
    """A run that fails, one that learns from it, and one that has nothing to do with it."""
    method = Faulty(broken=str(broken), diverges=diverges)
    bad = tiny.plain(source, epochs=1).model_copy(update={"method": method})
    child = tiny.ekd(source, 1, epochs=1)
    child = child.model_copy(update={"teachers": (Parent(run=bad),)})
    return [bad, child, tiny.plain(source, 7, epochs=1)]


@pytest.mark.parametrize("diverges", [False, True])
def test_a_failure_blocks_its_children_alone_and_can_be_tried_again(
    tiny_npz: Path, tmp_path: Path, diverges: bool
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    runs = failing(tiny.data(tiny_npz), broken, diverges=diverges)
    plan = [Planned(run, ("test",), False) for run in runs]
    kind = "diverged" if diverges else "failed"
    states, said = execute(tmp_path, plan)
    assert states == [kind, "blocked", "done"]
    assert not all_done(states)
    assert f"{runs[0].key} {kind}: " in said
    failure = Store(tmp_path).folder(runs[0]).failure()
    assert failure["kind"] == kind
    assert diverges or "a shape is wrong" in failure["traceback"]

    assert execute(tmp_path, plan) == ([kind, "blocked", "done"], "")  # no retry was asked for
    states, said = execute(tmp_path, plan, retry=True)
    assert states == [kind, "blocked", "done"]
    assert said.count(f" {kind}: ") == 1  # once, not for ever
    broken.unlink()
    assert execute(tmp_path, plan)[0] == [kind, "blocked", "done"]
    assert execute(tmp_path, plan, retry=True)[0] == ["done", "done", "done"]
    assert not (Store(tmp_path).folder(runs[0]).path / "failure.json").exists()


def test_what_another_process_just_failed_is_not_tried_without_retry(
    tiny_npz: Path, tmp_path: Path
) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=1)
    chosen = engine(tmp_path)
    chosen.store.folder(run).write_failure("failed", "elsewhere", "")
    assert chosen._attempt(Planned(run, ("test",), False)) == "trained"
    assert chosen.store.folder(run).failure()["message"] == "elsewhere"


def test_a_damaged_teacher_stops_its_students_alone(tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny.ekd(tiny.data(tiny_npz), 1, epochs=1)
    teacher, other = run.teachers[0].run, tiny.plain(tiny.data(tiny_npz), 7, epochs=1)
    execute(tmp_path, plan_of(teacher))
    weights = Store(tmp_path).folder(teacher).path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    chosen = engine(tmp_path)
    states = chosen.execute(plan_of(run, other))
    assert (states[run.key], states[other.key]) == ("missing", "done")  # the lease was given back
    assert isinstance(chosen.unavailable[run.key], EnvironmentProblem)
    assert "missing or damaged" in str(chosen.unavailable[run.key])


def test_a_run_whose_history_was_cut_off_stops_alone(tiny_npz: Path, tmp_path: Path) -> None:
    run, other = (tiny.plain(tiny.data(tiny_npz), seed, epochs=2) for seed in (0, 7))
    store = Store(tmp_path).open()
    next(tiny.epochs(run, store, between=0))  # stopped after its first epoch
    (store.folder(run).path / "history.jsonl").write_text("")
    chosen = engine(tmp_path)
    states = chosen.execute(plan_of(run, other))
    assert (states[run.key], states[other.key]) == ("partial", "done")
    assert "lacks epochs" in str(chosen.unavailable[run.key])


def test_the_revision_of_a_checkout_changes_with_new_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ekd").mkdir()
    (tmp_path / "ekd" / "__init__.py").write_text("")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr("ekd.__file__", str(tmp_path / "ekd" / "__init__.py"))

    def dirty() -> str:
        revision.cache_clear()
        found = revision()
        assert found is not None
        return found["dirty"]

    try:
        assert dirty() == ""
        (tmp_path / "ekd" / "mine.py").write_text("weight = 1")
        first = dirty()
        (tmp_path / "ekd" / "mine.py").write_text("weight = 2")
        assert len({"", first, dirty()}) == 3
    finally:
        revision.cache_clear()


def test_a_run_taken_over_by_another_process_is_left_to_it(
    tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=3)
    lost = []

    class Lost(Lease):
        def __init__(self, path: Path, holder: Holder) -> None:
            super().__init__(path, holder)
            self.lost = not lost  # the first time only, as if this process had been suspended
            lost.append(self)

    monkeypatch.setattr("ekd.store.lease.Lease", Lost)
    states, said = execute(tmp_path, plan_of(run))
    assert states == ["done"]
    assert "goes on in another process" in said
    assert [line["epoch"] for line in Store(tmp_path).folder(run).history()] == [1, 2, 3]


def test_a_run_that_another_process_holds_is_waited_for(
    tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=1)
    folder = Store(tmp_path).open().folder(run)
    lease = acquire(folder.path)
    assert lease is not None
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            lease.release()

    monkeypatch.setattr("ekd.engines.local.time.sleep", nap)
    states, said = execute(tmp_path, plan_of(run))
    assert states == ["done"]
    assert len(naps) == 2
    assert said.count("waiting for 1 run") == 1


def together(folder: Path, spec: Path, count: int) -> list[Any]:
    command = [str(spec), "--root", str(folder / "runs"), "--wandb", "disabled"]
    return [processes.ekd_run(folder, *command, "--device", "cpu") for _ in range(count)]


def test_two_processes_train_each_run_once(tiny_npz: Path, tmp_path: Path) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, epochs=3)
    started = together(tmp_path, spec, 2)
    assert [processes.code(process) for process in started] == [0, 0]
    folders = tiny.two_runs(tmp_path / "runs")
    assert set(folders) == {"plain", "ekd"}
    for folder in folders.values():
        assert len(folder.provenance()) == 1
        assert [line["epoch"] for line in folder.history()] == [1, 2, 3]
    said = "".join(path.read_text() for path in tmp_path.glob("err-*"))
    assert sum(line.startswith("[") for line in said.splitlines()) == 2


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(
    tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.plain(tiny.data(tiny_npz))
    line = {"epoch": 1, "loss": 0.5, "seconds": 600.0, "accuracy": 0.25}
    texts = []
    for terminal in (True, False):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda terminal=terminal: terminal)
        console = Console(1, lambda run: "name", stream)
        console.epoch(run, line, epochs=4)
        console.epoch(run, line | {"epoch": 2}, epochs=4)
        texts.append(stream.getvalue())
    assert (
        "[#####...............]  epoch 1/4, loss 0.5000, accuracy 25.00 %, 30 min left" in texts[0]
    )
    assert "[##########..........]  epoch 2/4" in texts[0]
    assert "\n" not in texts[0]
    assert texts[1].splitlines() == ["  epoch 1/4, loss 0.5000, accuracy 25.00 %, 30 min left"]
