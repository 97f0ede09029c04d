from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from mirrored_run import (
    ABOUT,
    KEY,
    alive,
    eventually,
    prepare,
    process_id,
    train,
)

from ekd.tracking import About, Mirror

HANGING = "import time\nSettings = dict\ndef init(**options): time.sleep(1000)"
WORKING = """
def note(*what):
    with open("../calls", "a") as calls: print(*what, file=calls)
class Run:
    dir, resumed, step, summary = '.', False, 0, {}
    def define_metric(self, *names, **options): pass
    def log(self, row, step, commit): note("logged", step)
    def finish(self, exit_code): note("finished", exit_code)
Settings = dict
def init(**options): return Run()
def teardown(): pass
"""
FAILING = WORKING.replace('note("logged", step)', 'raise OSError("disk full")')


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return prepare(tmp_path, monkeypatch)


def fake_wandb(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "fake" / "wandb").mkdir(parents=True)
    (folder / "fake" / "wandb" / "__init__.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder / "fake"))


def test_without_wandb_closing_says_so_in_one_sentence(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wandb(tmp_path, "raise ImportError('wandb is not for you')", monkeypatch)
    began = time.monotonic()
    with Mirror(root, "offline") as mirror:
        for key in (KEY, "f" * 16):
            mirror.start(key, About(key, "g", "student", "n", (), {}))
            mirror.finish(key)
        (problem,) = mirror.close()
    assert time.monotonic() - began < 5
    assert problem.startswith(f"{KEY} and 1 more are not fully in W&B: ImportError: wandb is not")


def test_a_failing_log_call_is_reported_and_costs_the_trainer_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wandb(tmp_path, FAILING, monkeypatch)
    train(root, range(1, 3))
    with Mirror(root, "offline") as mirror:
        mirror.start(KEY, ABOUT)
        mirror.finish(KEY)
        (problem,) = mirror.close()
    log = mirror.scratch / "log"
    reason = f"OSError: disk full (see {log})"
    assert problem == f"{KEY} is not fully in W&B: {reason}; its history.jsonl lacks nothing."
    assert "Traceback" in log.read_text()


def test_a_hanging_mirror_neither_blocks_start_nor_close(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wandb(tmp_path, HANGING, monkeypatch)
    mirror = Mirror(root, "offline")
    began = time.monotonic()
    mirror.start(KEY, ABOUT)
    hanging = process_id(mirror)
    os.kill(hanging, signal.SIGSTOP)  # not even its reading thread runs: the pipe fills
    large = About(KEY, "g", "student", "n", (), {"filler": "x" * 10_000})
    for _ in range(20):
        mirror.start(KEY, large)
        mirror.finish(KEY)
    assert time.monotonic() - began < 1
    (problem,) = mirror.close(timeout=1)
    assert 1 <= time.monotonic() - began < 3
    assert KEY in problem
    assert not alive(hanging)


def test_a_hanging_init_is_stopped_at_the_timeout(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wandb(tmp_path, HANGING, monkeypatch)
    with Mirror(root, "offline") as mirror:
        mirror.start(KEY, ABOUT)
        began = time.monotonic()
        (problem,) = mirror.close(timeout=1)
        assert 1 <= time.monotonic() - began < 2
    assert "did not end in time" in problem
    mirror.finish(KEY)  # too late, and no error


def test_an_orphan_that_hangs_ends_by_itself(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wandb(tmp_path, HANGING, monkeypatch)
    script = f"""
from pathlib import Path
from ekd.tracking import mirror
mirror.DRAIN_SECONDS = 0.5
mirror.main(Path({str(root)!r}), "offline", Path({str(tmp_path)!r}), 1)
"""
    command = json.dumps({"start": asdict(ABOUT)}) + "\n"
    program = [sys.executable, "-c", script]
    ended = subprocess.run(program, input=command, text=True, timeout=10, check=False)
    assert ended.returncode == -signal.SIGKILL


def test_a_torn_command_ends_the_process_after_it_drained(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wandb(tmp_path, WORKING, monkeypatch)
    train(root, range(1, 3))
    with Mirror(root, "offline") as mirror:
        mirror.start(KEY, ABOUT)
        assert mirror.process is not None
        assert mirror.process.stdin is not None
        mirror.process.stdin.write(b'{"finish": "01{"fin\n')
        eventually(lambda: mirror.process is not None and mirror.process.poll() == 0)
        calls = (mirror.scratch / "calls").read_text().splitlines()
        assert mirror.close(timeout=60) == []
    assert calls == ["logged 1", "logged 2", "finished 1"]


def test_a_dead_mirror_is_replaced_for_the_next_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wandb(tmp_path, WORKING, monkeypatch)
    other = "f" * 16
    (root / other).mkdir()
    train(root, range(1, 3), other)
    with Mirror(root, "offline") as mirror:
        mirror.start(KEY, ABOUT)
        os.kill(process_id(mirror), signal.SIGKILL)
        eventually(lambda: mirror.process is not None and mirror.process.poll() is not None)
        mirror.finish(KEY)
        mirror.start(other, About(other, "g", "student", "n", (), {}))
        mirror.finish(other)
        (problem,) = mirror.close()
    assert problem.startswith(f"{KEY} is not fully in W&B")


def test_what_a_killed_pair_left_is_swept_and_what_the_living_use_is_not(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_wandb(tmp_path, WORKING, monkeypatch)
    dead = root / "wandb" / "mirror-1-aaaaaaaa"
    told = root / "wandb" / "mirror-2-bbbbbbbb"  # its user has been told to look there
    for folder in (dead / "tmp", told):
        folder.mkdir(parents=True)
        (root / "wandb" / folder.relative_to(root / "wandb").parts[0] / "log").touch()
    with Mirror(root, "offline") as first, Mirror(root, "offline") as second:
        first.start(KEY, ABOUT)
        os.kill(process_id(first), signal.SIGKILL)  # its trainer lives, and may start another
        second.start(KEY, ABOUT)
        assert not dead.exists()
        assert told.exists()
        assert (first.scratch / "tmp").exists()


def test_disabled_starts_no_process_and_writes_nothing(root: Path) -> None:
    with Mirror(root, "disabled") as mirror:
        mirror.start(KEY, ABOUT)
        mirror.finish(KEY)
        assert mirror.close(timeout=60) == []
    assert mirror.process is None
    assert not (root / "wandb").exists()


def test_a_store_that_cannot_be_written_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "wandb").write_text("a file where the folder should be")
    with Mirror(tmp_path, "offline") as mirror:
        mirror.start(KEY, ABOUT)
        mirror.finish(KEY)
        (problem,) = mirror.close()
    assert "could not be told" in problem
