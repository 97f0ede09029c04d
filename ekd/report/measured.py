"""A cell that trains: its seeds, their mean and interval, and how the paper's value compares."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ekd.plan import Progress
from ekd.report.statistics import Interval, student_interval, wilson_interval
from ekd.spec import Run

MARGIN = 0.5
"""Points by which an interval is widened before the paper's value is looked for in it."""
JUDGED_SEEDS = 3
"""Finished seeds that a verdict needs."""


@dataclass(frozen=True)
class SeedRun:
    """One seed of a cell: its run, how far it is, and what it gave."""

    run: Run
    status: Progress
    result: Mapping[str, Any] | None
    """result.json of a finished run."""
    failure: str
    """Why there is no result, where the run failed or diverged."""
    sessions: tuple[Mapping[str, Any], ...]
    """Provenance: the sessions that trained the run, first to last."""

    @property
    def accuracy(self) -> float | None:
        """Test accuracy in percent; None before the end."""
        return None if self.result is None else 100 * float(self.result["accuracy"])

    @property
    def leaky(self) -> bool:
        """Tell whether the weights were chosen on the test images that score them."""
        data, recipe = self.run.data, self.run.recipe
        return recipe.selection == "best" and data.holdout == 0


@dataclass(frozen=True)
class Measured:
    """An accuracy over seeds, in percent, beside what the paper prints."""

    seeds: tuple[SeedRun, ...]
    paper: float | None
    comparable: bool
    """Student and data are the paper's: the difference means something."""
    judged: bool
    """Nothing else was changed either: there may be a verdict."""

    @cached_property
    def accuracies(self) -> tuple[float, ...]:
        """The finished seeds' test accuracies in percent."""
        return tuple(seed.accuracy for seed in self.seeds if seed.accuracy is not None)

    @property
    def n(self) -> int:
        """How many seeds are finished."""
        return len(self.accuracies)

    @property
    def mean(self) -> float | None:
        """Mean over the finished seeds in percent."""
        return statistics.fmean(self.accuracies) if self.accuracies else None

    @cached_property
    def interval(self) -> Interval | None:
        """The mean's 95 % Student interval in percent; None under two seeds."""
        return student_interval(self.accuracies) if self.n >= 2 else None

    @cached_property
    def over_images(self) -> Interval | None:
        """The only seed's 95 % Wilson interval over test images, in percent; None otherwise."""
        if self.n != 1:
            return None
        found = wilson_interval(
            round(self.accuracies[0] / 100 * self.test_images), self.test_images
        )
        return Interval(100 * found.low, 100 * found.high)

    @property
    def test_images(self) -> int:
        """How many images an accuracy is over; 0 where no seed is finished."""
        return next((int(s.result["test_images"]) for s in self.seeds if s.result is not None), 0)

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's in points, where student and data are the paper's."""
        if self.mean is None or self.paper is None or not self.comparable:
            return None
        return self.mean - self.paper

    @property
    def reproduced(self) -> bool | None:
        """The verdict: the paper's value lies in the widened interval; None where none is due."""
        if self.difference is None or not self.judged or self.n < JUDGED_SEEDS:
            return None
        assert self.interval is not None
        assert self.paper is not None
        return self.interval.holds(self.paper, MARGIN)

    @property
    def unfinished(self) -> dict[Progress, int]:
        """Count the seeds without a result by how far they are; those not begun come last."""
        counts = Counter(seed.status for seed in self.seeds if seed.result is None)
        return dict(sorted(counts.items(), key=lambda item: item[0] == "missing"))

    @property
    def leaky(self) -> bool:
        """Tell whether a seed's weights were chosen on the test images."""
        return any(seed.leaky for seed in self.seeds)
