"""Distillation methods: one file each, found by its name; files that start with _ are not methods.

To add one, drop `<name>.py` here with one subclass of Method in it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from ekd.methods._contract import (
    FORWARD,
    FORWARD_AND_BACKWARD,
    Batch,
    InEval,
    Method,
    Objective,
    Step,
    copied,
    frozen,
)
from ekd.spec import SpecError

__all__ = [
    "FORWARD",
    "FORWARD_AND_BACKWARD",
    "Batch",
    "InEval",
    "Method",
    "Objective",
    "Step",
    "copied",
    "discover",
    "frozen",
]


@cache
def discover() -> Mapping[str, type[Method]]:
    """Import every file of this folder and give its method by the file's name.

    Raises SpecError where a file cannot be imported or does not define exactly one method.
    """
    names = [entry.name for entry in pkgutil.iter_modules(__path__)]
    return {name: _method_in(name) for name in names if not name.startswith("_")}


def _method_in(name: str) -> type[Method]:
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:
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
    return found[0]
