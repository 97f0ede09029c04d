"""What a wrong input must give: its exit code, one sentence, and nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Ended, Run

from ekd.cli import report

USAGE = re.compile(r"Usage: .*\nTry '.* --help' for help\.\n\n")

Command = Callable[..., Ended]
Prepare = Callable[[Path], Any]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ekd_run: Run,
) -> Command:
    """Run one of the commands in this process, in a folder with only tiny.toml."""

    def ended(name: str, *arguments: str) -> Ended:
        if name == "ekd-run":
            return ekd_run(*arguments)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(SystemExit) as end:
            report.main()
        return Ended(end.value.code or 0, *capsys.readouterr())  # type: ignore[arg-type]

    return ended


def sentence(ended: Ended, code: int) -> str:
    """Give the one sentence that stderr holds; click puts a usage line before its own."""
    said = USAGE.sub("", ended.err, count=1)
    assert "Traceback" not in said
    assert (ended.code, ended.out, said.count("\n")) == (code, "", 1), said
    assert said.startswith("Error: ")
    assert ". " not in said.replace("... ", "")
    assert len(said) < 900
    return said


def check(
    command: Command, code: int, text: str, *arguments: str, prepare: Prepare | None = None
) -> None:
    """Give arguments, and demand one sentence with `text` and no new file or folder."""
    if prepare:
        prepare(Path())
    before = sorted(Path().rglob("*"))
    said = sentence(command(*arguments), code)
    assert text in said
    assert sorted(Path().rglob("*")) == before


def holding(name: str, content: str | bytes) -> Prepare:
    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write
