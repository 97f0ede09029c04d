"""`ekd-run --verify`: every checksum of a store, read again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from ekd.engines import counted
from ekd.spec import EnvironmentProblem
from ekd.store import Store, verify


def show_verification(root: Path, json_: bool) -> None:
    """Print what is damaged in the store at `root`, a line for each; nothing is written.

    Raises EnvironmentProblem where something is, or where there is no store.
    """
    if not (root / "store.json").is_file():
        raise EnvironmentProblem(
            f"{root} is no store, it has no store.json: give the --root of one"
        )
    found = verify(Store(root))
    read = f"{counted(found.runs, 'run')}, {counted(found.files, 'file')}"
    if json_:
        click.echo(json.dumps({"root": str(root), **asdict(found)}, indent=1))
    else:
        click.echo("\n".join(found.problems) or f"{read}: all as written")
    if found.problems:
        raise EnvironmentProblem(f"{read}: {counted(len(found.problems), 'problem')} in {root}")
