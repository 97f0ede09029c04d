"""From the merged fields of a cell to a run, and to the architectures that are to teach it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from ekd.spec.check import message
from ekd.spec.errors import SpecError, nearest
from ekd.spec.fields import Values
from ekd.spec.load import recipes
from ekd.spec.values import Data, Frozen, MethodFields, Model, Recipe, Run

F = TypeVar("F", bound=Frozen)
Methods = Mapping[str, type[MethodFields]]

PAPER_TEACHERS = (
    "resnet14", "resnet20", "resnet26", "resnet32", "resnet44", "resnet56", "resnet110",
)  # fmt: skip
"""T1 to T7, in the order of Sec. 4.1."""

SUBJECT = {"student": ("arch",), "data": ("name",)}
"""The field that a check of the whole section is about."""

DEFAULT_RECIPE = "paper"
"""The recipe of a run that names none."""

SECTIONS = ("student", "data", "method", "recipe", "readings", "teachers", "teachers_from")


class FieldError(SpecError):
    """A wrong field of a cell; whoever knows where it was written adds the place."""

    def __init__(self, path: str, text: str, place: str = "", written: str = "") -> None:
        super().__init__(f"{path}: {text}")
        self.path = path
        self.text = text
        self.place = place
        self.written = written

    def at(self, place: str, written: str = "") -> FieldError:
        """Add where it stands, `[[rows]] 3`, and the path, or a part of it, that stands there."""
        return FieldError(self.path, self.text, place, written)


def resolve(values: Values, seed: int, methods: Methods) -> Run:
    """Check the fields of a cell and fill in the defaults; teachers are derived by plan.

    Raises FieldError, which names the field, what was expected and the nearest right name.
    """
    check_sections(values)
    return Run(
        student=_section(Model, _table(values, "student"), "student"),
        data=_section(Data, _table(values, "data"), "data"),
        method=_method(values, "method", methods),
        recipe=_recipe(values),
        seed=seed,
    )


def check_sections(values: Values) -> None:
    """Refuse fields that are in no section; FieldError."""
    for section in values:
        if section not in SECTIONS:
            hint = nearest(section, SECTIONS)
            raise FieldError(section, f"unknown section{hint}; sections are {', '.join(SECTIONS)}")
        if section != "teachers":
            _table(values, section)


def teachers_of(values: Values) -> tuple[str, ...]:
    """Read the teachers of a cell: "T1-T3", "T2", "resnet14", or a list of these."""
    given = values.get("teachers", ())
    parts = re.split(r"\s*,\s*", given) if isinstance(given, str) else given
    if not isinstance(parts, list | tuple):
        raise FieldError("teachers", f"expected such as 'T1-T3' or 'resnet14', not {given!r}")
    return tuple(arch for part in parts for arch in _teachers(part))


def improver_of(values: Values, methods: Methods) -> MethodFields | None:
    """Read the method whose run hands its teachers on as it leaves them; None where none does."""
    given = _table(values, "teachers_from")
    if given and "name" not in given:
        raise FieldError("teachers_from", "whose teachers? Say teachers_from.name = METHOD as well")
    return _method(values, "teachers_from", methods) if given else None


def readings_of(values: Values, methods: Methods) -> set[str]:
    """Name the sets of readings that the methods of a cell have."""
    names = [_table(values, section).get("name") for section in ("method", "teachers_from")]
    found = [methods[name] for name in names if isinstance(name, str) and name in methods]
    return {reading for method in found for reading in method.readings}


def fields_of(values: Values, methods: Methods) -> list[str]:
    """List every field that the cell with these values can take, by dotted path."""
    models: dict[str, type[Frozen]] = {"student": Model, "data": Data, "recipe": Recipe}
    name = _table(values, "method").get("name", "plain")
    models["method"] = methods.get(name, MethodFields)
    improver = _table(values, "teachers_from").get("name")
    models["teachers_from"] = methods.get(improver, MethodFields) if improver else MethodFields
    fields = [f"{section}.{f}" for section, model in models.items() for f in model.model_fields]
    readings = ["readings.name"] if readings_of(values, methods) else []
    names = ["method.name", "recipe.name", "teachers", "teachers_from.name"]
    return [*fields, *names, *readings]


def _teachers(part: Any) -> tuple[str, ...]:
    match = re.fullmatch(r"T([1-7])(?:-T([1-7]))?", part) if isinstance(part, str) else None
    if match:
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last:
            return PAPER_TEACHERS[first - 1 : last]
    try:
        return (Model(arch=part).arch,)
    except ValidationError:
        raise FieldError(
            "teachers",
            f"{part!r} is neither T1 to T7, a range such as T1-T3, nor an architecture such as "
            f"resnet14{nearest(str(part), PAPER_TEACHERS)}",
        ) from None


def _table(values: Values, section: str) -> Values:
    table = values.get(section, {})
    if not isinstance(table, dict):
        field = {"student": "arch"}.get(section, "name")
        raise FieldError(
            section, f"expected fields, such as {section}.{field} = ..., not {table!r}"
        )
    return dict(table)


def _method(values: Values, section: str, methods: Methods) -> MethodFields:
    """Read the method of a section, with its fields and what a set of readings says of them."""
    given = _table(values, section)
    name = given.pop("name", "plain")
    if not isinstance(name, str) or name not in methods:
        hint = nearest(str(name), methods)
        raise FieldError(
            f"{section}.name", f"no method {name!r}{hint}; there are {', '.join(methods)}"
        )
    return _section(methods[name], _reading(values, name, methods) | given, section)


def _recipe(values: Values) -> Recipe:
    given = _table(values, "recipe")
    name = given.pop("name", DEFAULT_RECIPE)
    if not isinstance(name, str) or name not in recipes():
        hint = nearest(str(name), recipes())
        raise FieldError(
            "recipe.name", f"no recipe {name!r}{hint}; there are {', '.join(recipes())}"
        )
    try:
        return _section(Recipe, recipes()[name] | given, "recipe")
    except FieldError as error:
        if error.path.removeprefix("recipe.") in given or (error.path == "recipe" and given):
            raise
        raise FieldError("recipe.name", f"{name!r} of recipes.toml: {error}") from None


def _reading(values: Values, method: str, methods: Methods) -> Values:
    given = _table(values, "readings")
    name = given.pop("name", None)
    if given:
        raise FieldError(f"readings.{next(iter(given))}", "unknown field; there is readings.name")
    if name is None:
        return {}
    known = readings_of(values, methods) or _all_readings(methods)
    if not isinstance(name, str) or name not in known:
        raise FieldError(
            "readings.name",
            f"{method} has no set of readings {name!r}{nearest(str(name), known)}; there are "
            f"{', '.join(sorted(known))}",
        )
    return dict(methods[method].readings.get(name, {}))  # none: the cell shares it with others


def _all_readings(methods: Methods) -> set[str]:
    found: set[str] = set()
    for name in methods:
        with contextlib.suppress(SpecError):  # a broken file is told of where its method is named
            found |= set(methods[name].readings)
    return found


def _section(model: type[F], given: Values, section: str) -> F:
    try:
        return model.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as problem:
        error = problem.errors()[0]
    loc = error["loc"] or SUBJECT.get(section, ())
    path = ".".join([section, *(part for part in loc if isinstance(part, str))])
    position = "".join(f"value {part + 1}: " for part in loc if isinstance(part, int))
    raise FieldError(path, position + message(error, list(model.model_fields)))
