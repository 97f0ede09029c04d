"""A section as a table of plain texts, which Markdown and LaTeX write each in its own way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ekd.plan import Place, Progress
from ekd.report.measured import Measured
from ekd.report.model import Computed, Content, EpochTime, Quoted, Section, Timed
from ekd.report.text_notes import AGREES, DIFFERS, LEAKY, TIMED, quotes
from ekd.report.wording import PLUS_MINUS, Head, gained, heads, number, one_line, signed
from ekd.spec.exhibit import Quote
from ekd.spec.grid import Heading

LINES = ("", "unfinished", "over", "paper", "reproduced", "caution")
"""What the lines of a row say, first to last: its own values, then what belongs to them."""


@dataclass(frozen=True)
class Text:
    """What one place of a table says."""

    words: str = ""
    computed: bool = False
    """It is computed from a network's layers, and set in italics."""


@dataclass(frozen=True)
class Line:
    """One line of a row: what its texts are, and a text per column."""

    label: str
    texts: tuple[Text, ...]


@dataclass(frozen=True)
class TextTable:
    """Some columns of a section; a row has one line or more: ours, the paper's, and so on."""

    section: Section
    columns: tuple[int, ...]
    """Numbers of the columns that are shown."""

    @property
    def corner(self) -> str:
        """Say what the rows are."""
        return one_line(self.section.sheet.grid.exhibit.rows_are)

    @property
    def headings(self) -> tuple[Heading, ...]:
        """The headings of the columns that are shown."""
        return tuple(self.section.sheet.grid.columns[column] for column in self.columns)

    @property
    def heads(self) -> list[list[Head]]:
        """The one or two lines of the head."""
        return heads(self.headings)

    @cached_property
    def rows(self) -> tuple[tuple[Line, ...], ...]:
        """The lines of every row; the first one has the row's label, empty ones are left out."""
        return tuple(self._lines(row) for row in range(len(self.section.sheet.grid.rows)))

    def _lines(self, row: int) -> tuple[Line, ...]:
        said = [self._said((row, column)) for column in self.columns]
        labels = dict.fromkeys(label for texts in said for label in texts)
        own = one_line(", ".join(self.section.sheet.grid.rows[row].lines))
        return tuple(
            Line(label or own, tuple(texts.get(label, Text()) for texts in said))
            for label in sorted(labels, key=_order)
        )

    def _said(self, place: Place) -> dict[str, Text]:
        """Give what a cell says, by the label of its line; its own value has none."""
        content = self.section.cells[place]
        said = dict(_texts(content, quotes(self.section)))
        if isinstance(content, Measured):
            for gain in self.section.gains(place):
                fewer = "" if gain.n == content.n else f" ({gain.n})"
                said[f"over {one_line(gain.over)}"] = Text(
                    "same run" if gain.same else gained(gain) + fewer
                )
        return said


def whole(section: Section) -> TextTable:
    """Make one table of all columns."""
    return TextTable(section, tuple(range(len(section.sheet.grid.columns))))


def _order(label: str) -> int:
    return LINES.index("over" if label.startswith("over ") else label)


def _texts(content: Content, sources: Sequence[Quote]) -> Iterator[tuple[str, Text]]:
    match content:
        case Measured():
            yield from _measured(content)
        case Computed():
            yield "", Text(number(content.value), computed=True)
            if content.paper is not None:
                mark = {None: "", True: f" {AGREES}", False: f" {DIFFERS}"}[content.agrees]
                yield "paper", Text(number(content.paper) + mark)
        case Timed():
            yield "", Text(f"{number(content.median)} {TIMED}")
            if content.paper is not None:
                yield "paper", Text(f"{content.paper:g}")
        case EpochTime():
            yield "", Text("missing" if content.mean is None else number(content.mean))
        case Quoted(None):
            yield "", Text("\N{EN DASH}")
        case Quoted(Quote() as quote):
            yield "", Text(f"{number(quote.value)} [{sources.index(quote) + 1}]")


def _measured(cell: Measured) -> Iterator[tuple[str, Text]]:
    if cell.mean is None:
        yield "", Text(_counted(cell.unfinished))
    else:
        half = f" {PLUS_MINUS} {number(cell.interval.half_width)}" if cell.interval else ""
        yield "", Text(f"{number(cell.mean)}{half} ({cell.n})")
        if cell.unfinished:
            yield "unfinished", Text(_counted(cell.unfinished, always=True))
    if cell.paper is not None:
        difference = "" if cell.difference is None else f" ({signed(cell.difference)})"
        yield "paper", Text(number(cell.paper) + difference)
    if cell.reproduced is not None:
        yield "reproduced", Text("yes" if cell.reproduced else "no")
    if cell.leaky:
        yield "caution", Text(LEAKY)


def _counted(unfinished: dict[Progress, int], always: bool = False) -> str:
    if len(unfinished) == 1 and not always:
        return next(iter(unfinished))
    return ", ".join(f"{count} {status}" for status, count in unfinished.items())
