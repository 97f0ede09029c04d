"""Exhibits, scales and recipes by name, out of their TOML files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from ekd.spec.check import checked, line_of, read_toml
from ekd.spec.errors import SpecError, nearest
from ekd.spec.exhibit import KINDS, Exhibit, Scale
from ekd.spec.fields import Values
from ekd.spec.places import folder

V = TypeVar("V", bound=BaseModel)
NOT_EXHIBITS = ("scales", "recipes")


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
    if "kind" not in values:
        raise SpecError(f"{path}: kind: a value is needed, one of {', '.join(KINDS)}")
    kind = values["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        line, hint = line_of(path.read_text(encoding="utf-8"), "kind"), nearest(str(kind), KINDS)
        raise SpecError(f"{path}{line}: kind: no {kind!r}{hint}; expected {', '.join(KINDS)}")
    exhibit = checked(KINDS[kind], values, path)
    return with_absolute_paths(exhibit, path.resolve().parent)


@cache
def scales() -> dict[str, Scale]:
    """Read experiments/scales.toml."""
    return _tables("scales", Scale)


@cache
def recipes() -> dict[str, Values]:
    """Read experiments/recipes.toml: named values of recipe fields."""
    path = folder("experiments") / "recipes.toml"
    values = read_toml(path)
    for name, fields in values.items():
        if not isinstance(fields, dict):
            line = line_of(path.read_text(encoding="utf-8"), name)
            raise SpecError(f"{path}{line}: {name}: expected a table [{name}] of fields")
    return values


def choose(kind: str, name: str, options: dict[str, V]) -> V:
    """Take one of the named options; SpecError names the nearest."""
    if name not in options:
        hint = nearest(name, options)
        raise SpecError(f"no {kind} {name!r}{hint}: there are {', '.join(options)}")
    return options[name]


def _tables(name: str, model: type[V]) -> dict[str, V]:
    path = folder("experiments") / f"{name}.toml"
    return {key: checked(model, values, path, key) for key, values in read_toml(path).items()}


def with_absolute_paths(exhibit: V, base: Path) -> V:
    """Resolve each data.path of an exhibit or sweep against the folder of the file."""

    def absolute(value: Any) -> Any:
        if isinstance(value, dict):
            result = {field: absolute(inner) for field, inner in value.items()}
            data = result.get("data")
            if isinstance(data, dict) and isinstance(data.get("path"), str) and data["path"]:
                result["data"] = data | {"path": str(base / data["path"])}
            return result
        return [absolute(inner) for inner in value] if isinstance(value, list | tuple) else value

    values = absolute(exhibit.model_dump(mode="json"))
    return type(exhibit).model_validate_json(json.dumps(values))
