"""How numbers and headings are written, on the page and in text tables alike."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from ekd.report.comparisons import Gain, Standing
from ekd.spec.grid import Heading

PLUS_MINUS = "\N{PLUS-MINUS SIGN}"


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


def gained(gain: Gain, alone: bool = False) -> str:
    """Write a gain in points, and unless it is to stand alone, half its interval."""
    if gain.interval is None or alone:
        return signed(gain.points)
    return f"{signed(gain.points)} {PLUS_MINUS} {number(gain.interval.half_width)}"


def p_value(p: float) -> str:
    """Write a p with three decimals, the small ones as smaller than 0.001."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def ranks(standing: Standing) -> str:
    """Write the ranks that a row can have, the best first."""
    if standing.best == standing.worst:
        return str(standing.best)
    return f"{standing.best} to {standing.worst}"


def one_line(text: str) -> str:
    """Make every run of white space, line ends too, one space."""
    return " ".join(text.split())
