"""Methods of two runs, planned and on the tiny data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from ekd.methods import discover
from ekd.spec import Parent, Run

NAMES = ["fitnet", "fsp"]
both = pytest.mark.parametrize("name", NAMES)


def stage(run: Run) -> str | None:
    return run.method.model_dump().get("stage")


def hint_of(run: Run) -> Run:
    assert run.start is not None
    assert run.start.net == "student"
    return run.start.run


def tiny_run(name: str, path: Path, branches: int = 1, **fields: Any) -> Run:
    """A main run on the tiny data, with its hint run and its teacher."""
    source = tiny.data(path)
    method: Any = discover()[name].model_validate(fields)
    changes = {"method": method, "teachers": (Parent(run=tiny.plain(source, 100, epochs=1)),)}
    run = tiny.plain(source, 0, branches, epochs=4).model_copy(update=changes)
    chained: Run = method.chain(run)
    return chained
