"""Rows of one column compared over seeds: who can be told from whom, and which ranks that leaves.

Every pair is tested over the seeds that both rows have finished. Rows that are one and the same run
are one contender: they are equal and are not tested against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from ekd.report.measured import Measured
from ekd.report.statistics import (
    Interval,
    holm,
    paired_p,
    seeds_needed,
    spread,
    student_interval,
)

LEVEL = 0.05
"""How often, at most, a column without any difference has two rows told apart."""

Pair = frozenset[tuple[str, ...]]
"""The runs' keys of two contenders."""


@dataclass(frozen=True)
class Gain:
    """By how much a cell is above the row that it is compared with, over the seeds of both."""

    over: str
    """The row's label."""
    points: float
    """Mean paired difference in points."""
    n: int
    """How many seeds it is a mean over."""
    interval: Interval | None = None
    """Its 95 % Student interval in points; None under two seeds, and where all differ alike."""
    p: float | None = None
    """Two-sided p of the paired t-test; None where there is no interval."""
    p_holm: float | None = None
    """p after Holm over all comparisons of the column with the rows that `compare` names."""
    same: bool = False
    """Both rows are one and the same run."""


@dataclass(frozen=True)
class Standing:
    """A row among the others of its column."""

    row: int
    mean: float
    """Mean test accuracy in percent over its own finished seeds."""
    n: int
    best: int
    """The first rank that it can have: one after all that are told to be better."""
    worst: int
    """The last rank that it can have: one before all that are told to be worse."""
    gains: tuple[Gain, ...]
    """Over each row that `compare` names, in that order."""


@dataclass(frozen=True)
class Outlook:
    """What it would take to tell the best row from the first that `compare` names."""

    row: int
    """The best row."""
    over: str
    """Label of the other one."""
    seeds: int | None
    """The smallest number of seeds, by one test with 80 % power; None: over 1000."""


@dataclass(frozen=True)
class Comparison:
    """The rows of a column with a finished seed, the highest mean first."""

    standings: tuple[Standing, ...]
    told: int
    """How many pairs can be told apart, after Holm over all pairs, at 5 %."""
    pairs: int
    """How many pairs of different runs there are."""
    fewest: int
    """The smallest number of seeds that two different runs have in common."""
    most: int
    """The largest one."""
    outlook: Outlook | None


def compare(cells: Mapping[int, Measured], over: Mapping[int, str]) -> Comparison | None:
    """Compare the cells of a column, by row, all with all and with the rows that `over` labels.

    None where fewer than two of them have a finished seed.
    """
    cells = {row: cell for row, cell in cells.items() if cell.n}
    over = {row: label for row, label in over.items() if row in cells}
    if len(cells) < 2:
        return None
    everyone = list(combinations(cells, 2))
    asked = [pair for pair in everyone if over.keys() & set(pair)]
    told = {pair for pair, p in _adjusted(cells, everyone).items() if p <= LEVEL}
    adjusted = _adjusted(cells, asked)
    standings = [
        _standing(row, cells, told, tuple(_gains(row, cells, over, adjusted))) for row in cells
    ]
    standings.sort(key=lambda standing: -standing.mean)
    common = {_pair(cells, *pair): len(_differences(cells, *pair)) for pair in everyone}
    counts = [n for pair, n in common.items() if len(pair) == 2]
    return Comparison(
        tuple(standings), len(told), len(counts), min(counts, default=0), max(counts, default=0),
        _outlook(standings[0].row, cells, over),
    )  # fmt: skip


def _gains(
    row: int, cells: Mapping[int, Measured], over: Mapping[int, str], adjusted: Mapping[Pair, float]
) -> list[Gain]:
    gains = []
    for other, label in over.items():
        differences, pair = _differences(cells, row, other), _pair(cells, row, other)
        if other == row or not differences:
            continue
        points, n = fmean(differences), len(differences)
        interval = student_interval(differences) if spread(differences) else None
        p = paired_p(differences)
        gains.append(Gain(label, points, n, interval, p, adjusted.get(pair), len(pair) == 1))
    return gains


def _standing(
    row: int, cells: Mapping[int, Measured], told: set[Pair], gains: tuple[Gain, ...]
) -> Standing:
    cell = cells[row]
    assert cell.mean is not None
    apart = [other for other in cells if _pair(cells, row, other) in told]
    worse = sum(fmean(_differences(cells, row, other)) > 0 for other in apart)
    best, worst = 1 + len(apart) - worse, len(cells) - worse
    return Standing(row, cell.mean, cell.n, best, worst, gains)


def _outlook(best: int, cells: Mapping[int, Measured], over: Mapping[int, str]) -> Outlook | None:
    """Look at the best row and the first in `over`; None where their differences have no spread."""
    for first, label in list(over.items())[:1]:
        differences = _differences(cells, best, first)
        if spread(differences):
            return Outlook(best, label, seeds_needed(fmean(differences), spread(differences)))
    return None


def _adjusted(cells: Mapping[int, Measured], pairs: list[tuple[int, int]]) -> dict[Pair, float]:
    """Test every pair of contenders once, and adjust p for all that can be tested."""
    tests = {_pair(cells, *pair): paired_p(_differences(cells, *pair)) for pair in pairs}
    return holm({pair: p for pair, p in tests.items() if p is not None})


def _pair(cells: Mapping[int, Measured], one: int, other: int) -> Pair:
    return frozenset(tuple(seed.run.key for seed in cells[row].seeds) for row in (one, other))


def _differences(cells: Mapping[int, Measured], one: int, other: int) -> list[float]:
    """Give the first row's accuracy minus the other's, in points, per seed that both have."""
    ours, theirs = (
        {s.run.seed: s.accuracy for s in cells[row].seeds if s.accuracy is not None}
        for row in (one, other)
    )
    return [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
