"""A request made concrete: exhibits at a scale, with overrides, and the runs of every cell."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ekd.methods import discover
from ekd.plan.derive import derive
from ekd.spec import Run, SpecError, nearest
from ekd.spec.check import line_of
from ekd.spec.exhibit import OF_TRAINING
from ekd.spec.fields import Condition, Values, assignment, merged, nested
from ekd.spec.grid import Cell, Grid, lay_out
from ekd.spec.load import choose, exhibit_path, load_exhibit, scales
from ekd.spec.resolve import DEFAULT_RECIPE, FieldError, fields_of, readings_of, teachers_of
from ekd.store import Request

Place = tuple[int, int]


@dataclass(frozen=True)
class Sheet:
    """One exhibit as it is asked for."""

    name: str
    path: Path
    grid: Grid
    seeds: tuple[int, ...]
    runs: dict[Place, tuple[Run, ...]]
    """The runs of each cell that trains, one per seed."""
    costed: dict[Place, tuple[Run, ...]]
    """The same for the cells that show what a training costs; nothing trains them."""
    asked: frozenset[Place]
    """The cells that `--where` leaves."""

    def label(self, place: Place) -> str:
        """Name a cell: its exhibit, row and column."""
        row, column = self.grid.rows[place[0]], self.grid.columns[place[1]]
        return f"{self.name}: {' / '.join(row.lines)} | {', '.join(column.lines)}"


def sheets(request: Request, data_root: Path) -> list[Sheet]:
    """Lay out every exhibit of a request and derive its runs.

    Raises SpecError for anything wrong in a spec or an option, with its place.
    """
    conditions = [_condition(text) for text in request.where]
    scale = choose("scale", request.scale, scales())
    laid_out = {}
    for name in dict.fromkeys(request.exhibits):
        path = exhibit_path(name)
        exhibit = load_exhibit(path)
        try:
            laid_out[path] = lay_out(path.stem, exhibit, request.scale, scale)
        except FieldError as error:
            raise located(path, error) from None
    for text in request.overrides:
        field, value = assignment(text)
        check_used(f"-s {text}", field, list(laid_out.values()))
        laid_out = {path: overridden(grid, text, field, value) for path, grid in laid_out.items()}
    found = [_sheet(path, grid, request, conditions, data_root) for path, grid in laid_out.items()]
    for condition in conditions:
        check_used(f"--where {condition.path}", condition.path, [sheet.grid for sheet in found])
    if not any(sheet.asked for sheet in found):
        raise _nothing_asked(found, conditions, request.where)
    return found


def overridden(grid: Grid, text: str, field: str, value: object) -> Grid:
    """Set a field on every cell that has it; a named reading only where a method has it, if any.

    Where none has it, all cells get it, and deriving their runs says so.
    """
    having = [p for p, c in grid.cells.items() if field in fields_of(c.values, discover())]
    if field == "readings.name":
        cells = grid.cells
        having = [p for p in having if value in readings_of(cells[p].values, discover())] or having
    changed = {p: grid.cells[p].with_layer(f"-s {text}", nested(field, value)) for p in having}
    return replace(grid, cells=grid.cells | changed)


def row_of_one(grid: Grid) -> int:
    """Give the row whose training counts as 1: the first that the exhibit compares with.

    Raises SpecError where the scale has left that row out.
    """
    label = getattr(grid.exhibit, "compare", ("",))[0]  # a table with such a column has one
    for number, head in enumerate(grid.rows):
        if " / ".join(head.entry.lines) == label:
            return number
    raise SpecError(
        f"{grid.name}: scale {grid.scale} leaves out the row {label!r}, of which cost = 'training' "
        "is a multiple: name another one first in compare"
    )


def fields_in(grids: list[Grid]) -> set[str]:
    """Name every field that a cell which trains has."""
    cells = [cell for grid in grids for cell in grid.cells.values() if cell.trains]
    return {field for cell in cells for field in fields_of(cell.values, discover())}


def check_used(option: str, field: str, grids: list[Grid]) -> None:
    """Refuse a field that no cell has; SpecError."""
    known = fields_in(grids)
    if field not in known:
        raise SpecError(f"{option}: no cell has the field {field!r}{nearest(field, known)}")


def _condition(text: str) -> Condition:
    """Read a condition; teachers are compared as the architectures that they name."""
    condition = Condition.parse(text)
    if condition.path != "teachers":
        return condition
    try:
        return replace(condition, value=teachers_of({"teachers": condition.value}))
    except FieldError as error:
        raise SpecError(f"--where {text}: {error.text}") from None


def _sheet(
    path: Path, grid: Grid, request: Request, conditions: list[Condition], data_root: Path
) -> Sheet:
    seeds = request.seeds or grid.seeds

    def derived(cells: dict[Place, Cell]) -> dict[Place, tuple[Run, ...]]:
        return {
            place: tuple(_derived(path, cell, seed, data_root) for seed in seeds)
            for place, cell in cells.items()
        }

    trained = {place: cell for place, cell in grid.cells.items() if cell.trains}
    costed = {place: cell for place, cell in grid.cells.items() if cell.cost in OF_TRAINING}
    if any(cell.cost == "training" for cell in costed.values()):
        row_of_one(grid)  # told now, not in the report, when all has been trained
    runs = derived(trained)
    asked = frozenset(
        place
        for place, cell in trained.items()
        if all(condition.holds(_all_fields(cell, runs[place][0])) for condition in conditions)
    )
    return Sheet(grid.name, path, grid, seeds, runs, derived(costed), asked)


def _all_fields(cell: Cell, run: Run) -> Values:
    """Give what `--where` compares: every field, and the names that fields were taken from."""
    resolved = {part: fields for part, fields in run.resolved().items() if isinstance(fields, dict)}
    names: Values = {"recipe": {"name": DEFAULT_RECIPE}}
    if run.method.readings:
        names["readings"] = {"name": next(iter(run.method.readings))}
    return merged(names, cell.values, resolved, {"teachers": teachers_of(cell.values)})


def _derived(path: Path, cell: Cell, seed: int, data_root: Path) -> Run:
    try:
        return derive(cell.values, seed, data_root)
    except FieldError as error:
        raise located(path, cell.placed(error)) from None


def located(path: Path, error: FieldError) -> SpecError:
    """Say in which file, line and entry, or in which option, a field is wrong."""
    if error.place.startswith("-s"):
        return SpecError(f"{error.place}: {error.text}")
    line = ""
    if match := re.match(r"\[+(\w+)\]+(?: (\d+))?", error.place):
        text = path.read_text(encoding="utf-8")
        line = line_of(text, error.written, match[1], int(match[2] or 1) - 1)
    return SpecError(f"{path}{line}: {error.place}: {error}")


def _nothing_asked(
    found: list[Sheet], conditions: list[Condition], where: tuple[str, ...]
) -> SpecError:
    """Name the first condition that no cell meets, with the values that there are."""
    cells = [
        _all_fields(sheet.grid.cells[place], runs[0])
        for sheet in found
        for place, runs in sheet.runs.items()
    ]
    if not where:
        return SpecError(
            f"{', '.join(sheet.name for sheet in found)}: nothing to train, no cell shows an "
            "accuracy: add a column without `cost` and `quoted`"
        )
    for text, condition in zip(where, conditions, strict=True):
        if not any(condition.holds(fields) for fields in cells):
            values = dict.fromkeys(
                str(value) for fields in cells for value in condition.values_in(fields)
            )
            hint = nearest(str(condition.value), values) if condition.comparison == "=" else ""
            return SpecError(
                f"--where {text}: no cell matches{hint}; {condition.path} is {', '.join(values)}"
            )
    return SpecError(f"no cell matches --where {' --where '.join(where)} together: loosen them")
