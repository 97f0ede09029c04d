"""A sweep as it is asked for: at a scale, with overrides, perhaps for another method."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ekd.methods import discover
from ekd.plan.sheet import check_used, located
from ekd.spec import SpecError, nearest
from ekd.spec.fields import assignment
from ekd.spec.load import choose, scales
from ekd.spec.resolve import FieldError, resolve, teachers_of
from ekd.sweep.point import Attributes, one_cell, point_cell
from ekd.sweep.space import accepted, check_dimension, check_effects, grid_points, own_space
from ekd.sweep.spec import (
    Dimension,
    First,
    Sweep,
    as_tables,
    load_sweep,
    place_in,
    sweep_path,
)

DIRECTIONS = {"accuracy": "maximize", "operations": "minimize"}
NAME = r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}"
DEFAULTS = "defaults"
"""The label of a method's own values."""


@dataclass(frozen=True)
class Options:
    """What the command line says of a search."""

    name: str
    """The sweep's name or path."""
    scale: str = "paper"
    overrides: tuple[str, ...] = ()
    method: str | None = None
    trials: int | None = None
    sampler: str | None = None
    pruner: str | None = None
    seed: int | None = None
    study: str | None = None
    """The study's name, where it is not `<sweep>@<scale>`."""


@dataclass(frozen=True)
class Asked:
    """A search that is checked and can begin."""

    study: str
    """The study's name."""
    attributes: Attributes
    """What the study says of itself."""
    sampler: str
    pruner: str
    trials: int
    points: tuple[dict[str, Any], ...] = ()
    """The points of a grid, in turn after the first ones."""
    refused: int = 0
    """How many points of the grid the method refuses."""


def ask(options: Options, data_root: Path) -> Asked:
    """Read a sweep, apply what the command line says, and check all of it.

    Raises SpecError with file and line, or the option, for anything that is wrong.
    """
    path = sweep_path(options.name)
    _check_name(options.study)
    choose("scale", options.scale, scales())
    sweep = _with_fresh_seeds(_chosen(load_sweep(options.name).at(options.scale), options))
    written = sweep.space
    if options.method:
        sweep = _with_method(sweep, options, path, data_root)
    sweep = _without_fixed(sweep, options.overrides)
    study = attributes(sweep, path.stem, options)
    _check(study, sweep, path, written, data_root)
    return _asked(sweep, study, options, path.stem, data_root)


def _check_name(study: str | None) -> None:
    if study == "":
        raise SpecError("--name: the name is empty: give one, such as mine")
    if study and not re.fullmatch(NAME, study):
        raise SpecError(
            f"--name {study}: a study's name begins with a letter or a digit and has no others "
            "than these and ._@+-"
        )


def attributes(sweep: Sweep, stem: str, options: Options) -> dict[str, Any]:
    """Say of a study what a later search under its name must say too, and what shows it."""
    return {
        "sweep": stem,
        "scale": options.scale,
        "overrides": list(options.overrides),
        "space": as_tables(sweep.space),
        "run": sweep.run,
        "directions": [DIRECTIONS[objective] for objective in sweep.objectives],
        "first": [point.model_dump(mode="json") for point in sweep.first],
        "seed": sweep.seed,
        "limits": dict(sweep.limits),
        "again": sweep.again.model_dump(mode="json"),
        "title": sweep.title,
    }


def _chosen(sweep: Sweep, options: Options) -> Sweep:
    given = {
        "trials": options.trials,
        "sampler": options.sampler,
        "pruner": options.pruner,
        "seed": options.seed,
    }
    chosen = sweep.model_copy(update={k: v for k, v in given.items() if v is not None})
    several = len(chosen.objectives) > 1
    if several and chosen.pruner != "none":
        raise SpecError(f"pruner {chosen.pruner}: with two objectives nothing is pruned: say none")
    if several and chosen.sampler == "gp":
        raise SpecError("sampler gp: it takes one objective: say nsga2, tpe or random")
    if not several and chosen.sampler == "nsga2":
        raise SpecError("sampler nsga2: it takes two objectives: say tpe, gp or random")
    return chosen


def _with_fresh_seeds(sweep: Sweep) -> Sweep:
    """Take another seed in place of the search's own: a best trial is chosen for that one."""
    seeds = list(sweep.again.seeds)
    if sweep.seed not in seeds:
        return sweep
    taken = {sweep.seed, *seeds}
    seeds[seeds.index(sweep.seed)] = next(n for n in itertools.count(1) if n not in taken)
    return sweep.model_copy(
        update={"again": sweep.again.model_copy(update={"seeds": tuple(seeds)})}
    )


