"""ekd-run: exhibits and specs in, trained runs in a store."""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import Any

import click

from ekd.cli import options


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("exhibits", nargs=-1)
@click.option(
    "--list", "list_", is_flag=True, help="List exhibits, scales, data sets, recipes and teachers."
)
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
@options.root
@options.data_root
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option("--wandb", metavar="MODE", help="offline (default), online or disabled.")
@options.json_
def command(exhibits: tuple[str, ...], list_: bool, describe: str | None, **given: Any) -> None:
    """Train what EXHIBITS need: table1 to table3, fig2 to fig5, or specs of your own (.toml).

    Stop it at any time; the same command goes on where it stopped.

    Exit codes: 0 all done, 1 some runs failed, diverged or are blocked, 2 wrong usage or spec,
    3 interrupted, 4 trouble with data, disk or network.
    """
    from ekd.cli import inform

    json_ = given["json_"]
    if list_:
        found = inform.listing()
        click.echo(json.dumps(found, indent=1) if json_ else inform.listing_text(found))
    elif describe:
        told = inform.description(describe)
        click.echo(json.dumps(told, indent=1) if json_ else inform.description_text(told))
    elif not exhibits:
        raise click.UsageError("name an exhibit, such as table1, or a .toml; --list shows them")
    else:
        _plan_or_train(exhibits, given)


def _plan_or_train(exhibits: tuple[str, ...], given: dict[str, Any]) -> None:
    seeds = _seeds(given.pop("seeds"))
    from ekd.cli.exits import FAILED
    from ekd.cli.plan_text import show_plan
    from ekd.cli.train import Options, request_of, train

    chosen = Options(**given)
    request = request_of(exhibits, seeds, chosen)
    if chosen.plan:
        show_plan(request, chosen)
    elif not train(request, chosen):
        sys.exit(FAILED)


def main() -> None:
    """Run the command; every EkdError becomes one sentence and its exit code."""
    from ekd.cli import exits

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    exits.run(command, "interrupted: the same command goes on from here")


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
