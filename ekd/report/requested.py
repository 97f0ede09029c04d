"""Which exhibits were requested, at which scales, with which overrides and seeds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ekd.plan.sheet import fields_in, overridden
from ekd.spec import SpecError, nearest
from ekd.spec.fields import assignment
from ekd.spec.grid import Grid, lay_out
from ekd.spec.load import choose, exhibit_path, load_exhibit, scales
from ekd.store import Request

Asking = tuple[tuple[str, ...], Request]
"""The overrides that an exhibit has fields for, and the request that they are of."""

FAITHFUL = ("paper", "reduced", "smoke")
"""Scales, the most faithful first."""


@dataclass(frozen=True)
class Wanted:
    """One section: an exhibit at a scale with a set of overrides, and all seeds asked for."""

    exhibit: str
    scale: str
    overrides: tuple[str, ...]
    seeds: tuple[int, ...]
    own_seeds: bool
    """The seeds are those that the exhibit has at this scale."""


def wanted(requests: Sequence[Request], names: Sequence[str], scale: str | None,
           root: Path) -> dict[str, list[Wanted]]:  # fmt: skip
    """List the sections of each exhibit, the most faithful first; no names: of all requested.

    Raises SpecError where an exhibit, or the scale, was never requested, or a spec is gone.
    """
    if scale is not None:
        choose("scale", scale, scales())
    asked = list(dict.fromkeys(_identity(name) for r in requests for name in r.exhibits))
    chosen = list(dict.fromkeys(_identity(name) for name in names)) or asked
    if not chosen:
        raise SpecError(
            f"nothing was requested in {root}: start with `ekd-run table1 --scale smoke"
            f"{root_option(root)}`, or give the --root of a store"
        )
    for name in chosen:
        _check_requested(name, asked, scale, root)
    _check_stems_differ(chosen)
    return {name: _sections(name, requests, scale, root) for name in chosen}


def root_option(root: Path) -> str:
    """Give the option that names `root`, or nothing for the default."""
    return "" if root == Path("runs") else f" --root {shlex.quote(str(root))}"


def _identity(name: str) -> str:
    return str(Path(name).resolve()) if name.endswith(".toml") else name


def _check_requested(name: str, asked: list[str], scale: str | None, root: Path) -> None:
    if name in asked:
        if name.endswith(".toml") and not Path(name).is_file():
            others = ", ".join(other for other in asked if other != name) or "none"
            raise SpecError(
                f"the spec {name} was requested but is gone: put it back, or name the exhibits "
                f"to report (there are also: {others})"
            )
        return
    exhibit_path(name)  # a wrong name is told first
    known = ", ".join(asked) or "nothing"
    raise SpecError(
        f"{name} was never requested in {root} (requested: {known}){nearest(name, asked)}: "
        f"give `ekd-run {shlex.quote(name)} --scale {scale or 'smoke'}{root_option(root)}` first"
    )


def _check_stems_differ(names: list[str]) -> None:
    stems: dict[str, str] = {}
    for name in names:
        other = stems.setdefault(Path(name).stem, name)
        if other != name:
            raise SpecError(
                f"{other} and {name} would be one page, {Path(name).stem}.html: report them one "
                "by one, each with its own --out"
            )


def _sections(name: str, requests: Sequence[Request], scale: str | None,
              root: Path) -> list[Wanted]:  # fmt: skip
    found: dict[tuple[str, str], list[Asking]] = {}
    mine = [r for r in requests if name in [_identity(other) for other in r.exhibits]]
    for request in mine:
        if scale in (None, request.scale):
            grid, used = _overridden(name, request)
            same = json.dumps([cell.values for cell in grid.cells.values()], sort_keys=True)
            found.setdefault((request.scale, same), []).append((used, request))
    if not found:
        scales_there = ", ".join(dict.fromkeys(request.scale for request in mine))
        raise SpecError(
            f"{name} was never requested at scale {scale} in {root}, only at {scales_there}: give "
            f"`ekd-run {shlex.quote(name)} --scale {scale}{root_option(root)}` first"
        )
    united = [_united(name, asking) for asking in found.values()]
    return sorted(united, key=lambda one: (_rank(one.scale), len(one.overrides)))


def _rank(scale: str) -> int:
    return FAITHFUL.index(scale) if scale in FAITHFUL else len(FAITHFUL)


def _united(name: str, asking: list[Asking]) -> Wanted:
    overrides, request = min(asking, key=lambda one: len(one[0]))
    own = set(_grid(name, request.scale).seeds)
    seeds = {seed for _, request in asking for seed in request.seeds or own}
    return Wanted(name, request.scale, overrides, tuple(sorted(seeds)), seeds == own)


def _overridden(name: str, request: Request) -> tuple[Grid, tuple[str, ...]]:
    """Apply the overrides that this exhibit, of all that the request names, has a field for."""
    grid = _grid(name, request.scale)
    used: list[str] = []
    for text in request.overrides:
        field, value = assignment(text)
        if field in fields_in([grid]):
            grid = overridden(grid, text, field, value)
            used.append(text)
    return grid, tuple(used)


def _grid(name: str, scale: str) -> Grid:
    path = exhibit_path(name)
    return lay_out(path.stem, load_exhibit(path), scale, choose("scale", scale, scales()))
