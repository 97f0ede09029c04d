"""Intervals for means over seeds and for one accuracy; tests of paired differences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scipy import stats

K = TypeVar("K", bound=Hashable)

CONFIDENCE = 0.95
POWER = 0.8
"""How often a true difference is to be told; the number of seeds that it takes depends on it."""
MOST_SEEDS = 1000
"""Where the search for that number ends."""
NO_SPREAD = 1e-9
"""Differences that are this near to each other, in points, differ by rounding alone."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of what it is for."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the distance from low to high."""
        return (self.high - self.low) / 2

    def holds(self, value: float, margin: float = 0.0) -> bool:
        """Tell whether `value` lies in the interval widened by `margin` on both sides."""
        return self.low - margin <= value <= self.high + margin

    def within(self, lowest: float, highest: float) -> bool:
        """Tell whether both ends lie in lowest .. highest."""
        return lowest <= self.low and self.high <= highest


def student_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Give the interval of the mean of n >= 2 normal values, mean ± t(n-1) s / sqrt(n).

    Student, "The probable error of a mean", Biometrika 6 (1908). It is not cut to where the values
    can lie: a few accuracies that differ much give a bound above 100 percent, which says how little
    they tell, and everyone can compute it again from mean, spread and n.

    Raises:
        ValueError: there are fewer than two values.
    """
    if len(values) < 2:
        raise ValueError(f"an interval over seeds needs at least 2 values, not {len(values)}")
    mean = statistics.fmean(values)
    quantile = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean - half, mean + half)


def wilson_interval(hits: int, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Give the score interval of a proportion, as fractions in [0, 1].

    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927).

    Raises:
        ValueError: there are no trials, or `hits` is not in 0..trials.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} hits of {trials} trials are no proportion")
    z = float(stats.norm.ppf((1 + confidence) / 2))
    share, spread = hits / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def paired_p(differences: Sequence[float]) -> float | None:
    """Give the two-sided p of the paired t-test that the mean of n differences is 0.

    Student, "The probable error of a mean", Biometrika 6 (1908). It takes the differences as normal
    and independent. None where there is nothing to test against: under two differences, or where
    all are the same, for a spread of 0 would make any difference certain, and any chance too.
    """
    if not spread(differences):
        return None
    n = len(differences)
    t = statistics.fmean(differences) / (spread(differences) / math.sqrt(n))
    return 2 * float(stats.t.sf(abs(t), n - 1))


def spread(values: Sequence[float]) -> float:
    """Give the standard deviation of the values; 0 where they are fewer than two, or the same."""
    if len(values) < 2 or max(values) - min(values) < NO_SPREAD:
        return 0.0
    return statistics.stdev(values)


def holm(tests: Mapping[K, float]) -> dict[K, float]:
    """Adjust the p of each of m tests: the chance that even one under 0.05 is wrong is at most 5 %.

    The k-th smallest, from 1, is multiplied by m - k + 1, is at least the adjusted one before it,
    and at most 1: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6 (1979).
    """
    adjusted: dict[K, float] = {}
    highest = 0.0
    for before, (name, p) in enumerate(sorted(tests.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(tests) - before) * p))
        adjusted[name] = highest
    return adjusted


def seeds_needed(mean: float, deviation: float) -> int | None:
    """Give the smallest n at which a paired t-test tells a true mean difference from 0, and its
    sign, with 80 % power, two-sided at 5 %, by the noncentral t distribution.

    `deviation` > 0 is the standard deviation of the differences. None: it takes over 1000.
    """
    numbers = range(2, MOST_SEEDS + 1)
    return next((n for n in numbers if _power(abs(mean) / deviation, n) >= POWER), None)


def _power(effect: float, n: int) -> float:
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return float(stats.nct.sf(quantile, n - 1, effect * math.sqrt(n)))
