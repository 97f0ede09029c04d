"""A training that was stopped anywhere gives, bit by bit, what an uninterrupted one gives."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny
import torch

from ekd.spec import EnvironmentProblem, Run
from ekd.store import Store, sha256
from ekd.trainer import Saver, State, begin, build, finish, train


class Stopped(Exception):
    pass


@dataclass
class StoppingSaver(Saver):
    """Keeps the first offer of a session, or its first at an epoch's end, and stops there."""

    seconds: float = 0.0
    steps: bool = True

    def offer(self, state: State) -> None:
        if self.steps or not state.step:
            super().offer(state)
            raise Stopped


def in_pieces(run: Run, store: Store, *, steps: bool) -> int:
    """Train with fresh objects for every epoch or step; give the number of sessions."""
    sessions = 0
    while True:
        task = tiny.task(run, store)
        task.folder.write_spec(run.resolved())
        state, _ = begin(task, build(run, tiny.CLASSES, store))
        saver = StoppingSaver(task.folder, steps=steps)
        torch.manual_seed(sessions)  # no session may lean on the global generator
        try:
            for _ in train(task, state, saver):
                pass
            finish(task, state)
            return sessions
        except Stopped:
            sessions += 1


def runs(path: Path) -> dict[str, Run]:
    source = tiny.data(path)
    # So high a rate that the second evaluation is no better than the first.
    chosen = tiny.plain(source, 3, epochs=2, selection="best", lr=0.1, milestones=())
    return {"plain": tiny.plain(source, epochs=2), "ekd": tiny.ekd(source, 2, epochs=2),
            "best": chosen}  # fmt: skip


def compare(path: Path, root: Path, name: str, steps: bool) -> None:
    run = runs(path)[name]
    whole, pieces = Store(root / "whole").open(), Store(root / "pieces").open()
    for parent in run.parents():
        tiny.trained(parent.run, whole), tiny.trained(parent.run, pieces)
    tiny.trained(run, whole)
    sessions = in_pieces(run, pieces, steps=steps)
    assert sessions == (8 if steps else 2)  # three steps and an end, twice
    assert tiny.content(pieces.folder(run)) == tiny.content(whole.folder(run))
    selected = [store.folder(run).result()["selected_epoch"] for store in (whole, pieces)]
    assert selected == ([1, 1] if name == "best" else [2, 2])


@pytest.mark.parametrize("steps", [False, True], ids=["epochs", "steps"])
@pytest.mark.parametrize("name", ["plain", "ekd", "best"])
def test_a_training_in_pieces_is_the_uninterrupted_one(
    tiny_npz: Path, tmp_path: Path, name: str, steps: bool
) -> None:
    compare(tiny_npz, tmp_path, name, steps)


def _with_two_threads(path: str, root: str) -> None:
    torch.set_num_threads(2)
    compare(Path(path), Path(root), "ekd", True)


def test_two_threads_give_the_same_bits_again(tiny_npz: Path, tmp_path: Path) -> None:
    child = processes.start(_with_two_threads, str(tiny_npz), str(tmp_path))
    assert processes.code(child) == 0


def stopped_after(run: Run, store: Store, epochs: int) -> None:
    training = tiny.epochs(run, store, between=0)
    for _ in range(epochs):
        next(training)
    training.close()


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    tiny_npz: Path, tmp_path: Path
) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=4)
    store, whole = Store(tmp_path / "a").open(), Store(tmp_path / "b").open()
    stopped_after(run, store, 3)
    folder = store.folder(run)
    newest = folder.path / folder.checkpoints()[0].file
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    state, _ = begin(tiny.task(run, store), build(run, tiny.CLASSES, store))
    assert (state.epoch, state.step) == (2, 3)  # the end of the third epoch is lost, no step is
    assert len(folder.history()) == 2  # of three
    tiny.trained(run, store), tiny.trained(run, whole)
    assert tiny.content(folder) == tiny.content(whole.folder(run))


