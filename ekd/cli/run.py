"""ekd-run: exhibits and specs in, trained runs in a store."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import click

EXIT_FAILED, EXIT_INTERRUPTED = 1, 3


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("exhibits", nargs=-1)
@click.option("--list", "list_", is_flag=True, help="List the exhibits that come with the suite.")
@click.option(
    "--describe",
    metavar="NAME",
    help="Explain the fields of a method, or of recipe, data or student.",
)
@click.option("--scale", default="paper", show_default=True, help="smoke, reduced or paper.")
@click.option(
    "-s",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set a field on every cell that has it, such as -s recipe.epochs=5.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="Only cells where it holds, such as 'student.branches<=3'.",
)
@click.option("--seeds", help="Such as 0-4 or 0,2 in place of the exhibit's own.")
@click.option("--only", type=click.Choice(["teachers"]), help="Train only what others learn from.")
@click.option("--plan", is_flag=True, help="Show the runs, their state and hours; train nothing.")
@click.option("--retry", is_flag=True, help="Try failed and diverged runs again.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="The store.",
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="Where the data sets are, or go.",
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option("--wandb", metavar="MODE", help="offline (default), online or disabled.")
@click.option("--json", "json_", is_flag=True, help="One JSON object on stdout, nothing else.")
def command(exhibits: tuple[str, ...], list_: bool, describe: str | None, **options: Any) -> None:
    """Train what EXHIBITS need: table1 to table3, fig2 to fig5, or specs of your own (.toml).

    Stop it at any time; the same command goes on where it stopped.

    Exit codes: 0 all done, 1 some runs failed, diverged or are blocked, 2 wrong usage or spec,
    3 interrupted, 4 trouble with data, disk or network.
    """
    if list_:
        found = _listing()
        click.echo(json.dumps(found, indent=1) if options["json_"] else _listing_text(found))
    elif describe:
        found = _description(describe)
        click.echo(json.dumps(found, indent=1) if options["json_"] else _description_text(found))
    elif not exhibits:
        raise click.UsageError("name an exhibit, such as table1, or a .toml; --list shows them")
    elif options["plan"]:
        _show_plan(exhibits, options)
    else:
        sys.exit(_train(exhibits, options))


def main() -> None:
    """Run the command; every EkdError becomes one sentence and its exit code."""
    from ekd.spec.errors import EkdError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        command(standalone_mode=False)
    except EkdError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\ninterrupted: the same command goes on from here", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _listing() -> dict[str, dict[str, str]]:
    from ekd.spec.load import exhibit_names, exhibit_path, load_exhibit, scales

    titles = {name: load_exhibit(exhibit_path(name)).title for name in exhibit_names()}
    return {"exhibits": titles, "scales": {n: scale.description for n, scale in scales().items()}}


def _listing_text(found: dict[str, dict[str, str]]) -> str:
    lines = [f"{name:8} {title}" for name, title in found["exhibits"].items()]
    lines += ["", *(f"--scale {name:8} {text}" for name, text in found["scales"].items())]
    return "\n".join(lines)


def _description(name: str) -> dict[str, Any]:
    from ekd.methods import discover
    from ekd.spec import Data, Frozen, Model, Recipe, SpecError, nearest

    parts: dict[str, type[Frozen]] = {
        "recipe": Recipe,
        "data": Data,
        "student": Model,
        **discover(),
    }
    if name not in parts:
        raise SpecError(
            f"nothing to describe by the name {name!r}{nearest(name, parts)}; there "
            f"are {', '.join(parts)}"
        )
    part = parts[name]
    fields = {
        field: {"text": " ".join((info.description or "").split())}
        | ({} if info.is_required() else {"default": info.default})
        for field, info in part.model_fields.items()
    }
    readings = {key: dict(value) for key, value in getattr(part, "readings", {}).items()}
    return {"name": name, "about": part.__doc__, "fields": fields, "readings": readings}


def _description_text(found: dict[str, Any]) -> str:
    lines = [f"{found['name']}: {found['about']}"]
    for field, told in found["fields"].items():
        default = f" = {json.dumps(told['default'])}" if "default" in told else ""
        lines += ["", f"{field}{default}", f"    {told['text']}"]
    lines += [f"\nreadings.name = {json.dumps(k)}: {v}" for k, v in found["readings"].items()]
    return "\n".join(lines)


def _request(exhibits: tuple[str, ...], options: dict[str, Any]) -> Any:
    from ekd.store import Request

    names = tuple(str(Path(e).resolve()) if e.endswith(".toml") else e for e in exhibits)
    return Request(
        exhibits=names,
        scale=options["scale"],
        overrides=options["overrides"],
        seeds=_seeds(options["seeds"]),
        where=options["where"],
    )


def _seeds(text: str | None) -> tuple[int, ...] | None:
    """Read 0-4 or 0,2,5."""
    if text is None:
        return None
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise click.UsageError(f"--seeds {text}: expected such as 0-4 or 0,2,5")
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(dict.fromkeys(seeds))


def _show_plan(exhibits: tuple[str, ...], options: dict[str, Any]) -> None:
    from ekd.cli.plan_text import plan_object, plan_text

    found = plan_object(_request(exhibits, options), options)
    click.echo(json.dumps(found, indent=1) if options["json_"] else plan_text(found))


def _train(exhibits: tuple[str, ...], options: dict[str, Any]) -> int:
    import os

    from ekd.engines import Console, Engine, all_done, choose_device, describe, duration, prepare
    from ekd.plan import flatten, sheets
    from ekd.store import Store
    from ekd.tracking import Mirror, resolve_mode

    prepare()
    request = _request(exhibits, options)
    mode = resolve_mode(options["wandb"], os.environ)
    device = choose_device(options["device"])
    plan = flatten(sheets(request, options["data_root"]), options["only"] == "teachers")
    store = Store(options["root"]).open()
    store.add_request(request)
    console = Console(len(plan), describe)
    mirror = Mirror(store.root, mode)
    tags = (options["scale"], *(Path(name).stem for name in request.exhibits))
    engine = Engine(store, options["data_root"], device, mirror, console, tags, options["retry"])
    try:
        states = engine.execute(plan)
    finally:
        for trouble in mirror.close():
            console.say(f"W&B: {trouble}")
    return _end(plan, states, options, all_done(states.values()), duration)


def _end(plan: Any, states: Any, options: dict[str, Any], fine: bool, duration: Any) -> int:
    counts = {state: list(states.values()).count(state) for state in dict.fromkeys(states.values())}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    click.echo(f"{len(plan)} runs: {summary}; store {options['root']}", err=options["json_"])
    if options["json_"]:
        runs = [{"key": entry.run.key, "state": states[entry.run.key]} for entry in plan]
        click.echo(json.dumps({"root": str(options["root"]), "runs": runs}, indent=1))
    return 0 if fine else EXIT_FAILED
