"""What a search found: its study, and what the runs behind it gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from ekd.sweep.facts import Facts, State, Trial, Value

PAPER = "paper"
"""Label of the point that the paper took."""


@dataclass(frozen=True)
class Dimension:
    """One field that was searched."""

    field: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[Value, ...] = ()
    """All values, where they lie on no line."""

    @property
    def name(self) -> str:
        """The last part of the field's path."""
        return self.field.rpartition(".")[2]

    @property
    def range(self) -> str:
        """Say what the values are."""
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        log = " (log)" if self.log else ""
        return f"{self.low:g} to {self.high:g}{log}"


@dataclass(frozen=True)
class Rerun:
    """A trial's point, trained from another seed."""

    seed: int
    run: str | None
    accuracy: float | None
    """On the hold-out, as a fraction; None where the run is not done."""


@dataclass(frozen=True)
class Again:
    """One of the best trials, and its re-runs: how much of its lead was luck."""

    trial: Trial
    reruns: tuple[Rerun, ...]

    @property
    def fresh(self) -> list[float]:
        """Accuracies of the re-runs that are done: the trial was not chosen for these."""
        return [one.accuracy for one in self.reruns if one.accuracy is not None]

    @property
    def mean(self) -> float:
        """The mean over the trial and its re-runs: what the choice goes by."""
        return fmean([self.trial.values[0], *self.fresh])

    @property
    def luck(self) -> float | None:
        """By how much the trial is above the mean of its re-runs."""
        return self.trial.values[0] - fmean(self.fresh) if self.fresh else None


@dataclass(frozen=True)
class OnTest:
    """The chosen trial on the test images, over its own run and its re-runs."""

    number: int
    runs: tuple[str, ...]
    accuracies: tuple[float, ...]
    holdout: float
    """The mean of the same runs on the hold-out; all are fractions."""

    @property
    def accuracy(self) -> float:
        """The mean over the runs."""
        return fmean(self.accuracies)

    @property
    def gap(self) -> float:
        """By how much the hold-out was kinder than the test images."""
        return self.holdout - self.accuracy


@dataclass(frozen=True)
class Search:
    """Everything that the page, the text and the JSON show."""

    facts: Facts
    again: tuple[Again, ...]
    test: OnTest | None
    torn: bool
    """The journal's last line was not whole, and is left out."""

    @property
    def title(self) -> str:
        """The heading."""
        return str(self.facts.about.get("title") or self.facts.name)

    @property
    def scale(self) -> str:
        """The scale of the runs; empty where the study does not say."""
        return str(self.facts.about.get("scale") or "")

    @property
    def overrides(self) -> tuple[str, ...]:
        """The `-s` options of the search."""
        return tuple(map(str, self.facts.about.get("overrides") or ()))

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, by number."""
        return self.facts.trials

    @property
    def two(self) -> bool:
        """Operations are an objective beside accuracy."""
        return len(self.facts.directions) > 1

    @property
    def states(self) -> dict[State, int]:
        """How many trials are in which state."""
        return dict(Counter(trial.state for trial in self.trials))

    @property
    def under_way(self) -> bool:
        """A trial is running or waits to be."""
        return any(trial.state in ("RUNNING", "WAITING") for trial in self.trials)

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The fields that were searched, as the space lists them."""
        space = self.facts.about.get("space") or {}
        drawn = dict.fromkeys(field for trial in self.trials for field in trial.params)
        return tuple(self._dimension(field, space.get(field, {})) for field in {**space, **drawn})

    def _dimension(self, field: str, given: Mapping[str, Any]) -> Dimension:
        values = [trial.params[field] for trial in self.trials if field in trial.params]
        choices = tuple(given.get("choices") or ())
        if choices or not all(_is_number(value) for value in values):
            return Dimension(field, choices=tuple(dict.fromkeys((*choices, *values))))
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        low, high = given.get("low"), given.get("high")
        log = bool(given.get("log")) and all(number > 0 for number in numbers)
        low = min(numbers, default=0.0) if low is None else low
        high = max(numbers, default=1.0) if high is None else high
        return Dimension(field, float(low), float(high), log, bool(given.get("integer")))

    @property
    def by_importance(self) -> list[Dimension]:
        """The fields, those that matter most by fANOVA first (else by PED-ANOVA)."""
        weight = self.facts.importances.fanova or self.facts.importances.ped_anova or {}
        return sorted(self.dimensions, key=lambda one: -weight.get(one.field, 0.0))

    @cached_property
    def ranked(self) -> list[Trial]:
        """Completed trials, the most accurate first; of equal ones the earliest."""
        done = [trial for trial in self.trials if trial.value is not None]
        return sorted(done, key=lambda one: (-one.values[0], one.number))

    @property
    def best(self) -> Trial | None:
        """The most accurate trial."""
        return self.ranked[0] if self.ranked else None

    @property
    def front(self) -> list[Trial]:
        """Trials that none beats in accuracy without more operations; the most accurate first."""
        kept: list[Trial] = []
        if not self.two:
            return kept
        for trial in sorted(self.ranked, key=lambda one: (-one.values[0], *one.values[1:])):
            if not kept or trial.values[1] < kept[-1].values[1]:
                kept.append(trial)
        return kept

    @property
    def history(self) -> list[Trial]:
        """The completed trials that were better than all before them."""
        records: list[Trial] = []
        for trial in self.trials:
            if trial.value is not None and (not records or trial.value > records[-1].values[0]):
                records.append(trial)
        return records

    @cached_property
    def paper(self) -> Trial | None:
        """The trial of the paper's point; where it was tried again, the one that got furthest."""
        found: list[Trial] = []
        for trial in self.trials:
            if trial.label == PAPER or trial.retry_of in {other.number for other in found}:
                found.append(trial)
        done = [trial for trial in found if trial.value is not None]
        return next(iter(done or found[::-1]), None)

    @property
    def paper_point(self) -> dict[str, Value]:
        """What the paper took, where the search names it."""
        points = self.facts.about.get("first") or ()
        named = [point["set"] for point in points if point.get("label") == PAPER]
        return dict(named[0]) if named else dict(self.paper.params) if self.paper else {}

    @property
    def paper_rank(self) -> int | None:
        """The place of the paper's point among the completed trials; equal ones share theirs."""
        if self.paper is None or self.paper.value is None:
            return None
        return 1 + sum(trial.values[0] > self.paper.value for trial in self.ranked)

    @property
    def paper_ties(self) -> int:
        """How many others are exactly as accurate as the paper's point."""
        paper = self.paper
        return sum(
            trial.values[0] == paper.value and trial is not paper
            for trial in self.ranked
            if paper is not None
        )

    @property
    def failures(self) -> list[Trial]:
        """Trials that failed."""
        return [trial for trial in self.trials if trial.state == "FAIL"]

    @property
    def hours(self) -> float:
        """What the trials' runs trained, in hours."""
        return sum(trial.seconds or 0.0 for trial in self.trials) / 3600

    @property
    def wall_hours(self) -> float:
        """From the first trial's start to the last moment that a trial began or ended."""
        return self.length / 3600

    @property
    def length(self) -> float:
        """The last moment that is known of, in seconds."""
        return max((m for t in self.trials for m in (t.start, t.stop) if m is not None), default=0)

    def retried_as(self, trial: Trial) -> int | None:
        """Give the trial that has a failed one's point."""
        return next((one.number for one in self.trials if one.retry_of == trial.number), None)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
