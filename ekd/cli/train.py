"""What `ekd-run` does with a request: plan it, train it, tell how it ended."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from ekd.engines import (
    Console,
    Engine,
    Pool,
    all_done,
    choose_device,
    counted,
    forget_failures,
    prepare,
)
from ekd.plan import Planned, Progress, describe, flatten, sheets
from ekd.spec import EnvironmentProblem, SpecError
from ekd.spec.fields import assignment
from ekd.store import Request, Store
from ekd.tracking import Mirror, resolve_mode


@dataclass(frozen=True)
class Options:
    """The options of `ekd-run`, by their names there."""

    scale: str
    overrides: tuple[str, ...]
    where: tuple[str, ...]
    only: str | None
    plan: bool
    retry: bool
    root: Path
    data_root: Path
    device: str
    wandb: str | None
    json_: bool
    workers: int = 1


def request_of(
    exhibits: tuple[str, ...], seeds: tuple[int, ...] | None, options: Options
) -> Request:
    """Make the request, with absolute paths so that it means the same from any folder."""
    return Request(
        exhibits=tuple(_absolute(name) if name.endswith(".toml") else name for name in exhibits),
        scale=options.scale,
        overrides=tuple(absolute_override(text) for text in options.overrides),
        seeds=seeds,
        where=options.where,
    )


def train(request: Request, options: Options) -> bool:
    """Train what a request needs and is not done; tell whether all of it is done now.

    Raises as `train_plan` does.
    """
    prepare()
    check(options)
    plan = flatten(sheets(request, options.data_root), options.only == "teachers")
    if not plan:
        raise SpecError("--only teachers: nothing here learns from another run")
    store = Store(options.root).open()
    store.add_request(request)
    tags = (options.scale, *(Path(name).stem for name in request.exhibits))
    return train_plan(plan, tags, _to_see(request, options), options)


def check(options: Options) -> None:
    """Raise SpecError for options that would be refused when training starts."""
    resolve_mode(options.wandb, os.environ)
    choose_device(options.device)


def train_plan(plan: list[Planned], tags: tuple[str, ...], hint: str, options: Options) -> bool:
    """Train the runs of a plan that are not done; tell whether all of them are done now.

    `hint` is added to what is told at the end. Raises EnvironmentProblem, after all else is
    trained, where runs could not start; SpecError where nothing but their specs was in the way.
    """
    store = Store(options.root).open()
    mode = resolve_mode(options.wandb, os.environ)
    device = choose_device(options.device)
    if options.retry:
        forget_failures(plan, store)
    console = Console(len(plan), describe)
    mirror = Mirror(store.root, mode)
    engine = Engine(store, options.data_root, device, mirror, console, tags)
    try:
        if options.workers == 1:
            states = engine.execute(plan)
        else:
            states = Pool(engine, console, options.workers, plan).execute()
    finally:
        console.rest()
        for trouble in mirror.close():
            console.say(f"W&B: {trouble}")
    _tell(hint, options, plan, states)
    if engine.unavailable:
        errors = engine.unavailable.values()
        wrong = all(isinstance(error, SpecError) for error in errors)
        reasons = "; ".join(dict.fromkeys(map(str, errors)))
        raise (SpecError if wrong else EnvironmentProblem)(
            f"{counted(len(errors), 'run')} cannot start: {reasons}"
        )
    return all_done(states.values())


def _to_see(request: Request, options: Options) -> str:
    places = [] if options.root == Path("runs") else ["--root", str(options.root)]
    places += [] if options.data_root == Path("data") else ["--data-root", str(options.data_root)]
    return f" To see them: {shlex.join(['ekd-report', *request.exhibits, *places])}"


def _tell(hint: str, options: Options, plan: list[Planned], states: dict[str, Progress]) -> None:
    found = list(states.values())
    summary = ", ".join(f"{found.count(state)} {state}" for state in dict.fromkeys(found))
    click.echo(f"{counted(len(plan), 'run')}: {summary}.{hint}", err=options.json_)
    if options.json_:
        runs = [{"key": entry.run.key, "state": states[entry.run.key]} for entry in plan]
        click.echo(json.dumps({"root": str(options.root), "runs": runs}, indent=1))


def _absolute(name: str) -> str:
    return str(Path(name).resolve())


def absolute_override(text: str) -> str:
    """Make an override of data.path mean the same from any folder."""
    field, value = assignment(text)
    return f"{field}={_absolute(str(value))}" if field == "data.path" else text
