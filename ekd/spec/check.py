"""TOML in, checked values out, and every error with its file, line and place."""

from __future__ import annotations

import json
import math
import re
import reprlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ekd.spec.errors import EnvironmentProblem, SpecError, nearest
from ekd.spec.fields import Values, lookup

V = TypeVar("V", bound=BaseModel)
Location = tuple[int | str, ...]
JARGON = {
    "valid dictionary": "table of fields",
    "an object": "a table of fields",
    "valid tuple": "list",
    "valid array": "list",
    "valid string": "string",
    "valid integer": "whole number",
    "valid number": "number",
    "a valid boolean": "true or false",
}
"""How pydantic's words are said."""


def read_toml(path: Path) -> Values:
    """Parse a TOML file; SpecError names the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a BOM first
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not valid TOML: it is no UTF-8 text: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise SpecError(f"{path}: not valid TOML: its brackets are nested too deeply") from None
    except OSError as error:
        raise EnvironmentProblem(f"{path}: cannot be read: {error.strerror}") from None


def message(error: ErrorDetails, names: list[str]) -> str:
    """Say what is wrong with a field, and what was expected; `names` are the valid names there."""
    if error["type"] == "extra_forbidden":
        field = str(error["loc"][-1])
        return f"unknown field {field!r}{nearest(field, names)}; fields are {', '.join(names)}"
    if error["type"] == "missing":
        return "a value is needed"
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return text
    if error["type"] == "too_short":
        return f"at least {error['ctx']['min_length']} value is needed"
    if error["type"] == "too_long":
        return f"at most {error['ctx']['max_length']} values may stand here"
    for jargon, plain in JARGON.items():
        text = text.replace(jargon, plain)
    hint = nearest(str(error["input"]), re.findall(r"'([^']+)'", text)) if "'" in text else ""
    return f"{text[0].lower()}{text[1:]}, not {reprlib.repr(error['input'])}{hint}"


def line_of(text: str, path: str, table: str = "", number: int = 0) -> str:
    """Give ", line n" of the key at the dotted `path` within the `number`th [table] or [[table]].

    Where the key does not stand there it is the table's own line; "" where that is not found.
    """
    lines = text.splitlines()
    entry = _entry(lines, table, number) if table else None
    first, last = entry or (0, len(lines))
    parts = path.split(".") if path else []
    for i in range(len(parts)):
        before = r"[\s{,.\"]" if i == 0 else r"[\s{,\"]"
        name = re.escape(".".join(parts[i:]))
        key = re.compile(rf"(^|{before}){name}\"?\s*(=|\.|\])")
        for index in range(first, last):
            if key.search(lines[index]) and not lines[index].lstrip().startswith("#"):
                return f", line {index + 1}"
    return f", line {first + 1}" if entry else ""


def _entry(lines: list[str], table: str, number: int) -> tuple[int, int] | None:
    """Give the lines, from and to, of a table with its sub-tables; None without a heading."""
    own = re.compile(rf"\s*\[+\s*{re.escape(table)}\s*\]+")
    heads = [i for i, line in enumerate(lines) if own.match(line)]
    if number >= len(heads):
        return None
    below = re.compile(rf"\s*\[+\s*{re.escape(table)}\s*\.")
    for end in range(heads[number] + 1, len(lines)):
        if re.match(r"\s*\[+[\w\s.\"-]+\]+\s*(#.*)?$", lines[end]) and not below.match(lines[end]):
            return heads[number], end
    return heads[number], len(lines)


def checked(model: type[V], values: Values, path: Path, table: str = "") -> V:
    """Validate the values of a file, or of its [table]; SpecError names place, line and field."""
    for loc, value in _leaves(values):
        if not isinstance(value, str) and not (
            isinstance(value, int | float) and math.isfinite(value)
        ):
            raise _wrong(path, values, loc, table, f"{value} has no meaning in a spec")
    try:
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as problem:
        errors = problem.errors()
    error = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    loc = _written(error["loc"], values)
    names = _names_at(model, loc) if error["type"] == "extra_forbidden" else []
    raise _wrong(path, values, loc, table, message(error, names))


def _wrong(path: Path, values: Values, loc: Location, table: str, said: str) -> SpecError:
    """Put the file, the line and the place before what is wrong."""
    text = path.read_text(encoding="utf-8")
    if table:
        line, place = line_of(text, _dotted(loc), table), f"[{table}] {_words(loc)}"
    elif len(loc) > 1 and isinstance(loc[1], int) and isinstance(values[str(loc[0])][loc[1]], dict):
        line = line_of(text, _dotted(loc[2:]), str(loc[0]), loc[1])
        place = f"[[{loc[0]}]] {loc[1] + 1}: {_words(loc[2:])}"
    else:
        line = _line_of_check(text, said, values) or _line_at_top(text, loc)
        place = _words(loc)
    return SpecError(f"{path}{line}: {place}{said}")


def _leaves(values: Any, loc: Location = ()) -> Iterator[tuple[Location, Any]]:
    """List every value of a file with its location."""
    if isinstance(values, dict | list):
        items = values.items() if isinstance(values, dict) else enumerate(values)
        for part, inner in items:
            yield from _leaves(inner, (*loc, part))
    else:
        yield loc, values


def _dotted(loc: Location) -> str:
    return ".".join(part for part in loc if isinstance(part, str))


def _written(loc: Location, values: Any) -> Location:
    """Cut a location where it leaves the file: pydantic appends the member of a union."""
    for depth, part in enumerate(loc):
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            missing = isinstance(values, dict) and depth == len(loc) - 1
            return loc[: depth + 1] if missing else loc[:depth]
    return loc


def _words(loc: Location) -> str:
    """Write a location as `quote.value: `, a position in a list as `values, value 2: `."""
    if not loc:
        return ""
    words = "".join(f", value {p + 1}" if isinstance(p, int) else f".{p}" for p in loc)
    return words.removeprefix(".") + ": "


def _line_of_check(text: str, said: str, values: Values) -> str:
    """Find the line of what a check of the whole exhibit names: `[paper] 'x'`, `[[cells]] 2`."""
    if match := re.match(r"\[+(\w+)\]+ (?:(\d+)|'(.*?)'): ", said):
        table, number, key = match.groups()
        return line_of(text, key or "", table, int(number or 1) - 1)
    if match := re.match(r"the label '(.*)' stands twice", said):
        for table in ("columns", "rows", "panels", "lines"):
            labels = [entry.get("label") for entry in values.get(table, [])]
            same = (match[1], match[1].split(" / "))
            found = [number for number, label in enumerate(labels) if label in same]
            if len(found) > 1:
                return line_of(text, "label", table, found[1])
    return line_of(text, "compare") if said.startswith("compare: ") else ""


def _line_at_top(text: str, loc: Location) -> str:
    names = [part for part in loc if isinstance(part, str)]
    if len(names) > 1:
        return line_of(text, ".".join(names[1:]), names[0])
    return (line_of(text, names[0]) or line_of(text, "", names[0])) if names else ""


def _names_at(model: type[BaseModel], loc: Location) -> list[str]:
    """List the fields of the model in which the last part of `loc` was looked for."""
    schema = model.model_json_schema()
    node: Any = schema
    for part in loc[:-1]:
        inner = node.get("properties", {}).get(part) or node.get("additionalProperties", {})
        node = node.get("items", {}) if isinstance(part, int) else inner
        options = [node, *node.get("anyOf", [])]
        reference = next((option["$ref"] for option in options if "$ref" in option), "")
        node = lookup(schema, reference[2:].replace("/", ".")) if reference else node
    return list(node.get("properties", {}))