def test_without_any_good_checkpoint_it_starts_again(tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny.plain(tiny.data(tiny_npz), epochs=3)
    store, whole = Store(tmp_path / "a").open(), Store(tmp_path / "b").open()
    stopped_after(run, store, 1)
    for path in store.folder(run).path.glob("checkpoint-*.pt"):
        path.write_bytes(b"")
    tiny.trained(run, store), tiny.trained(run, whole)
    assert tiny.content(store.folder(run)) == tiny.content(whole.folder(run))


def test_the_threads_of_a_checkpoint_are_known_at_its_resume(
    tiny_npz: Path, tmp_path: Path
) -> None:
    run = tiny.plain(tiny.data(tiny_npz))
    store = Store(tmp_path).open()
    fresh = begin(tiny.task(run, store), build(run, tiny.CLASSES, store))[1]
    stopped_after(run, store, 1)
    resumed = begin(tiny.task(run, store), build(run, tiny.CLASSES, store))[1]
    assert (fresh, resumed) == (None, 1)


@pytest.mark.parametrize("damage", ["another method", "another optimizer", "no archive", "no keys"])
def test_a_checkpoint_of_another_layout_is_one_sentence(
    tiny_npz: Path, tmp_path: Path, damage: str
) -> None:
    run = tiny.plain(tiny.data(tiny_npz))
    store = Store(tmp_path).open()
    task = tiny.task(run, store)
    objective = build(run, tiny.CLASSES, store)
    state, _ = begin(task, objective)
    if damage == "another method":
        objective.register_buffer("queue", torch.zeros(3))
    if damage == "another optimizer":
        state.optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    unlike = io.BytesIO()
    torch.save({}, unlike)
    content = {"no archive": b"state", "no keys": unlike.getvalue()}
    task.folder.write_checkpoint(content.get(damage, state.to_bytes()))
    with pytest.raises(EnvironmentProblem, match=r"does not fit.*go on with that version, or del"):
        begin(task, build(run, tiny.CLASSES, store))


class Times:
    """A clock that goes on by itself while a checkpoint is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, takes: float) -> None:
        self.now = 100.0
        self.takes = takes
        self.writes: list[float] = []
        monkeypatch.setattr("ekd.trainer.state.time.monotonic", lambda: self.now)

    def write_checkpoint(self, content: bytes) -> None:
        self.writes.append(self.now - 100)
        self.now += self.takes


@pytest.mark.parametrize(
    ("takes", "expected"), [(0.1, [5, 10.1, 15.2]), (1.0, [5, 26, 47]), (0.25, [5, 10.25, 15.5])]
)
def test_checkpoints_are_due_by_time_and_by_what_they_cost(
    tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: float,
    expected: list[float],
) -> None:  # fmt: skip
    run = tiny.plain(tiny.data(tiny_npz))
    store = Store(tmp_path).open()
    state, _ = begin(tiny.task(run, store), build(run, tiny.CLASSES, store))
    times = Times(monkeypatch, takes)
    saver = Saver(times, last=times.now)  # type: ignore[arg-type]
    while times.now < 100 + expected[-1] + takes:
        state.step = 1 - state.step  # at an epoch's end or inside an epoch is the same
        saver.offer(state)
        times.now = round(times.now + 0.05, 6)
    assert times.writes == pytest.approx(expected, abs=0.051)


def command(spec: Path, root: Path) -> list[str]:
    return [str(spec), "--root", str(root), "--wandb", "disabled", "--device", "cpu"]


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def _stamps(root: Path) -> dict[str, int]:
    stamps = {}
    for path in root.glob("*/checkpoint.json"):
        with contextlib.suppress(FileNotFoundError):  # the run ended just now
            stamps[path.parent.name] = path.stat().st_mtime_ns
    return stamps


def kill_in_training(folder: Path, spec: Path, root: Path, delay: float) -> None:
    """Start `ekd-run`, let it keep a checkpoint of its own, and kill it a moment later."""
    before = _stamps(root)
    process = processes.ekd_run(folder, *command(spec, root))

    def trains() -> bool:
        found = _stamps(root)
        return bool(found) and found != before

    wait_for(trains)
    time.sleep(delay)
    if process.exitcode is None:
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()


@pytest.mark.slow
def test_kill_9_at_random_instants_changes_no_bit(tiny_npz: Path, tmp_path: Path) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, epochs=12)
    chance = random.Random(0)
    for _ in range(5):
        kill_in_training(tmp_path, spec, tmp_path / "killed", chance.uniform(0, 0.15))
    for root in ("killed", "whole"):
        process = processes.ekd_run(tmp_path, *command(spec, tmp_path / root))
        assert processes.code(process) == 0
    found, expected = (tiny.two_runs(tmp_path / name) for name in ("killed", "whole"))
    assert set(found) == set(expected) == {"plain", "ekd"}
    sessions = sum(len(folder.provenance()) for folder in found.values())
    assert sessions >= 2 + 2  # of five; a kill between the two runs adds none
    for method, folder in expected.items():
        assert tiny.content(found[method]) == tiny.content(folder)
        weights = found[method].result()["files"]["weights.safetensors"]
        assert weights == sha256(folder.path / "weights.safetensors")
