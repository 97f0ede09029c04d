"""What `ekd-sweep` does: search, train the best again, tell what came out."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ekd.cli.train import absolute_override
from ekd.engines import Engine, Pool, choose_device, prepare
from ekd.plan import Planned, Progress
from ekd.spec import EnvironmentProblem
from ekd.store import Store
from ekd.sweep.asked import Asked, Options, ask
from ekd.sweep.conclusion import Conclusion, conclude
from ekd.sweep.crew import Crew
from ekd.sweep.crew import Progress as Lines
from ekd.sweep.proposals import REAPED
from ekd.sweep.search import best_trials, described, search
from ekd.sweep.storage import Study
from ekd.sweep.study import create_study, reachable
from ekd.tracking import Mirror, resolve_mode

REFUSED, DIVERGED = "refused", "diverged"


@dataclass(frozen=True)
class Places:
    """Where and by whom is searched."""

    root: Path
    data_root: Path
    workers: int
    device: str
    wandb: str | None
    storage: str | None
    json_: bool

    @classmethod
    def rest(cls) -> list[str]:
        """Name the fields after the two folders."""
        return [field.name for field in dataclasses.fields(cls)][2:]


def run_search(options: Options, places: Places) -> bool:
    """Search until the budget is spent, train the best again, print what came out.

    Gives whether every trial that was not refused, pruned or divergent came to its end. Raises
    SpecError for what is wrong in sweep or options, EnvironmentProblem for trouble with data,
    storage or disk.
    """
    prepare()
    mode = resolve_mode(places.wandb, os.environ)
    device = choose_device(places.device)
    overrides = tuple(absolute_override(text) for text in options.overrides)
    asked = ask(dataclasses.replace(options, overrides=overrides), places.data_root)
    lines = Lines()
    study = _study(asked, places, lines)
    store = Store(places.root).open()
    mirror = Mirror(store.root, mode)
    tags = (options.scale, asked.study)
    engine = Engine(store, places.data_root, device, mirror, lines, tags)
    try:
        _search(asked, places, engine, lines)
        with reachable(places.storage):
            found = conclude(
                study, asked, store, places.data_root, lambda plan: _train(plan, places, engine)
            )
            trials = study.get_trials(deepcopy=False)
    finally:
        lines.rest()
        for trouble in mirror.close():
            lines.say(f"W&B: {trouble}")
    _print(asked, options, places, trials, found)
    return bool(best_trials(trials)) and found.whole and not any(map(_is_failure, trials))


def _study(asked: Asked, places: Places, lines: Lines) -> Study:
    study = create_study(places.root, asked.study, places.storage, asked.attributes, lines.say)
    left = f", {asked.refused} points of the grid are refused" if asked.refused else ""
    lines.say(
        f"{asked.study}: {asked.trials} trials, sampler {asked.sampler}, pruner "
        f"{asked.pruner}{left}"
    )
    return study


def _search(asked: Asked, places: Places, engine: Engine, lines: Lines) -> None:
    workers = min(places.workers, asked.trials)
    if workers == 1:
        search(places.root, places.storage, asked, engine)
    else:
        Crew(engine, lines, workers, asked=asked, storage=places.storage).run_crew(workers)


def _train(plan: list[Planned], places: Places, engine: Engine) -> dict[str, Progress]:
    lines = engine.console
    assert isinstance(lines, Lines)
    lines.say("the best trials again, with other seeds")
    if places.workers == 1:
        states = engine.execute(plan)
    else:
        states = Pool(engine, lines, places.workers, plan).execute()
    for error in engine.unavailable.values():
        raise EnvironmentProblem(str(error))
    return states


def _is_failure(trial: Any) -> bool:
    """Tell whether a trial failed by no property of its point."""
    reason = trial.user_attrs.get("failure", "")
    failed = trial.state.name == "FAIL" and REAPED not in trial.user_attrs
    return failed and not reason.startswith((REFUSED, DIVERGED))


def _print(
    asked: Asked, options: Options, places: Places, trials: list[Any], found: Conclusion
) -> None:
    best = best_trials(trials)
    if places.json_:
        told = {
            "study": asked.study,
            "trials": [_plain(trial) for trial in trials],
            "best": best[0].number if best else None,
            "again": found.again,
            "test": found.test,
        }
        click.echo(json.dumps(told, indent=1))
    click.echo("\n".join(_told(asked, options, places, trials, found)), err=places.json_)


def _plain(trial: Any) -> dict[str, Any]:
    known = {name: trial.user_attrs[name] for name in ("label", "run", "seconds", "failure")
             if name in trial.user_attrs}  # fmt: skip
    values = trial.values if trial.state.name == "COMPLETE" else None
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": values[0] if values else None,
        "params": dict(trial.params),
        **known,
    }


def _told(
    asked: Asked, options: Options, places: Places, trials: list[Any], found: Conclusion
) -> Iterator[str]:
    counted = Counter(t.state.name.lower() for t in trials if REAPED not in t.user_attrs)
    yield f"{asked.study}: " + ", ".join(f"{n} {state}" for state, n in counted.items())
    for entry in found.again:
        yield f"  trial {entry['trial']}: {_percent(entry['value'])} in the search; {_fresh(entry)}"
    if found.test:
        yield from _chosen(trials, found.test)
        yield f"To train an exhibit with it: {_exhibit(asked, options, places, trials, found.test)}"
    else:
        yield "no trial came to its end: see why above"


def _exhibit(
    asked: Asked, options: Options, places: Places, trials: list[Any], test: dict[str, Any]
) -> str:
    """Give the command; `ekd-run` finds only searches that the store itself keeps."""
    where = [] if places.root == Path("runs") else ["--root", str(places.root)]
    taken = [] if options.scale == "paper" else ["--scale", options.scale]
    if places.storage is None:
        stem, _, scale = asked.study.rpartition("@")
        name = stem if stem and scale == options.scale else asked.study
        return shlex.join(["ekd-run", "table1", "--from-sweep", name, *taken, *where])
    params = trials[test["trial"]].params
    fields = [part for field, v in params.items() for part in ("-s", f"{field}={json.dumps(v)}")]
    return shlex.join(["ekd-run", "table1", *fields, *taken, *where])


def _chosen(trials: list[Any], test: dict[str, Any]) -> Iterator[str]:
    params = described(trials[test["trial"]].params)
    count = len(test["runs"])
    over = "" if count == 1 else f", means of {count} runs"
    yield f"chosen: trial {test['trial']}: {params}"
    yield (
        f"  hold-out {_percent(test['holdout'])}, test {_percent(test['test'])}{over}: gap "
        f"{100 * test['gap']:+.2f} points"
    )
    if test["luck"] is not None:
        luck = 100 * test["luck"]
        meant = "so much of the lead was luck" if luck > 0 else "its lead was no luck"
        yield f"  fresh seeds give {luck:.2f} points less than the search did: {meant}"


def _fresh(entry: dict[str, Any]) -> str:
    pairs = zip(entry["seeds"], entry["values"], strict=True)
    shown = [f"seed {seed} {'failed' if v is None else _percent(v)}" for seed, v in pairs]
    return f"{', '.join(shown)}; mean {_percent(entry['mean'])}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
