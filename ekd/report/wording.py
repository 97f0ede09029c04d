"""How numbers and headings are written, on the page and in text tables alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from ekd.spec.grid import Heading


@dataclass(frozen=True)
class Head:
    """One heading above columns: its lines, and how many columns and lines it spans."""

    lines: tuple[str, ...]
    columns: int
    rows: int


def heads(columns: tuple[Heading, ...]) -> list[list[Head]]:
    """Give the one or two lines of a table's head: adjacent equal first lines are merged."""
    if all(len(column.lines) == 1 for column in columns):
        return [[Head(column.lines, 1, 1) for column in columns]]
    upper: list[Head] = []
    for first, group in groupby(columns, key=lambda c: c.lines[0] if len(c.lines) > 1 else None):
        members = list(group)
        if first is None:
            upper += [Head(column.lines, 1, 2) for column in members]
        else:
            upper.append(Head((first,), len(members), 1))
    return [upper, [Head(c.lines[1:], 1, 1) for c in columns if len(c.lines) > 1]]


def number(value: float) -> str:
    """Write two decimals."""
    return f"{value:.2f}"


def signed(value: float) -> str:
    """Write two decimals with a sign, and a minus that is as wide as a plus."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """Write a fraction in [0, 1] as a percentage with two decimals."""
    return number(100 * value)


def one_line(text: str) -> str:
    """Make every run of white space, line ends too, one space."""
    return " ".join(text.split())
