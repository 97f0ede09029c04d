"""Exhibits: the tables and figures of a paper, or of a user, as TOML has them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from ekd.spec.fields import PATH
from ekd.spec.values import Frozen


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise ValueError(f"the seed {twice} stands twice")
    return seeds


Text = Annotated[str, Field(min_length=1)]
Label = Text | Annotated[tuple[Text, ...], Field(min_length=1)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_distinct)
]
Cost = Literal["params", "flops", "macs", "latency", "training", "epoch"]
OF_TRAINING: tuple[Cost, ...] = ("training", "epoch")
"""Costs of a training; the others are of a network."""


class Quote(Frozen):
    """A number that another paper printed."""

    value: float
    """As printed, in the unit of its column."""
    source: str
    """Where the number really comes from."""
    protocol: str
    """How it was obtained, as far as that is known."""


class Entry(Frozen):
    """A row, column, line or panel: a label, and what it sets on its cells."""

    label: Label
    """Text of the heading; several strings are lines of it."""
    set: dict[str, Any] = {}
    """Fields of the run, such as { student.branches = 3 }."""
    group: str = ""
    """Name by which a scale can choose it."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The label as a tuple of lines."""
        return (self.label,) if isinstance(self.label, str) else self.label


class Row(Entry):
    """A row of a table, or a line of curves."""

    cost_classes: int | None = Field(None, ge=2)
    """Classes of the head whose cost is shown; the table's where nothing is said."""
    quote: Quote | None = None
    """What a quoted column shows."""


class Column(Entry):
    """A column of a table: an accuracy, a cost, or a quoted value."""

    cost: Cost | None = None
    """params and flops by the paper's convention, plain macs (all in millions), latency in ms;
    training: operations of the whole training as a multiple of those of the first row that
    `compare` names, teachers and all that comes before included; epoch: measured seconds of one."""
    cost_classes: Literal["data"] | None = None
    """data: the cost is for the data's own classes and resolution, whatever table and row say."""
    quoted: bool = False
    """Show the rows' quotes."""
    compared: bool = True
    """Compare its rows over seeds; false where their trainings are not to be compared."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.cost and self.quoted:
            raise ValueError("a column shows a cost or quotes, not both: take one of them out")
        return self


class Override(Frozen):
    """What one cell sets over its row and column, both named by their label."""

    row: Label
    """The row's label."""
    column: Label
    """The column's label, or its first line for all columns under that heading."""
    set: dict[str, Any]
    """Fields of the run."""

    def names_row(self, row: Entry) -> bool:
        """Tell whether the row is meant."""
        return self.row == row.label

    def names_column(self, column: Entry) -> bool:
        """Tell whether the column is meant, by itself or by the heading that it is under."""
        return self.column in (column.label, column.lines[0])


class Axis(Frozen):
    """The x axis of curves."""

    field: str
    """Dotted path of the field that varies."""
    values: tuple[float, ...] = Field(min_length=1)
    """Its values."""

    @field_validator("field")
    @classmethod
    def _is_a_path(cls, field: str) -> str:
        if not re.fullmatch(PATH, field):
            raise ValueError(f"expected a field such as data.fraction, not {field!r}")
        return field


class _Exhibit(Frozen):
    title: str
    """Heading of the page."""
    rows_are: str = ""
    """What the rows or lines are: the heading above their labels."""
    seeds: Seeds = (0,)
    """Seeds of every cell where the command line names none."""
    run: dict[str, Any] = {}
    """Fields shared by all cells."""
    assumptions: tuple[str, ...] = ()
    """What had to be assumed to read the original, a sentence each."""


