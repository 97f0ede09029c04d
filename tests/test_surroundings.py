"""Interruptions, and streams, locales and shells of every kind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import hardship
import pytest
import tiny
from hardship import Hardship
from trials import (
    EPOCHS,
    MANY,
    Reference,
    command,
    contents,
    sentence,
    undisturbed,
)

__all__ = ["undisturbed"]


def past_two_epochs(runs: Path) -> bool:
    """Tell whether a run has a checkpoint and two finished epochs."""
    kept = {path.parent for path in runs.glob("*/checkpoint.json")}
    lines = {path.parent: path.read_text().count("\n") for path in runs.glob("*/history.jsonl")}
    return any(lines.get(folder, 0) > 2 for folder in kept)


@pytest.mark.parametrize(
    "signals",
    [
        [signal.SIGINT],
        pytest.param([signal.SIGINT, signal.SIGINT], marks=pytest.mark.slow),
        pytest.param([signal.SIGTERM], marks=pytest.mark.slow),
        [signal.SIGHUP],
    ],
    ids=["ctrl-c", "ctrl-c twice", "term", "hangup"],
)
def test_an_interruption_ends_soon_and_the_same_command_goes_on(
    tiny_npz: Path, tmp_path: Path, undisturbed: Reference, signals: list[signal.Signals]
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, MANY)
    arguments = ["ekd-run", str(spec), "--wandb", "disabled", "--device", "cpu"]
    child = hardship.start(tmp_path, *arguments)
    deadline = time.monotonic() + 120
    while not past_two_epochs(tmp_path / "runs"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for number in signals:
        child.send(number)
    ended = child.ended(timeout=20)
    assert ended.code == 3
    assert ended.err.rstrip().endswith("interrupted: the same command goes on from here")
    assert "Traceback" not in ended.err
    ended = command(tmp_path, spec)
    assert ended.code == 0
    assert "resumed after epoch" in ended.err
    assert contents(tmp_path) == undisturbed(MANY)


@pytest.mark.parametrize(
    "streams",
    [
        ("closed", ""),
        ("", "closed"),
        ("", "/dev/full"),
    ],
)
@pytest.mark.slow
def test_a_training_whose_log_cannot_be_written_goes_on(
    tiny_npz: Path, tmp_path: Path, undisturbed: Reference, streams: tuple[str, str]
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, EPOCHS)
    ended = command(tmp_path, spec, hard=Hardship(streams=streams))
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert contents(tmp_path) == undisturbed(EPOCHS)


def test_many_seeds_are_refused_before_memory_is_full(tmp_path: Path, tiny_npz: Path) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, 1)
    arguments = ["ekd-run", str(spec), "--plan", "--seeds", "0-1000000000"]
    ended = hardship.command(tmp_path, *arguments, hardship=Hardship(memory=2**29))
    assert "--seeds 0-1000000000: " in sentence(ended, 2)


def real(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell line in which $RUN and $REPORT are the commands."""
    code = "import sys; sys.argv[0] = 'ekd-{0}'; from ekd.cli.{0} import main; main()"
    commands = {
        name.upper(): f'{sys.executable} -c "{code.format(name)}"' for name in ("run", "report")
    }
    for name, words in commands.items():
        text = text.replace(f"${name}", words)
    kept = {name: value for name, value in os.environ.items() if name != "HOME"}
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, env=kept | environment, capture_output=True, text=True,
        stdin=subprocess.DEVNULL, encoding="utf-8",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["$RUN --list | true", "$RUN --list --json | head -c 1"])
def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path, text: str) -> None:
    done = real(tmp_path, f"set -o pipefail; {text}")
    assert done.stderr == ""


@pytest.mark.slow
def test_a_hangup_does_not_end_what_nohup_started(tiny_npz: Path, tmp_path: Path) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, 400)
    text = f"nohup $RUN {spec} --wandb disabled > log 2>&1 & echo $!; wait $!; echo code $?"
    code = f"""({
        text.replace(
            "echo $!;",
            "pid=$!; until ls runs/*/history.jsonl > nothing 2>&1 || ! kill -0 $pid; "
            "do sleep 0.05; done; kill -HUP $pid;",
        )
    })"""
    assert "code 0" in real(tmp_path, code).stdout


@pytest.mark.slow
def test_names_beyond_ascii_in_a_plain_locale_without_a_home(
    tiny_npz: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "Stra\u00dfe \u732b"
    folder.mkdir()
    shutil.copy(tiny_npz, folder / "d\u00e4ten.npz")
    spec = tiny.write_spec(folder, folder / "d\u00e4ten.npz", 1)
    text = spec.read_text(encoding="utf-8").replace('"plain"\nset', '"\u732b \u2192 plain"\nset')
    spec.write_text(text, encoding="utf-8")
    spec.rename(folder / "m\u00e4in.toml")
    line = "$RUN m\u00e4in.toml && $RUN m\u00e4in.toml --plan && $REPORT && $RUN x\u00e4"
    done = real(folder, line, LC_ALL="C", LANG="C")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "no exhibit" in done.stderr.splitlines()[-1]
    assert "\u732b \u2192 plain" in (folder / "runs/report/m\u00e4in.html").read_text("utf-8")
