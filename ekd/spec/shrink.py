"""What a scale does to one cell, and how that is said."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ekd.spec.exhibit import Scale
from ekd.spec.fields import Values, flattened, lookup, merged
from ekd.spec.resolve import teachers_of
from ekd.spec.values import KNOWN, depth_of

WHOLE = {"data": {"fraction": 1.0}}
"""What a cell says that names no fraction."""


def changes(values: Values, scale: Scale) -> Values:
    """Give by dotted path what a scale puts in place of single values; wrong ones stay."""
    found: Values = {}
    fraction = values.get("data", {}).get("fraction", 1.0)
    if scale.fractions and isinstance(fraction, float) and 0 < fraction <= 1:
        found["data.fraction"] = _nearest_of(scale.fractions, fraction)
    branches = values.get("student", {}).get("branches", 1)
    count = None
    if scale.branches and type(branches) is int and branches >= 1:
        count = found["student.branches"] = int(_nearest_of(scale.branches, branches))
    return found | (_cut_networks(values, scale.max_depth, count) if scale.max_depth else {})


def _cut_networks(values: Values, max_depth: int, count: int | None) -> Values:
    """Cut the student, `count` teachers, and whatever network a method's field names."""
    found: Values = {}
    student = {"student.arch": values.get("student", {}).get("arch", "resnet8")}
    named = {f"method.{name}": value for name, value in values.get("method", {}).items()}
    for path, arch in (named | student).items():
        with contextlib.suppress(ValueError):  # no network, or a wrong one, which is told of later
            found[path] = _cut(str(arch), max_depth)
    if "teachers" in values:
        found["teachers"] = [_cut(arch, max_depth) for arch in teachers_of(values)[:count]]
    return found


def _nearest_of(options: tuple[float, ...], value: float) -> float:
    return min(sorted(options), key=lambda option: round(abs(option - value), 9))


def _cut(arch: str, max_depth: int) -> str:
    return f"resnet{min(depth_of(arch), max_depth)}"


def replacements(own: Values, full: Values, shrunk: Values) -> dict[str, str]:
    """Say "3 in place of 7" for each field of `own` that the scale changed, by the old value."""
    phrases = {}
    full, shrunk = merged(WHOLE, full), merged(WHOLE, shrunk)
    for path, _ in flattened(own):
        section = path.partition(".")[0]
        if section not in ("student", "data"):
            continue
        old = shown_value(path, lookup(full, path))
        data = shrunk.get("data", {})
        new = shown_value(
            path, lookup(shrunk, path if path != "data.path" or "path" in data else "data.name")
        )
        if old != new:
            phrases[old] = f"{new} in place of {old}"
    return phrases


def shown_value(path: str, value: Any) -> str:
    """Write a field's value as a heading says it."""
    if path == "data.fraction" and isinstance(value, int | float):
        return f"{100 * value:g} %"
    if path == "data.name" and isinstance(value, str) and value in KNOWN:
        return KNOWN[value].title
    if path == "data.path":
        return Path(str(value)).name
    if path == "student.arch":
        return str(value).replace("resnet", "ResNet")
    return str(value)
