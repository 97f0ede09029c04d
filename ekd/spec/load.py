"""TOML in, exhibits and scales out, and every error with its place."""

from __future__ import annotations

import json
import re
import reprlib
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ekd.spec.errors import EnvironmentProblem, SpecError, nearest
from ekd.spec.exhibit import KINDS, Exhibit, Scale
from ekd.spec.fields import Values, lookup
from ekd.spec.places import folder

V = TypeVar("V", bound=BaseModel)
NOT_EXHIBITS = ("scales", "recipes")
JARGON = {
    "valid dictionary": "table of fields",
    "an object": "a table of fields",
    "valid tuple": "list",
    "valid array": "list",
    "valid string": "string",
    "valid integer": "whole number",
    "valid number": "number",
    "valid boolean": "true or false",
}
"""How pydantic's words are said."""


def exhibit_names() -> list[str]:
    """List the exhibits that come with the suite."""
    files = sorted(folder("experiments").glob("*.toml"))
    names = [file.stem for file in files if file.stem not in NOT_EXHIBITS]
    return sorted(names, key=lambda name: (not name.startswith("table"), name))


def exhibit_path(name: str) -> Path:
    """Find an exhibit by its name, or a user's own by its path (it ends in .toml)."""
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"there is no file {name}: give the path of a spec")
        return path
    if name not in exhibit_names():
        hint = nearest(name, exhibit_names())
        raise SpecError(
            f"no exhibit {name!r}{hint}: there are {', '.join(exhibit_names())}, or give the path "
            "of a .toml of your own"
        )
    return folder("experiments") / f"{name}.toml"


def load_exhibit(path: Path) -> Exhibit:
    """Read and check one exhibit; a relative data.path is taken from the file's folder."""
    values = read_toml(path)
    kind = values.get("kind")
    if kind not in KINDS:
        hint = nearest(str(kind), KINDS)
        raise SpecError(f"{path}: kind = {kind!r}{hint}: expected one of {', '.join(KINDS)}")
    exhibit = _checked(KINDS[kind], values, path)
    return _with_absolute_paths(exhibit, path.resolve().parent)


@cache
def scales() -> dict[str, Scale]:
    """Read experiments/scales.toml."""
    return _tables("scales", Scale)


@cache
def recipes() -> dict[str, Values]:
    """Read experiments/recipes.toml: named values of recipe fields."""
    values = read_toml(folder("experiments") / "recipes.toml")
    return TypeAdapter(dict[str, Values]).validate_python(values)


def choose(kind: str, name: str, options: dict[str, V]) -> V:
    """Take one of the named options; SpecError names the nearest."""
    if name not in options:
        hint = nearest(name, options)
        raise SpecError(f"no {kind} {name!r}{hint}: there are {', '.join(options)}")
    return options[name]


