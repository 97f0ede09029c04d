"""What may be searched: each dimension within its field's own bounds, and none without effect."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ekd.methods import discover
from ekd.spec import Data, Frozen, Model, Recipe, SpecError, nearest
from ekd.spec.fields import Values
from ekd.spec.resolve import FieldError, fields_of
from ekd.streams import generator
from ekd.sweep.point import Attributes, Params, point_cell, trial_run
from ekd.sweep.spec import Dimension

LOG_FROM = 100
"""Ratio of the ends from which a range of numbers is searched by their logarithms."""
HALVINGS = 40
"""Steps towards the end of what a method accepts."""
MIDDLES = 4
"""How many points within the space are tried, beside its corners, before a field counts as idle."""


@dataclass(frozen=True)
class Bounds:
    """The numbers that a field takes; an open end is not among them."""

    low: float
    high: float
    low_open: bool
    high_open: bool
    integer: bool

    def __str__(self) -> str:
        first = "above " if self.low_open else ""
        last = "below " if self.high_open else ""
        return f"{first}{self.low:g} to {last}{self.high:g}"

    def take(self, low: float, high: float) -> bool:
        """Tell whether all from low to high may be taken."""
        below = low < self.low or (self.low_open and low == self.low)
        above = high > self.high or (self.high_open and high == self.high)
        return not (below or above)


def model_of(field: str, values: Values) -> type[Frozen] | None:
    """Give the model that a field belongs to."""
    section = field.partition(".")[0]
    if section in ("method", "teachers_from"):
        return discover().get(values.get(section, {}).get("name", "plain"))
    models: dict[str, type[Frozen]] = {"student": Model, "data": Data, "recipe": Recipe}
    return models.get(section)


def bounds_of(model: type[Frozen], field: str) -> Bounds | None:
    """Read the bounds of a number from the model's own field; None where it is no number."""
    info = model.model_fields.get(field)
    if info is None or info.annotation not in (int, float):
        return None
    found: dict[str, float] = {}
    for part in info.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(part, name):
                found[name] = float(getattr(part, name))
    infinite = float("inf")
    return Bounds(
        found.get("ge", found.get("gt", -infinite)),
        found.get("le", found.get("lt", infinite)),
        "ge" not in found,
        "le" not in found,
        info.annotation is int,
    )


def check_dimension(field: str, dimension: Dimension, values: Values) -> None:
    """Refuse a field that is none, or a dimension beyond it; SpecError without its place."""
    known = fields_of(values, discover())
    if field not in known:
        raise SpecError(f"no such field{nearest(field, known)}")
    if dimension.low is None or dimension.high is None:
        return
    model = model_of(field, values)
    bounds = bounds_of(model, field.partition(".")[2]) if model else None
    if bounds is None:
        raise SpecError("it is no number: give choices in place of low and high")
    if bounds.integer and not dimension.integer:
        raise SpecError("it is a whole number: add integer = true")
    if not bounds.take(dimension.low, dimension.high):
        raise SpecError(f"{dimension} goes beyond the field's own bounds, {bounds}")


def own_space(method: str, values: Values) -> dict[str, Dimension]:
    """Make a space of all numbers of a method that have bounds on both sides."""
    found = {}
    for name in discover()[method].model_fields:
        bounds = bounds_of(discover()[method], name)
        if bounds and bounds.low > -float("inf") and bounds.high < float("inf"):
            found[f"method.{name}"] = _within(bounds)
    return found


def _within(bounds: Bounds) -> Dimension:
    if bounds.integer:
        low, high = bounds.low + bounds.low_open, bounds.high - bounds.high_open
        return Dimension(low=low, high=high, integer=True)
    width = bounds.high - bounds.low
    low = bounds.low + (width / 1000 if bounds.low_open else 0)
    high = bounds.high - (width / 1000 if bounds.high_open else 0)
    return Dimension(low=low, high=high, log=low > 0 and high / low > LOG_FROM)


