"""kill -9 at any operation on the disk: the same command goes on, to the same bits."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import crashing
import processes
import pytest
import tiny
import torch
from crashing import NEVER, Disk, Moment
from test_resume import command, wait_for

from ekd.store import RunFolder, Store, verify

EPOCHS, STEPS = 2, 2


def _dying(folder: str, arguments: tuple[str, ...], at: int, moment: Moment, seen: str) -> None:
    """Run `ekd-run` with a checkpoint after every step, and die at one operation on the disk."""
    from ekd.engines import local

    local.Saver = partial(local.Saver, seconds=0, ratio=0)  # type: ignore[misc]
    crashing.note_steps(Path(folder) / "steps")
    disk = Disk(Path(folder) / "runs", at, moment)
    disk.watch()
    try:
        processes.command(folder, arguments)
    finally:
        Path(seen).write_text("\n".join(disk.seen))


@dataclass
class Crashed:
    """A folder in which `ekd-run` is killed and started again."""

    folder: Path
    spec: Path
    kills: int = 0

    @property
    def root(self) -> Path:
        return self.folder / "runs"

    def start(self, at: int = NEVER, moment: Moment = "before") -> BaseProcess:
        """Start `ekd-run` with a checkpoint after every step, to die at the at-th operation."""
        arguments = tuple(command(self.spec, self.root))
        seen = str(self.folder / "seen")
        return processes.start(_dying, str(self.folder), arguments, at, moment, seen)

    def run(self, at: int = NEVER, moment: Moment = "before") -> int:
        return processes.code(self.start(at, moment))

    def run_for(self, seconds: float) -> int:
        """Run it, and kill it after some seconds."""
        process = self.start()
        process.join(seconds)
        process.kill()
        return processes.code(process)

    def note_kill(self, code: int) -> None:
        assert code == -signal.SIGKILL
        self.kills += 1
        if (self.root / "store.json").exists():
            assert verify(Store(self.root)).problems == ()  # a kill alone damages nothing

    def operations(self) -> list[str]:
        return (self.folder / "seen").read_text().splitlines()

    def steps(self) -> list[str]:
        path = self.folder / "steps"
        return path.read_text().splitlines() if path.exists() else []


def check_same(found: Crashed, whole: Crashed) -> None:
    """The same runs, bit by bit; no step twice but those under way at a kill; nothing left."""
    ours, theirs = tiny.two_runs(found.root), tiny.two_runs(whole.root)
    assert set(ours) == set(theirs) == {"plain", "ekd"}
    for method, folder in theirs.items():
        assert tiny.content(ours[method]) == tiny.content(folder)
    assert set(found.steps()) == set(whole.steps())
    assert len(found.steps()) - len(set(found.steps())) <= found.kills
    check_tidy(found.root)


def check_tidy(root: Path) -> None:
    store = Store(root)
    assert verify(store).problems == ()
    assert len(store.requests()) == 1
    assert not [path for path in root.rglob("*") if path.name.endswith(".tmp")]
    for folder in tiny.two_runs(root).values():
        assert folder.status() == "done"
        assert not list(folder.path.glob("checkpoint*"))
        assert not folder.leftovers()


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spec")
    return tiny.write_spec(folder, tiny.write_npz(folder / "tiny.npz", 16 * STEPS), EPOCHS)


@pytest.fixture(scope="module")
def whole(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> Crashed:
    """Two runs that nobody stopped, and what they did to the disk."""
    made = Crashed(tmp_path_factory.mktemp("whole"), spec)
    assert made.run() == 0
    assert len(made.steps()) == len(set(made.steps())) == 2 * EPOCHS * STEPS
    return made


POINTS: dict[str, tuple[str, int, Moment]] = {
    "a request is written": ("rename requests/*.json", 1, "before"),
    "a lease is taken": ("flush */lease.json", 1, "torn"),
    "a checkpoint is half written inside an epoch": ("flush */checkpoint-*.pt", 3, "torn"),
    "a line of the history is half written": ("flush */history.jsonl", 2, "torn"),
    "an epoch is in the history and not in a checkpoint": ("open */checkpoint-*.pt", 6, "before"),
    "the weights are there and the outputs are not": ("open */test_outputs.npz", 1, "before"),
    "the result is there, its checkpoints too": ("remove */checkpoint-*.pt", 5, "before"),
}
"""Where to die: the operation, which one of its kind, and how."""


def position(operations: list[str], operation: str, number: int) -> int:
    """Find the number-th operation of a kind, from 1."""
    same = [i for i, text in enumerate(operations, 1) if text == operation]
    assert len(same) >= number, f"only {len(same)} times: {operation}"
    return same[number - 1]


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_an_operation_on_the_disk_changes_no_bit(
    spec: Path, whole: Crashed, tmp_path: Path, point: str
) -> None:
    operation, number, moment = POINTS[point]
    crashed = Crashed(tmp_path, spec)
    crashed.note_kill(crashed.run(position(whole.operations(), operation, number), moment))
    assert crashed.run() == 0
    check_same(crashed, whole)


@pytest.mark.slow
def test_a_kill_at_the_same_operation_of_every_session_still_ends(
    spec: Path, whole: Crashed, tmp_path: Path
) -> None:
    """Two checkpoints in each session: every one of them goes on from where the last one was."""
    at = position(whole.operations(), "flush */checkpoint.json", 3)
    crashed = Crashed(tmp_path, spec)
    while (code := crashed.run(at, "torn")) != 0:
        crashed.note_kill(code)
        assert crashed.kills < 30
    assert crashed.kills >= 3
    check_same(crashed, whole)


@pytest.mark.slow
def test_a_kill_at_any_operation_on_the_disk_changes_no_bit(
    spec: Path, whole: Crashed, tmp_path: Path
) -> None:
    operations = list(enumerate(whole.operations(), 1))
    assert len(operations) > 100
    for two in (operations[i : i + 2] for i in range(0, len(operations), 2)):
        crashed = [Crashed(made(tmp_path / str(at)), spec) for at, _ in two]
        dying = [
            one.start(at, "torn" if operation.startswith("flush") else "before")
            for one, (at, operation) in zip(crashed, two, strict=True)
        ]
        for one, process in zip(crashed, dying, strict=True):
            one.note_kill(processes.code(process))
        for process in [one.start() for one in crashed]:
            assert processes.code(process) == 0
        for one in crashed:
            check_same(one, whole)
            shutil.rmtree(one.folder)


@pytest.mark.crash
def test_hundreds_of_kills_at_random_instants_change_no_bit(
    spec: Path, whole: Crashed, tmp_path: Path
) -> None:
    chance, kills, number = random.Random(0), 0, 0
    start = time.monotonic()
    assert Crashed(made(tmp_path / "timed"), spec).run() == 0
    lasts = time.monotonic() - start
    while kills < 300:
        crashed = Crashed(made(tmp_path / str(number)), spec)
        while (code := crashed.run_for(chance.uniform(0, lasts))) != 0:
            crashed.note_kill(code)
        check_same(crashed, whole)
        kills, number = kills + crashed.kills, number + 1


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# A long run under a machine that comes and goes


def _for_a_while(folder: str, arguments: tuple[str, ...], seconds: float) -> None:
    """Run `ekd-run` for some seconds of training, by the clock of what this process computes."""
    from ekd.engines import local
    from ekd.trainer import state

    state.time = SimpleNamespace(monotonic=time.process_time)  # type: ignore[assignment]
    saver = local.Saver
    local.Saver = lambda kept: saver(kept, 0.1, 0, time.process_time())  # type: ignore[misc, assignment]
    train = local.train

    def limited(*given: Any) -> Iterator[dict[str, Any]]:
        signal.setitimer(signal.ITIMER_PROF, seconds)  # ends the process as SIGKILL does
        yield from train(*given)

    local.train = limited
    processes.command(folder, arguments)


def reached(root: Path) -> tuple[int, int, int]:
    """How far a store with one run is: done, epochs and steps that a checkpoint keeps."""
    for path in root.glob("*/spec.json"):
        folder = RunFolder(root, path.parent.name)
        content = folder.read_checkpoint()
        if folder.kept() == "done" or content is None:
            return int(folder.kept() == "done"), 0, 0
        saved = torch.load(io.BytesIO(content), weights_only=True)
        return 0, saved["epoch"], saved["step"]
    return 0, 0, 0


def long_run(folder: Path, images: int) -> tuple[str, ...]:
    """The options of a plain run with long epochs."""
    spec = tiny.write_spec(folder, tiny.write_npz(folder / "long.npz", images), 2)
    return (*command(spec, folder / "runs"), "--where", "method.name=plain")


@pytest.mark.slow
def test_a_run_that_dies_every_half_second_of_training_ends(tmp_path: Path) -> None:
    arguments = long_run(tmp_path, images=1280)
    steps, before = [], (0, 0, 0)
    while True:
        process = processes.start(_for_a_while, str(tmp_path), arguments, 0.5)
        code = processes.code(process)
        if code == 0:
            break
        assert code == -signal.SIGPROF
        now = reached(tmp_path / "runs")
        steps.append(now)
        assert now > before, "a session without progress"
        before = now
    assert steps, "it was never killed"
    assert any(step for _, _, step in steps), "no checkpoint inside an epoch"
    assert verify(Store(tmp_path / "runs")).problems == ()


@pytest.mark.slow
def test_a_run_that_is_killed_every_15_seconds_ends(tmp_path: Path) -> None:
    """With the checkpoints of a real run, and epochs that take longer than a session."""
    arguments = [
        sys.executable,
        "-c",
        "from ekd.cli.run import main; main()",
        *long_run(tmp_path, images=40_000),
    ]
    before, kills = (0, 0, 0), 0
    said = tmp_path / "said"
    while kills < 60:
        with said.open("w") as stream:
            process = subprocess.Popen(arguments, cwd=tmp_path, stdout=stream, stderr=stream)
        wait_for(lambda process=process: "[1/1]" in said.read_text() or process.poll() is not None)
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert process.wait(10) == 0, said.read_text()  # the start took the other five
            break
        process.kill()
        process.wait()
        kills += 1
        now = reached(tmp_path / "runs")
        assert now > before, "a session without progress"
        before = now
    assert kills >= 2
    assert verify(Store(tmp_path / "runs")).problems == ()