def read_toml(path: Path) -> Values:
    """Parse a TOML file; SpecError names the file and the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
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
    for jargon, plain in JARGON.items():
        text = text.replace(jargon, plain)
    hint = nearest(str(error["input"]), re.findall(r"'([^']+)'", text)) if "'" in text else ""
    return f"{text[0].lower()}{text[1:]}, not {reprlib.repr(error['input'])}{hint}"


def line_of(text: str, path: str, table: str = "", number: int = 0) -> str:
    """Give ", line n" of the key at the dotted `path` within the `number`th [table] or [[table]].

    Where the key does not stand there it is the table's own line; "" where that is not found.
    """
    lines = text.splitlines()
    first, last = _entry(lines, table, number) if table else (0, len(lines))
    parts = path.split(".") if path else []
    for i in range(len(parts)):
        before = r"[\s{,.\"]" if i == 0 else r"[\s{,\"]"
        name = re.escape(".".join(parts[i:]))
        key = re.compile(rf"(^|{before}){name}\"?\s*(=|\.|\])")
        for index in range(first, last):
            if key.search(lines[index]) and not lines[index].lstrip().startswith("#"):
                return f", line {index + 1}"
    return f", line {first + 1}" if first else ""


def _entry(lines: list[str], table: str, number: int) -> tuple[int, int]:
    """Give the lines, from and to, of a table with its sub-tables; all where it has no heading."""
    own = re.compile(rf"\s*\[+\s*{re.escape(table)}\s*\]+")
    heads = [i for i, line in enumerate(lines) if own.match(line)]
    if number >= len(heads):
        return 0, len(lines)
    below = re.compile(rf"\s*\[+\s*{re.escape(table)}\s*\.")
    for end in range(heads[number] + 1, len(lines)):
        if re.match(r"\s*\[+[\w\s.\"-]+\]+\s*(#.*)?$", lines[end]) and not below.match(lines[end]):
            return heads[number], end
    return heads[number], len(lines)


def _checked(model: type[V], values: Values, path: Path, table: str = "") -> V:
    """Validate the values of a file, or of its [table]; SpecError names place, line and field."""
    text = path.read_text(encoding="utf-8")
    try:
        return model.model_validate_json(json.dumps(values, default=_no_time), strict=True)
    except ValidationError as problem:
        error = problem.errors()[0]
    except TypeError as problem:
        raise SpecError(f"{path}: {problem}") from None
    loc = _written(error["loc"], values)
    said = message(error, _names_at(model, loc))
    if table:
        line, place = line_of(text, ".".join(map(str, loc)), table), f"[{table}] {_words(loc)}"
    elif len(loc) > 1 and isinstance(loc[1], int):
        line = line_of(text, ".".join(map(str, loc[2:])), str(loc[0]), loc[1])
        place = f"[[{loc[0]}]] {loc[1] + 1}: {_words(loc[2:])}"
    else:
        line, place = _line_of_check(text, said) or _line_at_top(text, loc), _words(loc)
    raise SpecError(f"{path}{line}: {place}{said}")


def _no_time(value: Any) -> Any:
    raise TypeError(f"{value} is a date or time, which has no meaning in a spec: put it in quotes")


def _written(loc: tuple[int | str, ...], values: Any) -> tuple[int | str, ...]:
    """Cut a location where it leaves the file: pydantic appends the member of a union."""
    for depth, part in enumerate(loc):
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            missing = isinstance(values, dict) and depth == len(loc) - 1
            return loc[: depth + 1] if missing else loc[:depth]
    return loc


def _words(loc: tuple[int | str, ...]) -> str:
    """Write a location as `quote.value: `, a position in a list as `values, value 2: `."""
    if not loc:
        return ""
    words = "".join(f", value {p + 1}" if isinstance(p, int) else f".{p}" for p in loc)
    return words.removeprefix(".") + ": "


def _line_of_check(text: str, said: str) -> str:
    """Find the line of what a check of the whole exhibit names: `[paper] 'x'`, `[[cells]] 2`."""
    match = re.match(r"\[+(\w+)\]+ (?:(\d+)|'(.*?)'): |(compare): ", said)
    if not match:
        return ""
    table, number, key, field = match.groups()
    return line_of(text, key or field or "", table or "", int(number or 1) - 1)


def _line_at_top(text: str, loc: tuple[int | str, ...]) -> str:
    if len(loc) == 1:
        return line_of(text, str(loc[0])) or line_of(text, "", str(loc[0]))
    names = [str(part) for part in loc if isinstance(part, str)]
    return line_of(text, ".".join(names[1:]), names[0]) if names else ""


def _names_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """List the fields of the model in which the last part of `loc` was looked for."""
    schema = model.model_json_schema()
    node: Any = schema
    for part in loc[:-1]:
        node = node.get("items", {}) if isinstance(part, int) else node["properties"].get(part, {})
        options = [node, *node.get("anyOf", [])]
        reference = next((option["$ref"] for option in options if "$ref" in option), "")
        node = lookup(schema, reference[2:].replace("/", ".")) if reference else node
    return list(node.get("properties", {}))


def _tables(name: str, model: type[V]) -> dict[str, V]:
    path = folder("experiments") / f"{name}.toml"
    return {key: _checked(model, values, path, key) for key, values in read_toml(path).items()}


def _with_absolute_paths(exhibit: Exhibit, base: Path) -> Exhibit:
    """Resolve each data.path against the folder of the file."""

    def absolute(value: Any) -> Any:
        if isinstance(value, dict):
            result = {field: absolute(inner) for field, inner in value.items()}
            data = result.get("data")
            if isinstance(data, dict) and isinstance(data.get("path"), str):
                result["data"] = data | {"path": str(base / data["path"])}
            return result
        return [absolute(inner) for inner in value] if isinstance(value, list | tuple) else value

    values = absolute(exhibit.model_dump(mode="json"))
    return type(exhibit).model_validate_json(json.dumps(values))
