"""Why a run has to be trained: the nearest stored run, and the fields that differ from it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ekd.methods import discover
from ekd.models.resnet import WIDTH
from ekd.spec import Data, Frozen, Model, Recipe, Run
from ekd.store import Store

NUMERICS = "numerics"
"""Named as a difference where two runs have other keys though every field is the same."""


class Reference(Frozen):
    """A parent as spec.json names it."""

    run: str
    net: str


class Resolved(Frozen):
    """What spec.json says of a run; its fields are in the order in which they are compared."""

    student: dict[str, Any]
    data: dict[str, Any]
    method: dict[str, Any]
    recipe: dict[str, Any]
    seed: int
    teachers: tuple[Reference, ...]
    start: Reference | None

    @classmethod
    def of(cls, run: Run) -> Resolved:
        """Give what spec.json would say of `run`."""
        return cls.model_validate_json(json.dumps(run.resolved()))

    def parents(self) -> dict[str, Reference]:
        """Give the runs that must be finished before this one, by their place in it."""
        teachers = {f"teachers[{i}]": parent for i, parent in enumerate(self.teachers)}
        return teachers | ({"start": self.start} if self.start else {})

    def describe(self) -> str:
        """Name the run for people, as `ekd.plan.describe` does."""
        data = self.data.get("name") or str(self.data.get("path")).rpartition("/")[2]
        fraction, branches = self.data.get("fraction", 1), self.student.get("branches", 1)
        share = "" if fraction == 1 else f" {100 * fraction:g} %"
        count = "" if branches == 1 else f" x{branches}"
        width = self.student.get("width", WIDTH)
        count += "" if width == WIDTH else f" width {width}"
        arch = self.student.get("arch")
        return f"{self.method.get('name')} {arch}{count} {data}{share} seed {self.seed}"


@dataclass(frozen=True)
class Difference:
    """A field with another value in the run asked about (`here`) than in the other (`there`)."""

    field: str
    """Such as `recipe.epochs`, or `teachers[0]: recipe.epochs` where a parent's differs."""
    here: Any
    """A plain JSON value; None also where there is no such field or parent."""
    there: Any
    also_in: tuple[str, ...] = ()
    """Parents in which the field differs in the same way."""

    @property
    def of_numerics(self) -> bool:
        """No field differs here: `numerics` was bumped between the two runs."""
        return self.field.rpartition(" ")[2] == NUMERICS


@dataclass(frozen=True)
class Nearest:
    """The stored run with the fewest differences; there is at least one."""

    key: str
    differences: tuple[Difference, ...]


def stored_runs(store: Store) -> dict[str, Resolved]:
    """Read every run that the store has a folder of, by key; damaged specs are left out."""
    found = {}
    for path in sorted(store.root.glob("*/spec.json")):
        try:
            found[path.parent.name] = Resolved.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
    return found


def nearest_run(
    key: str, runs: Mapping[str, Resolved], stored: Collection[str], done: Collection[str]
) -> Nearest | None:
    """Find the stored run with the fewest differing fields; None where nothing is stored.

    `runs` holds all that is known by key: the run asked about, stored ones, and parents. Of equally
    near ones the first is taken: done before unfinished, then by distance of seeds, then by key.
    """
    here = runs[key]
    found = [Nearest(other, differences(key, other, runs)) for other in stored if other != key]

    def rank(one: Nearest) -> tuple[int, bool, int, str]:
        fields = sum(not difference.of_numerics for difference in one.differences)
        return fields, one.key not in done, abs(here.seed - runs[one.key].seed), one.key

    return min(found, key=rank, default=None)


def differences(key: str, other: str, runs: Mapping[str, Resolved]) -> tuple[Difference, ...]:
    """List the fields in which the run `key` differs from `other`, in the order of spec.json.

    Parents are compared field by field; a difference that a parent repeats is listed once. Where
    nothing but the keys differs, in the runs or in a pair of parents, `numerics` does.
    """
    found: dict[str, Difference] = {}
    for place, field, here, there in _compared("", key, other, runs):
        same = json.dumps([field, here, there], sort_keys=True)
        if same not in found:
            found[same] = Difference(f"{place}: {field}" if place else field, here, there)
        else:
            first = found[same]
            found[same] = Difference(first.field, here, there, (*first.also_in, place))
    return tuple(found.values())


_Compared = Iterator[tuple[str, str, Any, Any]]
"""The parent's place ("" for the run itself), the field, its value here and there."""


def _compared(place: str, key: str, other: str, runs: Mapping[str, Resolved]) -> _Compared:
    here, there = runs[key], runs[other]
    found = [*_fields(place, here, there), *_parents(place, here, there, runs)]
    yield from found or [(place, NUMERICS, None, None)]


def _fields(place: str, here: Resolved, there: Resolved) -> _Compared:
    for part in ("student", "data", "method", "recipe"):
        mine, other = getattr(here, part), getattr(there, part)
        if part == "method" and mine.get("name") != other.get("name"):
            mine, other = ({"name": fields.get("name")} for fields in (mine, other))
        for field in dict.fromkeys([*mine, *other]):
            values = [
                fields.get(field, _neutral(part, field, here.method)) for fields in (mine, other)
            ]
            if values[0] != values[1] and (part, field) != ("data", "path"):  # not in the key
                yield place, f"{part}.{field}", *values
    if here.seed != there.seed:
        yield place, "seed", here.seed, there.seed


def _parents(
    place: str, here: Resolved, there: Resolved, runs: Mapping[str, Resolved]
) -> _Compared:
    mine, others = here.parents(), there.parents()
    teachers = max((here.teachers, there.teachers), key=len)
    for name in [*(f"teachers[{i}]" for i in range(len(teachers))), "start"]:
        yield from _parent(place, name, mine.get(name), others.get(name), runs)


def _parent(
    place: str,
    name: str,
    mine: Reference | None,
    other: Reference | None,
    runs: Mapping[str, Resolved],
) -> _Compared:
    if mine and other and mine.run in runs and other.run in runs:
        inside = f"{place}: {name}" if place else name
        if mine.net != other.net:
            yield inside, "net", mine.net, other.net
        if mine.run != other.run:
            yield from _compared(inside, mine.run, other.run, runs)
    elif mine != other:
        yield place, name, _named(mine, runs), _named(other, runs)


def _named(parent: Reference | None, runs: Mapping[str, Resolved]) -> str | None:
    if parent is None:
        return None
    name = f" {runs[parent.run].describe()}" if parent.run in runs else ""
    return f"{parent.run}{name}" + ("" if parent.net == "student" else f" {parent.net}")


def _neutral(part: str, field: str, method: Mapping[str, Any]) -> Any:
    """Give what a field that was added later is where an older spec lacks it, else None."""
    parts: dict[str, type[Frozen]] = {"student": Model, "data": Data, "recipe": Recipe}
    owner = discover().get(str(method.get("name"))) if part == "method" else parts[part]
    info = owner.model_fields.get(field) if owner else None
    extra = info.json_schema_extra if info else None
    return extra.get("neutral") if isinstance(extra, dict) else None