def _differing(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    labels = [entry.lines for entry in entries]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice:
        raise ValueError(f"the label {' / '.join(twice)!r} stands twice")
    return entries


class _Grid(_Exhibit):
    rows: tuple[Row, ...] = Field(min_length=1)
    columns: tuple[Column, ...] = Field(min_length=1)
    cells: tuple[Override, ...] = ()

    @field_validator("rows", "columns")
    @classmethod
    def _labels_differ(cls, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return _differing(entries)

    @model_validator(mode="after")
    def _overrides_meet_cells(self) -> Self:
        for number, cell in enumerate(self.cells, 1):
            if not any(map(cell.names_row, self.rows)):
                raise ValueError(f"[[cells]] {number}: no row has the label {cell.row!r}")
            if not any(map(cell.names_column, self.columns)):
                raise ValueError(f"[[cells]] {number}: no column has the label {cell.column!r}")
        return self


class Table(_Grid):
    """Rows by columns of numbers."""

    kind: Literal["table"]
    paper: dict[str, tuple[float | Literal[""], ...]] = {}
    """What the paper prints, by row label, in the order of the columns; "" for nothing."""
    compare: tuple[str, ...] = ()
    """Labels of the rows that others are compared with."""
    cost_classes: int | None = Field(None, ge=2)
    """Classes of the head whose cost is shown; the data's own where nothing is said."""
    cost_resolution: int | None = Field(None, ge=8, le=512)
    """Side of the images, in pixels, whose cost is shown; the data's own where nothing is said."""

    @model_validator(mode="after")
    def _printed_values_meet_cells(self) -> Self:
        labels = [" / ".join(row.lines) for row in self.rows]
        for label, values in self.paper.items():
            if label not in labels:
                raise ValueError(f"[paper] {label!r}: no row has this label")
            if len(values) > len(self.columns):
                raise ValueError(
                    f"[paper] {label!r}: {len(values)} values for {len(self.columns)} columns"
                )
        for label in self.compare:
            if label not in labels:
                raise ValueError(f"compare: no row has the label {label!r}")
        if not self.compare and any(column.cost == "training" for column in self.columns):
            raise ValueError("cost = 'training' is a multiple: name the row that is 1 in compare")
        return self


class Panels(_Grid):
    """A grid of pictures, each of one run."""

    kind: Literal["panels"]
    draw: Literal["tsne"] = "tsne"
    """t-SNE of the pooled features of the test images."""
    paper: dict[str, tuple[float, ...]] = Field({}, max_length=0)
    compare: tuple[str, ...] = Field((), max_length=0)


class Curves(_Exhibit):
    """Lines over an axis, in one or more panels."""

    kind: Literal["curves"]
    x: Axis
    panels: tuple[Entry, ...] = Field(min_length=1)
    lines: tuple[Row, ...] = Field(min_length=1)

    @field_validator("panels", "lines")
    @classmethod
    def _labels_differ(cls, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return _differing(entries)


Exhibit = Table | Panels | Curves
KINDS: dict[str, type[Exhibit]] = {"table": Table, "panels": Panels, "curves": Curves}


class GroupChoice(Frozen):
    """What a scale shows of one exhibit."""

    groups: tuple[str, ...] = ()
    """Groups of rows, columns, lines and panels; entries without a group are always shown."""
    seeds: Seeds | None = None
    """Seeds of this exhibit."""


class Scale(Frozen):
    """How an exhibit shrinks to what a machine can do."""

    description: str
    """What the scale is for, in one sentence."""
    set: dict[str, Any] = {}
    """Fields that every cell takes."""
    branches: tuple[int, ...] = ()
    """A number of branches goes to the nearest of these (the smaller one of two)."""
    fractions: tuple[float, ...] = ()
    """A fraction of the data goes to the nearest of these (the smaller one of two)."""
    max_depth: int | None = Field(None, ge=8)
    """Deeper networks, teachers too, take this depth; teachers are cut to the branches."""
    axis: dict[str, tuple[float, ...]] = {}
    """Values of a figure's axis, by its field."""
    seeds: Seeds | None = None
    """Seeds in place of the exhibit's."""
    exhibits: dict[str, GroupChoice] = {}
    """What is shown of an exhibit, by its name."""