def accepted(
    study: Attributes, field: str, dimension: Dimension, default: float, data_root: Path
) -> Dimension:
    """Cut a range of numbers, beside a method's other defaults, to what the method accepts."""

    def fits(value: float) -> bool:
        given = int(value) if dimension.integer else value
        return not _run_or_error(study, {field: given}, data_root)[1]

    assert dimension.low is not None
    assert dimension.high is not None
    low, high = (_furthest(default, end, fits) for end in (dimension.low, dimension.high))
    if dimension.integer:
        low, high = math.ceil(low), math.floor(high)
    log = dimension.log and high / low > LOG_FROM
    return Dimension(low=low, high=high, integer=dimension.integer, log=log)


def _furthest(inside: float, end: float, fits: Callable[[float], bool]) -> float:
    """Give the value nearest to `end` that fits, to six digits, by halving the way to it."""
    if not fits(inside) or fits(end):
        return end  # a default that is refused is told of later
    for _ in range(HALVINGS):
        middle = (inside + end) / 2
        inside, end = (middle, end) if fits(middle) else (inside, middle)
    rounded = float(f"{inside:.6g}")
    return rounded if fits(rounded) else inside


def check_effects(
    study: Attributes, space: dict[str, Dimension], starts: Sequence[Params], data_root: Path
) -> dict[str, str]:
    """Name the fields that cannot matter, with the reason: no two values give two trainings.

    Raises FieldError, with its place, where no point at all can be trained.
    """
    bases: list[Params] = [*starts, *_samples(space)]
    errors = [_run_or_error(study, base, data_root)[1] for base in bases]
    if all(errors):
        cell = point_cell(study, bases[0])
        raise cell.placed(next(error for error in errors if error))
    return {
        field: reason
        for field in space
        if (reason := _idle(study, field, space[field], bases, data_root))
    }


def _idle(
    study: Attributes, field: str, dimension: Dimension, bases: Sequence[Params], data_root: Path
) -> str:
    """Say why a field cannot matter; "" where it does."""
    reason = "all its values are the same training"
    for base in bases:
        found = [
            _run_or_error(study, {**base, field: value}, data_root) for value in _ends(dimension)
        ]
        if len({key for key, error in found if not error}) > 1:
            return ""
        reasons = [error.text for key, error in found if error]
        if reasons and len(reasons) < len(found):
            reason = reasons[-1]
    return reason


def _run_or_error(
    study: Attributes, params: Params, data_root: Path
) -> tuple[str, FieldError | None]:
    try:
        return trial_run(study, params, study["seed"], data_root).key, None
    except FieldError as error:
        return "", error


def _ends(dimension: Dimension) -> list[Any]:
    """Give values that are far apart, the middle among them."""
    if dimension.low is None or dimension.high is None:
        return list(dimension.choices)
    ends = [dimension.low, (dimension.low + dimension.high) / 2, dimension.high]
    return [int(value) for value in ends] if dimension.integer else ends


def _samples(space: dict[str, Dimension]) -> Iterator[dict[str, Any]]:
    """Give the middle of the space, its two corners, and some points that are none of these."""
    ends = {field: _ends(dimension) for field, dimension in space.items()}
    yield {field: values[len(values) // 2] for field, values in ends.items()}
    yield {field: values[-1] for field, values in ends.items()}
    yield {field: values[0] for field, values in ends.items()}
    random = generator(0, "space")
    for _ in range(MIDDLES):
        yield {field: values[int(_uniform(random) * len(values))] for field, values in ends.items()}


def _uniform(random: Any) -> float:
    import torch

    return float(torch.rand((), generator=random))


def grid_points(
    study: Attributes, grid: dict[str, tuple[Any, ...]], data_root: Path
) -> tuple[list[dict[str, Any]], int]:
    """Combine the values of a grid; give the points that can be trained, and how many cannot."""
    combined = [
        dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
    ]
    kept = [point for point in combined if not _run_or_error(study, point, data_root)[1]]
    return kept, len(combined) - len(kept)
