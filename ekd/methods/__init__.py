"""Distillation methods: one file each, found by its name; files that start with _ are not methods.

To add one, drop `<name>.py` here with one subclass of Method in it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache

from ekd.methods._contract import (
    FORWARD,
    FORWARD_AND_BACKWARD,
    FORWARD_AND_INPUT_GRADIENT,
    Batch,
    InEval,
    Method,
    Objective,
    Step,
    architecture,
    copied,
    frozen,
)
from ekd.spec import SpecError

__all__ = [
    "FORWARD",
    "FORWARD_AND_BACKWARD",
    "FORWARD_AND_INPUT_GRADIENT",
    "Batch",
    "InEval",
    "Method",
    "Objective",
    "Step",
    "architecture",
    "copied",
    "discover",
    "frozen",
]


class Methods(Mapping[str, type[Method]]):
    """Every file of this folder by its name; a file is imported when its method is asked for."""

    def __init__(self) -> None:
        found = (entry.name for entry in pkgutil.iter_modules(__path__))
        self._names = sorted(name for name in found if not name.startswith("_"))

    def __getitem__(self, name: str) -> type[Method]:
        """Import a method; KeyError without one, SpecError where its file is wrong."""
        if name not in self._names:
            raise KeyError(name)
        return _method_in(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


@cache
def discover() -> Methods:
    """Find the methods by the names of their files."""
    return Methods()


def _method_in(name: str) -> type[Method]:
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        place = f"{error.filename or f'ekd/methods/{name}.py'}{line}"
        raise SpecError(f"{place}: cannot be imported, {error.msg}: mend it") from error
    except (Exception, SystemExit) as error:
        raise SpecError(f"ekd/methods/{name}.py cannot be imported: {error!r}: mend it") from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise SpecError(
            f"{module.__file__} defines {len(found)} methods: a method's file holds exactly one "
            "subclass of ekd.methods.Method"
        )
    _check(found[0], str(module.__file__))
    return found[0]


def _check(method: type[Method], file: str) -> None:
    """Refuse what would fail later without saying why."""
    if missing := ", ".join(sorted(method.__abstractmethods__)):
        raise SpecError(f"{file}: {method.__name__} lacks {missing}()")
    for field, info in method.model_fields.items():
        if hasattr(Method, field):
            raise SpecError(f"{file}: a field cannot be called {field!r}: give it another name")
        if info.is_required():
            raise SpecError(f"{file}: the field {field!r} needs a default value")
