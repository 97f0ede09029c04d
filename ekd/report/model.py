"""What a page shows: sections of cells, each with its value and how that was obtained."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from ekd.plan import Place, Progress, Sheet
from ekd.report.comparisons import Comparison, Gain, compare
from ekd.report.measured import Measured
from ekd.spec.exhibit import Column, Quote
from ekd.spec.grid import Heading


@dataclass(frozen=True)
class Computed:
    """A cost that was computed from the network's layers, in millions."""

    value: float
    basis: str
    """What network and convention it is for."""
    paper: float | None
    comparable: bool
    """The network is the one whose cost the paper prints."""

    @property
    def agrees(self) -> bool | None:
        """Tell whether the printed decimals are the same; None where nothing is to be compared."""
        if self.paper is None or not self.comparable:
            return None
        return f"{self.value:.2f}" == f"{self.paper:.2f}"


@dataclass(frozen=True)
class Timed:
    """The time of one image through the network, in milliseconds, on the reporting machine."""

    median: float
    spread: float
    """The third quartile minus the first."""
    threads: int
    basis: str
    """What network it is for."""
    paper: float | None


@dataclass(frozen=True)
class EpochTime:
    """The seconds of an epoch, measured while finished runs were trained, evaluations left out."""

    seconds: tuple[float, ...]
    """One value per finished seed."""
    machines: tuple[str, ...]
    """On what they were trained, each once."""

    @property
    def mean(self) -> float | None:
        """Mean over the finished seeds; None where none is."""
        return fmean(self.seconds) if self.seconds else None


@dataclass(frozen=True)
class Quoted:
    """A number that another paper printed."""

    quote: Quote | None
    """None where the row quotes nothing."""


Content = Measured | Computed | Timed | EpochTime | Quoted


@dataclass(frozen=True)
class Section:
    """An exhibit at one scale with one set of overrides, filled in from a store."""

    sheet: Sheet
    description: str
    """What the scale is for."""
    overrides: tuple[str, ...]
    command: str
    """The `ekd-run` that trains what is missing."""
    cells: dict[Place, Content]

    @property
    def scale(self) -> str:
        """Name of the scale."""
        return self.sheet.grid.scale

    @property
    def unit(self) -> str:
        """Label of the row whose training's operations are 1."""
        return str(next(iter(getattr(self.sheet.grid.exhibit, "compare", ())), ""))

    @property
    def replaced(self) -> tuple[str, ...]:
        """What stands in place of what the whole exhibit says, such as "3 in place of 7"."""
        grid = self.sheet.grid
        lines = [line for head in (*grid.rows, *grid.columns) for line in head.lines]
        phrases = [line.strip("()") for line in lines if " in place of " in line]
        return tuple(dict.fromkeys((*grid.replaced, *phrases)))

    @property
    def over(self) -> dict[int, str]:
        """Label the rows that others are compared with, by row, in the order of `compare`."""
        labels = [" / ".join(head.entry.lines) for head in self.sheet.grid.rows]
        asked = dict.fromkeys(getattr(self.sheet.grid.exhibit, "compare", ()))
        return {labels.index(label): label for label in asked if label in labels}

    @cached_property
    def comparisons(self) -> dict[int, Comparison]:
        """Compare the rows of each column over seeds, by column, where the exhibit asks for it.

        Its `compare` names the rows that others are compared with; columns with `compared = false`
        are left out.
        """
        heads = enumerate(self.sheet.grid.columns if self.over else ())
        columns = [column for column, head in heads if _compared(head)]
        found = {column: compare(self._measured(column), self.over) for column in columns}
        return {j: comparison for j, comparison in found.items() if comparison is not None}

    def gains(self, place: Place) -> tuple[Gain, ...]:
        """Compare a cell with the rows that the exhibit's `compare` names, in the same column.

        A gain is the mean, over the seeds that both have finished, of this cell's accuracy minus
        that row's, with its interval and its p.
        """
        row, column = place
        comparison = self.comparisons.get(column)
        standings = comparison.standings if comparison else ()
        return next((standing.gains for standing in standings if standing.row == row), ())

    def _measured(self, column: int) -> dict[int, Measured]:
        found = {row: self.cells[row, column] for row in range(len(self.sheet.grid.rows))}
        return {row: cell for row, cell in found.items() if isinstance(cell, Measured)}

    @property
    def progress(self) -> dict[Progress, int]:
        """Count the runs behind the cells, each once, by how far they are."""
        measured = [cell for cell in self.cells.values() if isinstance(cell, Measured)]
        states = {seed.run.key: seed.status for cell in measured for seed in cell.seeds}
        return dict(Counter(states.values()))


@dataclass(frozen=True)
class Report:
    """Everything that one exhibit's page shows; the most faithful section comes first."""

    name: str
    title: str
    assumptions: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def shows(self) -> set[str]:
        """Say what there is to explain: kinds of cell, paper, agreement, difference, verdict."""
        cells = [cell for section in self.sections for cell in section.cells.values()]
        filled = [cell for cell in cells if not isinstance(cell, Quoted) or cell.quote]
        parts = ("paper", "agrees", "difference", "reproduced")
        there = {part for part in parts for c in cells if getattr(c, part, None) is not None}
        costs = {c.cost for section in self.sections for c in section.sheet.grid.cells.values()}
        return there | {type(cell).__name__ for cell in filled} | ({"training"} & costs)


def _compared(column: Heading) -> bool:
    return isinstance(column.entry, Column) and column.entry.compared
