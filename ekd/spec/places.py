"""Where the edited files are: beside the package in a wheel, one level up in a checkout."""

from __future__ import annotations

from pathlib import Path

from ekd.spec.errors import EnvironmentProblem

_PACKAGE = Path(__file__).resolve().parent.parent


def folder(name: str) -> Path:
    """Find `experiments`, `sweeps` or `reports`; EnvironmentProblem where the install lacks it."""
    for place in (_PACKAGE / name, _PACKAGE.parent / name):
        if place.is_dir():
            return place
    raise EnvironmentProblem(f"the installed ekd lacks its folder {name}: install it again")
