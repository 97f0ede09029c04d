"""ekd-sweep: searches fields of a run with Optuna, and shows what a search found."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from ekd.cli import options

SAMPLERS = ("tpe", "tpe-classic", "grid", "random", "gp", "nsga2")
PRUNERS = ("halving", "hyperband", "median", "none")
GROUPS = {
    "Choose the search": ("scale", "overrides", "method", "seed", "name"),
    "How to search": ("trials", "sampler", "pruner", "workers", "device", "wandb", "storage"),
}


@click.command(
    cls=options.Grouped, groups=GROUPS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("sweep")
@click.option("--scale", default="paper", show_default=True, help="smoke, reduced or paper.")
@click.option(
    "-s",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set a field of the run; one that is searched is fixed by it.",
)
@click.option("--method", metavar="NAME", help="Search the fields of another method.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the sampler and of every trial's run.")
@click.option("--name", metavar="STUDY", help="The study's name.  [default: SWEEP@SCALE]")
@click.option("--trials", type=click.IntRange(1, 100_000), help="How many points to try in all.")
@click.option("--sampler", type=click.Choice(SAMPLERS), help="Who proposes points.")
@click.option("--pruner", type=click.Choice(PRUNERS), help="Who ends trials early.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Try N points at a time, each in a process of its own.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train.",
)
@click.option("--wandb", metavar="MODE", help="offline (default), online or disabled.")
@click.option(
    "--storage",
    metavar="URL",
    help="Where trials are kept: a journal's path, sqlite:///FILE, postgresql://... or "
    "grpc://HOST:PORT.  [default: ROOT/sweeps/STUDY.journal]",
)
@options.root
@options.data_root
@options.json_
def command(sweep: str, root: Path, data_root: Path, **given: Any) -> None:
    """Search what SWEEP says: hparams, capacity, or a .toml of your own.

    Stop it at any time; the same command goes on where it stopped. `ekd-sweep show NAME` shows a
    search, also while it runs; `ekd-run ... --from-sweep NAME` trains exhibits with what it found.

    Exit codes: 0 done, 1 some trials failed, 2 wrong usage or spec, 3 interrupted, 4 trouble with
    data, disk, storage or network.
    """
    from ekd.cli.search import Places, run_search
    from ekd.sweep.asked import Options

    places = Places(root, data_root, *(given.pop(name) for name in Places.rest()))
    name = given.pop("name")
    if not run_search(Options(sweep, study=name, **given), places):
        from ekd.cli.exits import FAILED

        sys.exit(FAILED)


def main() -> None:
    """Run the command; every EkdError becomes one sentence and its exit code."""
    from ekd.cli import exits

    chosen = command
    if sys.argv[1:2] == ["show"]:
        import importlib

        chosen = importlib.import_module("ekd.cli.sweep_show").command
        sys.argv = [f"{sys.argv[0]} show", *sys.argv[2:]]
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    exits.run(chosen, "interrupted: the same command goes on from here")


if __name__ == "__main__":
    main()
