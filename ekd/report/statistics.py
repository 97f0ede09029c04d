"""Intervals for means over seeds and for one accuracy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95


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
