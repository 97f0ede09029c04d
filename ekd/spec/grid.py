"""An exhibit laid out at a scale: headings, and cells with their merged fields."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from ekd.spec.exhibit import Column, Cost, Curves, Entry, Exhibit, Quote, Row, Scale, Table
from ekd.spec.fields import Values, flattened, lookup, merged, nested
from ekd.spec.resolve import teachers_of
from ekd.spec.values import KNOWN

PRINTED_CLASSES = 10
"""Classes of the head whose cost Tables 1 and 2 print for students."""


@dataclass(frozen=True)
class Layer:
    """One source of fields, and where it stands: `[[rows]] 3`, `scale smoke`, `-s recipe.lr`."""

    place: str
    values: Values


@dataclass(frozen=True)
class Heading:
    """A row's or column's label at a scale."""

    lines: tuple[str, ...]
    entry: Row | Column


@dataclass(frozen=True)
class Cell:
    """One cell: where it stands, what it sets, and what the paper prints there."""

    row: int
    column: int
    layers: tuple[Layer, ...]
    cost: Cost | None = None
    cost_classes: int | None = None
    """Classes of the head whose cost is shown; None: the data set's own."""
    quoted: bool = False
    """The cell shows its row's quote, or nothing where the row has none."""
    quote: Quote | None = None
    paper: float | None = None

    @property
    def values(self) -> Values:
        """The merged fields."""
        return merged(*(layer.values for layer in self.layers))

    @property
    def trains(self) -> bool:
        """Tell whether the cell shows a run's accuracy, and not a cost or a quote."""
        return self.cost is None and not self.quoted

    def with_layer(self, place: str, values: Values) -> Cell:
        """Put one more source of fields on top."""
        return replace(self, layers=(*self.layers, Layer(place, values)))

    def place_of(self, path: str) -> str:
        """Name the last source that sets the field at `path`."""
        for layer in reversed(self.layers):
            try:
                lookup(layer.values, path)
            except KeyError:
                continue
            return layer.place
        section = path.rpartition(".")[0]
        return self.place_of(section) if section else ""


@dataclass(frozen=True)
class Grid:
    """An exhibit at a scale, before overrides; rows and columns that became equal are gone."""

    name: str
    exhibit: Exhibit
    scale: str
    seeds: tuple[int, ...]
    rows: tuple[Heading, ...]
    columns: tuple[Heading, ...]
    cells: dict[tuple[int, int], Cell]
    replaced: tuple[str, ...] = field(default=())
    """What the scale put in place of what the whole exhibit says."""


def lay_out(name: str, exhibit: Exhibit, scale_name: str, scale: Scale) -> Grid:
    """Merge run, row, column and cell, shrink to the scale, and drop what became equal."""
    choice = scale.exhibits.get(name)
    groups = choice.groups if choice else ()
    rows, columns, column_layers = _entries(exhibit, scale)
    chosen_rows = [i for i, row in enumerate(rows) if _shown(row, groups)]
    chosen_columns = [j for j, column in enumerate(columns) if _shown(column, groups)]
    full = {
        (i, j): _cell(exhibit, (i, rows[i]), (j, columns[j]), column_layers[j])
        for i in chosen_rows
        for j in chosen_columns
    }
    cells = {place: _shrunk(cell, scale_name, scale) for place, cell in full.items()}
    chosen_rows = _distinct(
        chosen_rows, [[cells[i, j] for j in chosen_columns] for i in chosen_rows]
    )
    chosen_columns = _distinct(
        chosen_columns, [[cells[i, j] for i in chosen_rows] for j in chosen_columns]
    )
    kept = {
        place: cells[place]
        for place in cells
        if place[0] in chosen_rows and place[1] in chosen_columns
    }
    first = {
        **{("row", i): (full[i, j], kept[i, j]) for i, j in reversed(kept)},
        **{("column", j): (full[i, j], kept[i, j]) for i, j in reversed(kept)},
    }
    seeds = (choice.seeds if choice else None) or scale.seeds or exhibit.seeds
    place = next(iter(kept))
    return Grid(
        name, exhibit, scale_name, seeds,
        tuple(_heading(rows[i], *first["row", i]) for i in chosen_rows),
        tuple(_heading(columns[j], *first["column", j]) for j in chosen_columns),
        {(chosen_rows.index(i), chosen_columns.index(j)):
            replace(cell, row=chosen_rows.index(i), column=chosen_columns.index(j))
         for (i, j), cell in kept.items()},
        tuple(_replacements(exhibit.run, full[place].values, kept[place].values).values()),
    )  # fmt: skip


