"""An exhibit laid out at a scale: headings, and cells with their merged fields."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from ekd.spec.exhibit import (
    Column,
    Cost,
    Curves,
    Entry,
    Exhibit,
    GroupChoice,
    Quote,
    Row,
    Scale,
    Table,
)
from ekd.spec.fields import Values, lookup, merged, nested
from ekd.spec.resolve import FieldError, check_sections
from ekd.spec.shrink import WHOLE, changes, replacements, shown_value


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
    """Classes of the head whose cost is shown; None: the data's own."""
    cost_resolution: int | None = None
    """Side of the images whose cost is shown, in pixels; None: the data's own."""
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

    def placed(self, error: FieldError) -> FieldError:
        """Add the last source that sets the wrong field, or else its section, or else the entry."""
        path = error.path
        while path:
            for layer in reversed(self.layers):
                try:
                    lookup(layer.values, path)
                except KeyError:
                    continue
                return error.at(layer.place, path)
            path = path.rpartition(".")[0]
        entries = [layer.place for layer in self.layers if layer.place.startswith("[[")]
        return error.at(", ".join(entries[:2]))


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
    """Merge run, row, column and cell, shrink to the scale, and drop what became equal.

    Raises FieldError with its place for fields that are in no section.
    """
    choice = scale.exhibits.get(name, GroupChoice())
    rows, columns, column_layers = _entries(exhibit, scale)
    shown_rows = [i for i, row in enumerate(rows) if _shown(row, choice.groups)]
    shown_columns = [j for j, column in enumerate(columns) if _shown(column, choice.groups)]
    full = {
        (i, j): _cell(exhibit, (i, rows[i]), (j, columns[j]), column_layers[j])
        for i in shown_rows
        for j in shown_columns
    }
    cells = {place: _shrunk(cell, scale_name, scale) for place, cell in full.items()}
    kept_rows = _distinct({i: [cells[i, j] for j in shown_columns] for i in shown_rows})
    kept_columns = _distinct({j: [cells[i, j] for i in kept_rows] for j in shown_columns})
    top, left = kept_rows[0], kept_columns[0]
    values = {place: (full[place].values, cells[place].values) for place in full}
    return Grid(
        name=name,
        exhibit=exhibit,
        scale=scale_name,
        seeds=choice.seeds or scale.seeds or exhibit.seeds,
        rows=tuple(_heading(rows[i], *values[i, left]) for i in kept_rows),
        columns=tuple(_heading(columns[j], *values[top, j]) for j in kept_columns),
        cells={
            (row, column): replace(cells[i, j], row=row, column=column)
            for row, i in enumerate(kept_rows)
            for column, j in enumerate(kept_columns)
        },
        replaced=tuple(replacements(_shared(exhibit), *values[top, left]).values()),
    )


def _entries(
    exhibit: Exhibit, scale: Scale
) -> tuple[list[Row], list[Column], list[tuple[Layer, ...]]]:
    """Give rows, columns and the columns' layers; curves: a column per panel and value of x."""
    if not isinstance(exhibit, Curves):
        places = [f"[[columns]] {number}" for number in range(1, len(exhibit.columns) + 1)]
        numbered = zip(places, exhibit.columns, strict=True)
        return (
            list(exhibit.rows),
            list(exhibit.columns),
            [(Layer(place, column.set),) for place, column in numbered],
        )
    field = exhibit.x.field
    columns: list[Column] = []
    layers: list[tuple[Layer, ...]] = []
    for number, panel in enumerate(exhibit.panels, 1):
        for value in scale.axis.get(field, exhibit.x.values):
            label = (*panel.lines, shown_value(field, value))
            own = merged(panel.set, nested(field, value))
            columns.append(Column(label=label, set=own, group=panel.group))
            axis = Layer("[x]", nested(field, value))
            layers.append((Layer(f"[[panels]] {number}", panel.set), axis))
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
            if override.names_row(row) and override.names_column(column)
        ),
    )
    quote = row.quote if column.quoted else None
    cell = Cell(i, j, layers, column.cost, quoted=column.quoted, quote=quote)
    return _of_table(cell, exhibit, row, column) if isinstance(exhibit, Table) else cell


def _of_table(cell: Cell, table: Table, row: Row, column: Column) -> Cell:
    """Add what only a table has: a printed value, and what a cost is for."""
    paper = table.paper.get(" / ".join(row.lines), ())
    printed = paper[cell.column] if cell.column < len(paper) else ""
    own = column.cost_classes == "data"
    return replace(
        cell,
        paper=None if printed == "" else printed,
        cost_classes=None if own else row.cost_classes or table.cost_classes,
        cost_resolution=None if own else table.cost_resolution,
    )


def _shrunk(cell: Cell, scale_name: str, scale: Scale) -> Cell:
    """Apply a scale to one cell; FieldError for fields that are in no section."""
    for layer in cell.layers:
        try:
            check_sections(layer.values)
        except FieldError as error:
            raise error.at(layer.place, error.path) from None
    cell = cell.with_layer(f"scale {scale_name}", scale.set)
    try:
        put = changes(cell.values, scale)
    except FieldError as error:
        raise cell.placed(error) from None
    nest = merged(*(nested(path, value) for path, value in put.items()))
    return cell.with_layer(f"scale {scale_name}", nest)


def _distinct(entries: dict[int, list[Cell]]) -> list[int]:
    """Keep the first of rows, or columns, whose cells are all equal."""
    seen: dict[str, int] = {}
    for index, cells in entries.items():
        identity = [
            (c.values, c.cost, c.cost_classes, c.cost_resolution, c.quoted, repr(c.quote))
            for c in cells
        ]
        seen.setdefault(json.dumps(identity, sort_keys=True), index)
    return list(seen.values())


def _heading(entry: Row | Column, full: Values, shrunk: Values) -> Heading:
    lines = list(entry.lines)
    for old, phrase in replacements(entry.set, full, shrunk).items():
        if old in lines:
            lines[lines.index(old)] = phrase
        else:
            lines.append(f"({phrase})")
    return Heading(tuple(lines), entry)


def _shared(exhibit: Exhibit) -> Values:
    """Give what all cells share: [run], and the whole data where no entry takes a fraction."""
    if isinstance(exhibit, Curves):
        return exhibit.run
    entries = [entry.set for entry in (*exhibit.rows, *exhibit.columns)]
    if any("fraction" in entry.get("data", {}) for entry in entries):
        return exhibit.run
    return merged(WHOLE, exhibit.run)
