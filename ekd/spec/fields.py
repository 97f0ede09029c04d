"""Fields by dotted path in nested tables: merge, assign, compare."""

from __future__ import annotations

import json
import operator
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ekd.spec.errors import SpecError

Values = dict[str, Any]

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
PATH = r"[a-z_][a-z0-9_]*(?:\.[a-z0-9_]+)*"


def merged(*layers: Mapping[str, Any]) -> Values:
    """Merge nested tables, later ones over earlier ones.

    `data.name` and `data.path` exclude each other: the later one wins.
    """
    result: Values = {}
    for layer in layers:
        data = layer.get("data")
        if isinstance(data, Mapping) and ("name" in data) != ("path" in data):
            earlier = result.get("data")
            for field in ("path", "fingerprint") if "name" in data else ("name",):
                if isinstance(earlier, dict):
                    earlier.pop(field, None)
        for field, value in layer.items():
            if isinstance(value, Mapping) and isinstance(result.get(field), dict):
                result[field] = merged(result[field], value)
            else:
                result[field] = merged(value) if isinstance(value, Mapping) else value
    return result


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """List the leaves of a nested table as (dotted path, value)."""
    for field, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{field}.")
        else:
            yield prefix + field, value


def nested(path: str, value: Any) -> Values:
    """Make the nested table that holds `value` at the dotted `path`."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def lookup(values: Mapping[str, Any], path: str) -> Any:
    """Give the value at the dotted `path`; KeyError where there is none."""
    found: Any = values
    for part in path.split("."):
        if not isinstance(found, Mapping):
            raise KeyError(path)
        found = found[part]
    return found


def literal(text: str) -> Any:
    """Read a value as TOML writes it; anything else, and dates and times, is a string."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
        json.dumps(value)
    except (tomllib.TOMLDecodeError, TypeError):
        return text
    return value


def assignment(text: str) -> tuple[str, Any]:
    """Read `field=value`."""
    match = re.fullmatch(rf"\s*({PATH})\s*=\s*(.*?)\s*", text)
    if not match:
        raise SpecError(f"-s {text!r}: expected field=value, such as -s recipe.epochs=5")
    return match[1], literal(match[2])


@dataclass(frozen=True)
class Condition:
    """One `--where`: a field, a comparison and a value."""

    path: str
    comparison: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read `field=value`, or another of the comparisons != < <= > >=."""
        match = re.fullmatch(rf"\s*({PATH})\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*", text)
        if not match:
            raise SpecError(
                f"--where {text!r}: expected a field, one of = != < <= > >= and a value, such as "
                "--where 'student.branches<=3'"
            )
        return cls(match[1], match[2], literal(match[3]))

    def values_in(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Give the field's value, or nothing where the cell has no such field."""
        try:
            return (lookup(values, self.path),)
        except KeyError:
            return ()

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Compare; a cell without the field does not match."""
        return any(self._compared(found) for found in self.values_in(values))

    def _compared(self, found: Any) -> bool:
        try:
            return OPERATORS[self.comparison](found, self.value)
        except TypeError:
            raise SpecError(
                f"--where {self.path}{self.comparison}{self.value}: {self.path} is {found!r}, "
                f"which cannot be compared with {self.value!r}"
            ) from None