def _entries(
    exhibit: Exhibit, scale: Scale
) -> tuple[list[Row], list[Column], list[tuple[Layer, ...]]]:
    """Give rows, columns and the columns' layers; curves: a column per panel and value of x."""
    if not isinstance(exhibit, Curves):
        layers = [(Layer(f"[[columns]] {n}", c.set),) for n, c in enumerate(exhibit.columns, 1)]
        return list(exhibit.rows), list(exhibit.columns), layers
    field = exhibit.x.field
    columns, layers = [], []
    for number, panel in enumerate(exhibit.panels, 1):
        for value in scale.axis.get(field, exhibit.x.values):
            label = (*panel.lines, _shown_value(field, value))
            own = merged(panel.set, nested(field, value))
            columns.append(Column(label=label, set=own, group=panel.group))
            layers.append(
                (Layer(f"[[panels]] {number}", panel.set), Layer("[x]", nested(field, value)))
            )
    return list(exhibit.lines), columns, layers


def _shown(entry: Entry, groups: tuple[str, ...]) -> bool:
    return not groups or not entry.group or entry.group in groups


def _cell(
    exhibit: Exhibit,
    numbered_row: tuple[int, Row],
    numbered_column: tuple[int, Column],
    column_layers: tuple[Layer, ...],
) -> Cell:
    (i, row), (j, column) = numbered_row, numbered_column
    row_table = "lines" if isinstance(exhibit, Curves) else "rows"
    overrides = () if isinstance(exhibit, Curves) else exhibit.cells
    layers = (
        Layer("[run]", exhibit.run),
        Layer(f"[[{row_table}]] {i + 1}", row.set),
        *column_layers,
        *(
            Layer(f"[[cells]] {number}", override.set)
            for number, override in enumerate(overrides, 1)
            if override.row == row.label and override.column == column.label
        ),
    )
    paper = exhibit.paper.get(" / ".join(row.lines), ()) if isinstance(exhibit, Table) else ()
    printed = paper[j] if j < len(paper) else ""
    classes = None if column.cost_classes == "data" else row.cost_classes or PRINTED_CLASSES
    return Cell(
        i, j, layers, column.cost, classes, column.quoted,
        row.quote if column.quoted else None,
        None if printed == "" else printed,
    )  # fmt: skip


def _shrunk(cell: Cell, scale_name: str, scale: Scale) -> Cell:
    """Apply a scale to one cell."""
    cell = cell.with_layer(f"scale {scale_name}", scale.set)
    values, changes = cell.values, {}
    fraction = values.get("data", {}).get("fraction", 1.0)
    if scale.fractions and isinstance(fraction, float):
        changes["data.fraction"] = _nearest_of(scale.fractions, fraction)
    branches = values.get("student", {}).get("branches", 1)
    if scale.branches and isinstance(branches, int):
        branches = int(_nearest_of(scale.branches, branches))
        changes["student.branches"] = branches
    if scale.max_depth:
        changes["student.arch"] = _cut(
            values.get("student", {}).get("arch", "resnet8"), scale.max_depth
        )
        if "teachers" in values:
            teachers = teachers_of(values)[:branches] if scale.branches else teachers_of(values)
            changes["teachers"] = [_cut(arch, scale.max_depth) for arch in teachers]
    return cell.with_layer(
        f"scale {scale_name}", merged(*(nested(path, value) for path, value in changes.items()))
    )


def _nearest_of(options: tuple[float, ...], value: float) -> float:
    return min(sorted(options), key=lambda option: round(abs(option - value), 9))


def _cut(arch: Any, max_depth: int) -> Any:
    digits = str(arch).removeprefix("resnet")
    return f"resnet{max_depth}" if digits.isdigit() and int(digits) > max_depth else arch


def _distinct(indices: list[int], cells: list[list[Cell]]) -> list[int]:
    """Keep the first of rows, or columns, whose cells are all equal."""
    seen: dict[str, int] = {}
    for index, group in zip(indices, cells, strict=True):
        identity = [(c.values, c.cost, c.cost_classes, c.quoted, repr(c.quote)) for c in group]
        seen.setdefault(json.dumps(identity, sort_keys=True), index)
    return list(seen.values())


def _heading(entry: Row | Column, full: Cell, shrunk: Cell) -> Heading:
    lines = list(entry.lines)
    for old, phrase in _replacements(entry.set, full.values, shrunk.values).items():
        if old in lines:
            lines[lines.index(old)] = phrase
        else:
            lines.append(f"({phrase})")
    return Heading(tuple(lines), entry)


def _replacements(own: Values, full: Values, shrunk: Values) -> dict[str, str]:
    """Say "3 in place of 7" for each field of `own` that the scale changed, by the old value."""
    phrases = {}
    for path, _ in flattened(own):
        section = path.partition(".")[0]
        if section not in ("student", "data"):
            continue
        old = _shown_value(path, lookup(full, path))
        data = shrunk.get("data", {})
        new = _shown_value(
            path, lookup(shrunk, path if path != "data.path" or "path" in data else "data.name")
        )
        if old != new:
            phrases[old] = f"{new} in place of {old}"
    return phrases


def _shown_value(path: str, value: Any) -> str:
    if path == "data.fraction":
        return f"{100 * value:g} %"
    if path == "data.name" and value in KNOWN:
        return KNOWN[value].title
    if path == "student.arch":
        return str(value).replace("resnet", "ResNet")
    return str(value)