def _with_method(sweep: Sweep, options: Options, path: Path, data_root: Path) -> Sweep:
    """Search another method: by the sweep's own space where it fits, else by its bounded fields."""
    name = str(options.method)
    if name not in discover():
        raise SpecError(
            f"--method {name}: no such method{nearest(name, discover())}; there are "
            f"{', '.join(discover())}"
        )
    if sweep.run.get("method", {}).get("name") == name:
        return sweep
    run = sweep.run | {"method": {"name": name}}
    sweep = sweep.model_copy(update={"run": run | _teachers_for(name, run)})
    study = attributes(sweep, path.stem, options)
    values = point_cell(study | {"overrides": []}, {}).values
    try:
        for field, dimension in sweep.space.items():
            check_dimension(field, dimension, values)
    except SpecError:
        kept = {f: d for f, d in sweep.space.items() if not f.startswith("method.")}
        own = own_space(name, values)
    else:
        return sweep
    if not kept and not own:
        raise SpecError(f"--method {name}: it has no number with bounds to search")
    defaults = discover()[name]().model_dump(mode="json")
    space = kept | {
        field: accepted(study, field, dimension, defaults[field.partition(".")[2]], data_root)
        for field, dimension in own.items()
    }
    inside = {f: defaults[f.partition(".")[2]] for f in space if f not in kept}
    first = () if kept or not _inside(space, inside) else (First(label=DEFAULTS, set=inside),)
    return sweep.model_copy(update={"space": space, "grid": {}, "first": first})


def _teachers_for(name: str, run: dict[str, Any]) -> dict[str, Any]:
    """Leave a method as many teachers as it takes."""
    archs = teachers_of(run)
    try:
        method = discover()[name]()
        count = method.teacher_count(resolve(run, 0, discover()))
    except FieldError:  # is told of later, with its place
        return {}
    return {"teachers": list(archs[:count])} if count and count < len(archs) else {}


def _inside(space: dict[str, Dimension], point: dict[str, Any]) -> bool:
    return all(space[field].contains(value) for field, value in point.items())


def _without_fixed(sweep: Sweep, overrides: tuple[str, ...]) -> Sweep:
    """Take the fields that `-s` sets out of the space."""
    fixed = {assignment(text)[0] for text in overrides} & set(sweep.space)
    if not fixed:
        return sweep
    space = {field: d for field, d in sweep.space.items() if field not in fixed}
    if not space:
        raise SpecError(f"-s sets all of {', '.join(sweep.space)}: nothing is left to search")
    first = tuple(
        point.model_copy(update={"set": {f: v for f, v in point.set.items() if f in space}})
        for point in sweep.first
    )
    grid = {field: values for field, values in sweep.grid.items() if field in space}
    return sweep.model_copy(update={"space": space, "first": first, "grid": grid})


def _check(
    study: dict[str, Any],
    sweep: Sweep,
    path: Path,
    written: dict[str, Dimension],
    data_root: Path,
) -> None:
    try:
        grid = one_cell(study)
        for text in study["overrides"]:
            check_used(f"-s {text}", assignment(text)[0], [grid])
        values = point_cell(study, {}).values
    except FieldError as error:
        raise located(path, error) from None

    def place(field: str) -> str:
        own = sweep.space[field] == written.get(field)
        return place_in(path, field, "space") if own else field

    for field, dimension in sweep.space.items():
        try:
            check_dimension(field, dimension, values)
        except SpecError as error:
            raise SpecError(f"{place(field)}: {error}") from None
    starts = [dict(point.set) for point in sweep.first]
    try:
        idle = check_effects(study, sweep.space, starts, data_root)
    except FieldError as error:
        raise located(path, error) from None
    for field in sweep.space:
        if field in ("data.holdout", "data.path", "data.name"):
            raise SpecError(
                f"{place(field)}: trials with other images to be judged by cannot be compared: "
                f"take it out of the space, or fix it by -s {field}=..."
            )
    if not resolve(values, sweep.seed, discover()).data.holdout:
        raise SpecError(
            f"{path}: data.holdout is 0: a search needs images that are neither trained on nor "
            "test, such as data.holdout = 0.1"
        )
    for field, reason in idle.items():
        raise SpecError(
            f"{place(field)}: it cannot matter here ({reason}): take it out of the space, or fix "
            f"it by -s {field}=..."
        )


def _asked(
    sweep: Sweep, study: dict[str, Any], options: Options, stem: str, data_root: Path
) -> Asked:
    name = options.study or f"{stem}@{options.scale}"
    asked = Asked(name, study, sweep.sampler, sweep.pruner, sweep.trials)
    if sweep.sampler != "grid":
        return asked
    if not sweep.grid:
        raise SpecError("sampler grid: the sweep gives no [grid] of values for this space")
    points, refused = grid_points(study, dict(sweep.grid), data_root)
    every = len(sweep.first) + len(points)
    trials = every if options.trials is None else min(every, options.trials)
    return Asked(name, study, "grid", sweep.pruner, trials, tuple(points), refused)
