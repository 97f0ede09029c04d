"""The engine: teachers first, each run once, and one that fails harms only its children."""

from __future__ import annotations

import io
import json
import os
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from faulty import Faulty

from ekd.engines import Console, Engine, all_done, forget_failures
from ekd.engines.process import DeviceLost, revision
from ekd.plan import Planned, generation, lineage
from ekd.spec import EnvironmentProblem, Parent, Run
from ekd.store import Lease, Store, acquire
from ekd.store.lease import Holder, LeaseLost
from ekd.tracking import Mirror


def plan_of(*runs: Run) -> list[Planned]:
    wanted = {run.key: run for asked in runs for run in lineage(asked)}
    shown = {run.key for run in runs}
    entries = [Planned(run, ("test",), run.key not in shown) for run in wanted.values()]
    return sorted(entries, key=lambda entry: generation(entry.run))


def engine(root: Path) -> Engine:
    store = Store(root).open()
    console = Console(2, lambda run: run.key, io.StringIO())
    mirror = Mirror(root, "disabled")
    return Engine(store, root, torch.device("cpu"), mirror, console)


def execute(root: Path, plan: list[Planned]) -> tuple[list[str], str]:
    """Give the states in the order of the plan, and what the console said."""
    chosen = engine(root)
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
    store = Store(tmp_path)
    forget_failures(plan, store)
    states, said = execute(tmp_path, plan)
    assert states == [kind, "blocked", "done"]
    assert said.count(f" {kind}: ") == 1  # once, not for ever
    broken.unlink()
    assert execute(tmp_path, plan)[0] == [kind, "blocked", "done"]
    forget_failures(plan, store)
    assert execute(tmp_path, plan)[0] == ["done", "done", "done"]
    assert not (Store(tmp_path).folder(runs[0]).path / "failure.json").exists()


def test_a_failure_that_takes_the_device_with_it_fails_no_other_run(
    tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: torch.device) -> None:
        raise DeviceLost("the device is lost")

    broken = tmp_path / "broken"
    broken.touch()
    bad, _, other = failing(tiny.data(tiny_npz), broken)
    monkeypatch.setattr("ekd.engines.local.check_device", lost)
    with pytest.raises(DeviceLost):
        execute(tmp_path, plan_of(bad, other))
    store = Store(tmp_path)
    assert [store.folder(run).status() for run in (bad, other)] == ["failed", "missing"]


def test_what_another_process_just_failed_is_not_tried_without_retry(
    tiny_npz: Path, tmp_path: Path
) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=1)
    chosen = engine(tmp_path)
    chosen.store.folder(run).write_failure("failed", "elsewhere", "")
    assert chosen._attempt(Planned(run, ("test",), False))
    assert chosen.store.folder(run).failure()["message"] == "elsewhere"


def test_failures_are_forgotten_where_no_process_is_at_work(tiny_npz: Path, tmp_path: Path) -> None:
    runs = [tiny.plain(tiny.data(tiny_npz), seed) for seed in range(4)]
    held, damaged, missing, fails = (Store(tmp_path).open().folder(run) for run in runs)
    for folder in (held, damaged, fails):
        folder.write_failure("failed", "elsewhere", "")
    (damaged.path / "failure.json").write_text("{")
    with acquire(held.path) as lease:  # type: ignore[union-attr]
        forget_failures(plan_of(*runs), Store(tmp_path))
        lease.check()
    states = [folder.kept() for folder in (held, damaged, fails)]
    assert states == ["failed", "missing", "missing"]
    assert not missing.path.exists()


def test_what_killed_processes_left_is_removed(tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=1)
    fails = failing(tiny.data(tiny_npz), tmp_path)[0]
    execute(tmp_path, plan_of(run))
    done, begun = (Store(tmp_path).folder(one).path for one in (run, fails))
    begun.mkdir()
    for left in (done / "checkpoint.json", done / ".x.0.tmp", begun / ".weights.0.tmp"):
        left.write_text("")
    assert execute(tmp_path, plan_of(run, fails))[0] == ["done", "failed"]
    kept = {"history.jsonl", "lease.lock", "provenance.json", "result.json", "spec.json"}
    kept |= {"test_outputs.npz", "weights.safetensors"}
    assert {path.name for path in done.iterdir()} == kept
    assert not list(begun.glob(".*"))  # also where nothing came of it


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
    checks: list[int] = []

    class Lost(Lease):
        def check(self) -> None:
            checks.append(len(checks))
            if checks[-1] == 5:  # as if this process had been suspended
                raise LeaseLost
            super().check()

    monkeypatch.setattr("ekd.store.lease.Lease", Lost)
    states, said = execute(tmp_path, plan_of(run))
    assert states == ["done"]
    assert said.count("goes on in another process") == 1
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


def test_a_holder_elsewhere_is_waited_for_while_its_heart_beats(
    tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=1)
    path = Store(tmp_path).open().folder(run).path / "lease.json"
    path.parent.mkdir()
    path.write_text(json.dumps(asdict(replace(Holder.of(os.getpid()), host="elsewhere"))))
    now = [0.0]
    monkeypatch.setattr("ekd.store.lease.monotonic", lambda: now[0])

    def nap(seconds: float) -> None:
        now[0] += 25.0
        if now[0] <= 400:
            os.utime(path, ns=(0, int(now[0])))

    monkeypatch.setattr("ekd.engines.local.time.sleep", nap)
    states, said = execute(tmp_path, plan_of(run))
    assert states == ["done"]
    assert now[0] == 400 + 3 * 25
    assert said.count("waiting for 1 run") == 1


def lines_for(terminal: bool, monkeypatch: pytest.MonkeyPatch, run: Run) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    console = Console(1, lambda run: "name", stream)
    line = {"epoch": 1, "loss": 0.5, "seconds": 600.0, "accuracy": 0.25}
    for epoch in (1, 2, 4):
        console.epoch(run, line | {"epoch": epoch})
    return stream.getvalue()


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(
    tiny_npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=4)
    bars, log = (lines_for(terminal, monkeypatch, run) for terminal in (True, False))
    shown = "[#####...............] epoch 1/4, 30 min left, name, accuracy 25.00 %, loss 0.5000"
    assert shown[:77] in bars
    assert "[##########..........] epoch 2/4, 20 min left" in bars
    assert "\n" not in bars
    text = "epoch 1/4, accuracy 25.00 %, loss 0.5000, 30 min left"
    assert log.splitlines() == [f"  {run.key} {text}"]
