"""Sweeps: what is searched, around which run, by which means; as TOML has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ekd.spec import Frozen, SpecError, nearest
from ekd.spec.check import checked, line_of, read_toml
from ekd.spec.exhibit import Seeds, Text
from ekd.spec.fields import PATH, merged
from ekd.spec.load import with_absolute_paths
from ekd.spec.places import folder

Sampler = Literal["tpe", "tpe-classic", "grid", "random", "gp", "nsga2"]
Pruner = Literal["halving", "hyperband", "median", "none"]
Objective = Literal["accuracy", "operations"]
Value = int | float | str
Trials = Annotated[int, Field(ge=1, le=100_000)]
LIMITS = ("parameters", "operations")


class Dimension(Frozen):
    """What one field may be: a number between two bounds, or one of the choices."""

    low: float | None = None
    """The smallest value."""
    high: float | None = None
    """The largest value."""
    integer: bool = False
    """Only whole numbers."""
    log: bool = False
    """Search the logarithm."""
    choices: tuple[Value, ...] = ()
    """The values, where they lie in no range."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.choices:
            if self.low is not None or self.high is not None or self.integer or self.log:
                raise ValueError("choices stand alone: take out low, high, integer and log")
            if len(set(self.choices)) < len(self.choices):
                raise ValueError("one of the choices stands twice")
            if len(self.choices) < 2:
                raise ValueError("one choice is nothing to search: give more, or set it in [run]")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true needs low above 0, not {self.low:g}")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("integer = true needs whole bounds")
        return self

    def contains(self, value: Any) -> bool:
        """Tell whether the value can be drawn."""
        if self.low is None or self.high is None:
            return value in self.choices
        return (
            isinstance(value, int | float)
            and self.low <= value <= self.high
            and not (self.integer and value != int(value))
        )

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return ", ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}"


class First(Frozen):
    """A point that is tried before any other."""

    label: Text
    """Its name; "paper" is the point that the paper took."""
    set: dict[str, Value] = Field(min_length=1)
    """A value for every field of the space."""


class Again(Frozen):
    """How the best trials are trained once more."""

    best: int = Field(0, ge=0, le=100)
    """How many of them."""
    seeds: Seeds = (1, 2)
    """Their new seeds."""


class Budget(Frozen):
    """What a search costs at one scale."""

    set: dict[str, Any] = {}
    """Fields of the run, over those of [run] and below what the scale itself sets."""
    trials: Trials | None = None
    """In place of the sweep's own."""
    again: Again | None = None
    """In place of the sweep's own."""


class Sweep(Frozen):
    """One search."""

    title: Text
    """Heading of the page."""
    run: dict[str, Any]
    """Fields of the run that it varies, as in the [run] of an exhibit."""
    space: dict[str, Dimension] = Field(min_length=1)
    """What is searched, by the field's dotted path."""
    grid: dict[str, tuple[Value, ...]] = {}
    """The values that --sampler grid combines."""
    first: tuple[First, ...] = ()
    """Points to begin with."""
    sampler: Sampler = "tpe"
    """Who proposes points."""
    pruner: Pruner = "none"
    """Who ends trials early, by their accuracy on the hold-out."""
    trials: Trials
    """How many points are tried."""
    seed: int = Field(0, ge=0)
    """Seed of the sampler, and of every trial's run."""
    again: Again = Again()
    """What is trained once more, to tell luck from merit."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)] = ("accuracy",)
    """Accuracy on the hold-out, as high as can be; operations (MACs per image), as low."""
    limits: dict[Literal["parameters", "operations"], Annotated[float, Field(gt=0)]] = {}
    """What the student may cost: a point beyond is not trained."""
    scales: dict[str, Budget] = {}
    """What a search costs at a scale."""

    @field_validator("space", "grid")
    @classmethod
    def _paths(cls, given: dict[str, Any]) -> dict[str, Any]:
        for field in given:
            if not re.fullmatch(PATH, field) or "." not in field:
                raise ValueError(f"expected a field such as method.alpha, not {field!r}")
        return given

    @field_validator("objectives")
    @classmethod
    def _accuracy_first(cls, given: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if given not in (("accuracy",), ("accuracy", "operations")):
            raise ValueError('expected ["accuracy"] or ["accuracy", "operations"]')
        return given

    @model_validator(mode="after")
    def _points_lie_in_the_space(self) -> Self:
        for field, values in self.grid.items():
            if field not in self.space:
                raise ValueError(f"[grid] '{field}': it is no field of [space]")
            if not values:
                raise ValueError(f"[grid] '{field}': at least 1 value is needed")
            for value in values:
                self._check_inside(f"[grid] '{field}': ", field, value)
        if self.grid and set(self.grid) != set(self.space):
            lacking = next(field for field in self.space if field not in self.grid)
            raise ValueError(f"[grid] '{lacking}': it is in [space], so give its values")
        for number, point in enumerate(self.first, 1):
            place = f"[[first]] {number}: "
            if set(point.set) != set(self.space):
                raise ValueError(f"{place}give a value for each of {', '.join(self.space)}")
            for field, value in point.set.items():
                self._check_inside(place, field, value)
        return self

    def _check_inside(self, place: str, field: str, value: Value) -> None:
        if not self.space[field].contains(value):
            raise ValueError(
                f"{place}{field} = {value} lies outside of the space ({self.space[field]})"
            )

    def at(self, scale: str) -> Sweep:
        """Give the sweep with its budget at a scale."""
        budget = self.scales.get(scale, Budget())
        run = merged(self.run, budget.set)
        trials, again = budget.trials or self.trials, budget.again or self.again
        return self.model_copy(update={"run": run, "trials": trials, "again": again})


def sweep_names() -> list[str]:
    """List the sweeps that come with the suite."""
    return sorted(path.stem for path in folder("sweeps").glob("*.toml"))


def sweep_path(name: str) -> Path:
    """Find a sweep by its name, or a user's own by its path (it ends in .toml)."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"there is no file {name}: give the path of a sweep")
        return path
    if name not in sweep_names():
        raise SpecError(
            f"no sweep {name!r}{nearest(name, sweep_names())}: there are "
            f"{', '.join(sweep_names())}, or give the path of a .toml of your own"
        )
    return folder("sweeps") / f"{name}.toml"


def load_sweep(name_or_path: str) -> Sweep:
    """Read and check one sweep; a relative data.path is taken from the file's folder.

    Raises SpecError with file and line for what is wrong in it.
    """
    path = sweep_path(name_or_path)
    return with_absolute_paths(checked(Sweep, read_toml(path), path), path.resolve().parent)


def place_in(path: Path, field: str, table: str) -> str:
    """Give the file, the line and the table of a field, to put before what is wrong with it."""
    return f"{path}{line_of(path.read_text(encoding='utf-8'), field, table)}: [{table}] {field}"


def as_tables(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give plain JSON values of a mapping of models."""
    return {
        name: value.model_dump(mode="json", exclude_defaults=True) for name, value in values.items()
    }
