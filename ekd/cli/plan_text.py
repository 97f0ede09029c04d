"""What `ekd-run --plan` shows: each run, who asks for it, its state and its hours."""

from __future__ import annotations

import json
from typing import Any

import click

from ekd.cli.train import Options
from ekd.engines import choose_device, counted, duration, prepare
from ekd.plan import describe, flatten, hours, progress, sheets, without_sharing
from ekd.store import Request, Store
from ekd.trainer import measured_speed


def show_plan(request: Request, options: Options) -> None:
    """Print the plan as text, or as one JSON object."""
    found = plan_object(request, options)
    if options.json_:
        click.echo(json.dumps(found, indent=1))
        return
    click.echo(plan_text(found))
    missing = any(run["state"] == "missing" for run in found["runs"])
    if missing and any(options.root.glob("*/result.json")):
        click.echo("To see why a run is missing, say --why KEY in place of --plan.")


def plan_object(request: Request, options: Options) -> dict[str, Any]:
    """Give the plan as plain JSON values; nothing is written."""
    prepare()
    data_root = options.data_root
    laid_out = sheets(request, data_root)
    plan = flatten(laid_out, options.only == "teachers")
    store = Store(options.root)
    states = progress(plan, store)
    speed = measured_speed(choose_device(options.device))
    runs = [
        {
            "key": entry.run.key,
            "name": describe(entry.run),
            "state": states[entry.run.key],
            "teacher": entry.is_teacher,
            "asked_by": list(entry.asked_by),
            "parents": [parent.run.key for parent in entry.run.parents()],
            "hours": 0.0
            if states[entry.run.key] == "done"
            else hours(entry.run, store, data_root, speed),
            **entry.run.resolved(),
        }
        for entry in plan
    ]
    return {
        "runs": runs,
        "trainings_without_sharing": without_sharing(laid_out),
        "macs_per_second": speed,
        "hours": sum(run["hours"] for run in runs),
    }


def plan_text(plan: dict[str, Any]) -> str:
    """Lay the plan out as text."""
    lines = [f"{'run':16}  {'state':8}  {'time':>7}  what"]
    for run in plan["runs"]:
        time = duration(3600 * run["hours"]) if run["hours"] else ""
        lines.append(f"{run['key']:16}  {run['state']:8}  {time:>7}  {run['name']}")
        first, rest = run["asked_by"][0], len(run["asked_by"]) - 1
        lines.append(f"{'':37}for {first}" + (f" and {rest} more" if rest else ""))
    states = [run["state"] for run in plan["runs"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    lines += [
        "",
        f"{counted(len(states), 'run')} ({counts}); without sharing they would be "
        f"{plan['trainings_without_sharing']}.",
        f"About {duration(3600 * plan['hours'])} at the {plan['macs_per_second'] / 1e9:.1f} "
        "GMAC/s measured here just now; small images and small networks run slower than that.",
    ]
    return "\n".join(lines)
