"""The tiny spec through bad days: undisturbed, what it gives; disturbed, what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hardship
import pytest
import tiny
from command_line import Ended
from hardship import Hardship

from ekd.store import RunFolder

EPOCHS = 4
MANY = 12
"""Epochs of a run that is still at it when it is stopped."""

Reference = Callable[[int], dict[str, Any]]


@pytest.fixture(scope="module")
def undisturbed(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """What the two runs of the tiny spec give where nothing happens."""
    found: dict[int, dict[str, Any]] = {}

    def of(epochs: int) -> dict[str, Any]:
        if epochs not in found:
            folder = tmp_path_factory.mktemp("undisturbed")
            spec = tiny.write_spec(folder, tiny_npz, epochs)
            assert command(folder, spec).code == 0
            found[epochs] = contents(folder)
        return found[epochs]

    return of


def command(folder: Path, spec: Path, *more: str, hard: Hardship | None = None) -> Ended:
    return hardship.command(
        folder, "ekd-run", str(spec), "--wandb", "disabled", "--device", "cpu", *more, hardship=hard
    )


def contents(folder: Path) -> dict[str, Any]:
    """What must be equal whatever happened in between."""
    return {name: tiny.content(kept) for name, kept in tiny.two_runs(folder / "runs").items()}


def sentence(ended: Ended, code: int = 4) -> str:
    """Give the one sentence of an error; lines of progress may stand before it."""
    lines = ended.err.splitlines()
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert [line for line in lines if line.startswith("Error: ")] == lines[-1:]
    return lines[-1]


def leftovers(folder: Path) -> list[Path]:
    return [*folder.rglob("*.tmp"), *folder.rglob("*.partial")]


def states(folder: Path) -> dict[str, str]:
    """The state of every run by its method and learning rate."""
    found = {}
    for path in (folder / "runs").glob("*/spec.json"):
        spec = json.loads(path.read_text())
        kept = RunFolder(folder / "runs", path.parent.name)
        found[f"{spec['method']['name']} {spec['recipe']['lr']:g}"] = kept.status()
    return found
