"""A request made concrete: exhibits at a scale, with overrides, and the runs of every cell."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ekd.methods import discover
from ekd.plan.derive import derive
from ekd.spec import Run, SpecError, nearest
from ekd.spec.check import line_of
from ekd.spec.fields import Condition, Values, assignment, merged, nested
from ekd.spec.grid import Cell, Grid, lay_out
from ekd.spec.load import choose, exhibit_path, load_exhibit, scales
from ekd.spec.resolve import FieldError, fields_of, has_field
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
    conditions = [Condition.parse(text) for text in request.where]
    overrides = [(text, *assignment(text)) for text in request.overrides]
    scale = choose("scale", request.scale, scales())
    laid_out = []
    for name in dict.fromkeys(request.exhibits):
        path = exhibit_path(name)
        exhibit = load_exhibit(path)
        try:
            grid = lay_out(path.stem, exhibit, request.scale, scale)
        except FieldError as error:
            raise _located(path, error) from None
        laid_out.append((path, grid))
    for text, field, _ in overrides:
        _check_used(f"-s {text}", field, [grid for _, grid in laid_out])
    laid_out = [(path, _overridden(grid, overrides)) for path, grid in laid_out]
    found = [_sheet(path, grid, request, conditions, data_root) for path, grid in laid_out]
    for condition in conditions:
        _check_used(f"--where {condition.path}", condition.path, [sheet.grid for sheet in found])
    if not any(sheet.asked for sheet in found):
        raise _nothing_asked(found, conditions, request.where)
    return found


def _overridden(grid: Grid, overrides: list[tuple[str, str, object]]) -> Grid:
    cells = grid.cells
    for text, field, value in overrides:
        cells = {
            place: cell.with_layer(f"-s {text}", nested(field, value))
            if has_field(cell.values, field, discover())
            else cell
            for place, cell in cells.items()
        }
    return replace(grid, cells=cells)


def _check_used(option: str, field: str, grids: list[Grid]) -> None:
    known = {
        name
        for grid in grids
        for cell in grid.cells.values()
        if cell.trains
        for name in fields_of(cell.values, discover())
    }
    if field not in known:
        raise SpecError(f"{option}: no cell has the field {field!r}{nearest(field, known)}")


def _sheet(
    path: Path, grid: Grid, request: Request, conditions: list[Condition], data_root: Path
) -> Sheet:
    seeds = request.seeds or grid.seeds
    trained = {place: cell for place, cell in grid.cells.items() if cell.trains}
    runs = {
        place: tuple(_derived(path, cell, seed, data_root) for seed in seeds)
        for place, cell in trained.items()
    }
    asked = frozenset(
        place
        for place, cell in trained.items()
        if all(condition.holds(_all_fields(cell, runs[place][0])) for condition in conditions)
    )
    return Sheet(grid.name, path, grid, seeds, runs, asked)


def _all_fields(cell: Cell, run: Run) -> Values:
    return merged(cell.values, {k: v for k, v in run.resolved().items() if isinstance(v, dict)})


def _derived(path: Path, cell: Cell, seed: int, data_root: Path) -> Run:
    try:
        return derive(cell.values, seed, data_root)
    except FieldError as error:
        raise _located(path, cell.placed(error)) from None


def _located(path: Path, error: FieldError) -> SpecError:
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
