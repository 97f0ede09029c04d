"""Whatever W&B does, a run is the same, and the command says in a sentence what W&B lacks."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny
from mirrored_run import eventually
from surroundings import ekd_run, living_in, said

WORKING = """
import os, time
class Run:
    dir, resumed, step, summary = '.', False, 0, {}
    def define_metric(self, *names, **options): pass
    def log(self, row, step, commit): pass # log
    def finish(self, exit_code): pass # finish
Settings = dict
def init(**options): return Run() # init
def teardown(): pass
pass # import
"""
RAISES, HANGS, DIES = "raise OSError('disk full')", "time.sleep(1000)", "os._exit(1)"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory, tiny_npz: Path) -> dict[str, Any]:
    """A run's content where nothing of W&B was there."""
    folder = tmp_path_factory.mktemp("untouched")
    return trained(folder, tiny_npz, "--wandb", "disabled")[1]


def trained(folder: Path, source: Path, *options: str, **surroundings: Any) -> tuple[str, Any]:
    """Train one run; give what the command said, and the run's content."""
    spec = tiny.write_spec(folder, source, epochs=2)
    process = ekd_run(folder, str(spec), "--only", "teachers", *options, **surroundings)
    assert processes.code(process) == 0
    return said(folder, process), tiny.content(tiny.two_runs(folder / "runs")["plain"])


DISK, EARLY = "OSError: disk full", "the mirror process ended early"
LATE = "the mirror process did not end in time and was stopped"


@pytest.mark.parametrize(
    ("place", "fault", "reason"),
    [
        ("import", "raise ImportError('no wandb')", "ImportError: no wandb"),
        ("log", RAISES, DISK),
        ("log", DIES, EARLY),
        ("init", HANGS, LATE),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ("init", RAISES, DISK),
                ("finish", RAISES, DISK),
                ("import", HANGS, LATE),
                ("log", HANGS, LATE),
                ("finish", HANGS, LATE),
            ]
        ),
    ],
)
def test_whatever_fails_or_hangs_in_w_and_b_the_run_is_the_same_and_a_sentence_says_so(
    tmp_path: Path,
    tiny_npz: Path,
    untouched: dict[str, Any],
    place: str,
    fault: str,
    reason: str,
) -> None:
    (tmp_path / "fake/wandb").mkdir(parents=True)
    source = re.sub(rf"(pass|return Run\(\)) # {place}", fault, WORKING)
    assert source != WORKING
    (tmp_path / "fake/wandb/__init__.py").write_text(source)
    environment = {"PYTHONPATH": str(tmp_path / "fake")}
    text, content = trained(tmp_path, tiny_npz, environment=environment, drain_seconds=1.0)
    assert content == untouched
    (line,) = [line for line in text.splitlines() if line.startswith("W&B")]
    assert f" is not fully in W&B: {reason} (see " in line
    assert line.endswith("; its history.jsonl lacks nothing.")
    eventually(lambda: living_in(tmp_path / "runs") == [])


@contextlib.contextmanager
def silent_address(listens: bool) -> Iterator[str]:
    """An address where nobody answers: its port is closed, or it takes calls and says nothing."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        if listens:
            there.listen(100)
        yield f"http://127.0.0.1:{there.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("listens", [False, True])
def test_online_without_a_network_the_run_is_the_same_and_the_command_ends(
    tmp_path: Path, tiny_npz: Path, untouched: dict[str, Any], listens: bool
) -> None:
    with silent_address(listens) as address:
        environment = {"WANDB_API_KEY": "0123456789" * 4, "WANDB_BASE_URL": address}
        text, content = trained(tmp_path, tiny_npz, "--wandb", "online", environment=environment)
    assert content == untouched
    (line,) = [line for line in text.splitlines() if line.startswith("W&B")]
    assert " is not fully in W&B: the mirror process did not end in time" in line
    eventually(lambda: living_in(tmp_path / "runs") == [])
