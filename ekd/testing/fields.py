"""What a method says of itself: its source, its fields, its named readings."""

from __future__ import annotations

import inspect
import re

from pydantic import ValidationError

from ekd.methods import Method
from ekd.testing.trial import demand

SOURCE = re.compile(r"arXiv[: ]\d{4}\.\d{4,5}|doi|Table \d")


def check_it_cites_its_paper(method: Method) -> None:
    """Demand a docstring that names an arXiv number, a doi, or a table of the paper."""
    own = vars(type(method)).get("__doc__") or ""
    cited = SOURCE.search(inspect.cleandoc(own)) is not None
    demand(cited, method, "its docstring cites no source: give an arXiv number or a doi")


def check_every_field_is_explained_and_has_a_default(method: Method) -> None:
    """Demand a docstring under each field, and a default value."""
    for name, field in type(method).model_fields.items():
        demand(bool(field.description), method, f"the field {name} has no docstring under it")
        demand(not field.is_required(), method, f"the field {name} has no default value")


def check_fields_survive_json(method: Method) -> None:
    """Demand that the fields can be written to JSON and read again: stores and keys do it."""
    try:
        again = type(method).model_validate_json(method.model_dump_json(), strict=True)
    except (ValidationError, ValueError, TypeError) as error:
        told = str(error).splitlines()[0]
        raise AssertionError(f"{method.name()}: its fields cannot become JSON: {told}") from error
    for name in type(method).model_fields:
        before, after = getattr(method, name), getattr(again, name)
        same = before == after and type(before) is type(after)
        demand(same, method, f"the field {name} is {before!r}, and {after!r} after JSON")


def check_named_readings_are_fields(method: Method) -> None:
    """Demand that each set of `readings` is made of valid fields, and the first of defaults."""
    kind = type(method)
    for number, (name, fields) in enumerate(kind.readings.items()):
        try:
            read = kind.model_validate(dict(fields))
        except ValidationError as error:
            told = " ".join(str(error).split())
            raise AssertionError(f"{method.name()}: the reading {name}: {told}") from error
        if number == 0:
            demand(read == kind(), method, f"the first reading, {name}, is not what defaults say")
