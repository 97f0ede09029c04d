"""One point of a sweep as an ordinary run: same key, scale, teachers and refusals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ekd.cost import network_cost
from ekd.data import describe
from ekd.plan import derive
from ekd.plan.sheet import overridden
from ekd.spec import Run
from ekd.spec.exhibit import Column, Row, Table
from ekd.spec.fields import assignment, merged, nested
from ekd.spec.grid import Cell, Grid, lay_out
from ekd.spec.load import choose, scales

Attributes = Mapping[str, Any]
"""What a study says of itself: sweep, scale, overrides, space, run, ..., as plain JSON values."""
Params = Mapping[str, Any]
"""The value of every dimension, by its field."""

PLACE = "[space]"


def trial_run(study: Attributes, params: Params, seed: int, data_root: Path) -> Run:
    """Make the run of a point, with everything that it is taught by.

    Raises FieldError for what the method refuses, SpecError and EnvironmentProblem as
    `ekd.plan.derive` does.
    """
    return derive(point_cell(study, params).values, seed, data_root)


def point_cell(study: Attributes, params: Params) -> Cell:
    """Lay the run out as the one cell of a table: scale, overrides, and the point on top."""
    grid = one_cell(study)
    for text in study["overrides"]:
        grid = overridden(grid, text, *assignment(text))
    (cell,) = grid.cells.values()
    values = (nested(field, value) for field, value in params.items())
    return cell.with_layer(PLACE, merged(*values))


def one_cell(study: Attributes) -> Grid:
    """Lay out the run at its scale, without overrides."""
    table = Table(
        kind="table",
        title=study["title"],
        run=study["run"],
        rows=(Row(label="trial"),),
        columns=(Column(label="accuracy"),),
    )
    scale = choose("scale", study["scale"], scales())
    return lay_out(study["sweep"], table, study["scale"], scale)


def beyond_limits(study: Attributes, run: Run, data_root: Path) -> str | None:
    """Say which limit of the sweep the student is beyond, or None."""
    for name, limit in study["limits"].items():
        found = student_cost(run, data_root)[name]
        if found > limit:
            return f"the student has {found:,} {name}, the limit is {limit:,.0f}"
    return None


def student_cost(run: Run, data_root: Path) -> dict[str, int]:
    """Count the student's parameters, and its operations: multiply-accumulates per image."""
    classes = describe(run.data, data_root).classes
    student = run.student
    cost = network_cost(student.arch, student.branches, classes, run.data.resolution, student.width)
    return {"parameters": cost.parameters, "operations": cost.macs}
