"""ekd-run: exhibits and specs in, trained runs in a store."""

from __future__ import annotations

import re
import signal
import sys
from typing import Any

import click

from ekd.cli import options
from ekd.cli.modes import chosen_mode

GROUPS = {
    "Choose the runs": ("scale", "overrides", "where", "seeds", "only"),
    "Take what a search found": ("from_sweep", "trial"),
    "Train them": ("workers", "device", "retry", "wandb"),
    "Look, and train nothing": ("plan", "why", "list_", "describe", "check_data", "verify"),
}
MOST_SEEDS = 1000
LOOKS = ("list_", "describe", "check_data", "verify", "why")
"""What training knows nothing of."""


@click.command(
    cls=options.Grouped, groups=GROUPS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.argument("exhibits", nargs=-1)
@click.option("--list", "list_", is_flag=True, help="List exhibits, scales, data sets, recipes.")
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
@click.option("--seeds", metavar="SEEDS", help="Such as 0-4 or 0,2 in place of the exhibit's own.")
@click.option("--only", type=click.Choice(["teachers"]), help="Train only what others learn from.")
@click.option(
    "--from-sweep",
    metavar="NAME[@SCALE]",
    help="Set the fields that a search found best, as -s would; SCALE is that of --scale if it is "
    "not said.",
)
@click.option(
    "--trial",
    type=click.IntRange(min=0),
    metavar="N",
    help="With --from-sweep, the fields of that trial; without exhibits, train its very run.",
)
@click.option("--plan", is_flag=True, help="Show the runs, their state and hours.")
@click.option(
    "--why",
    metavar="RUN",
    help="Tell why a run is in the store, or is not: by its key as --plan shows it, or 4 digits "
    "or more of it.",
)
@click.option(
    "--check-data",
    metavar="NAME",
    help="Read and describe a data set: a known one, a folder of images or an .npz.",
)
@click.option("--verify", is_flag=True, help="Check every checksum in the store.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Train N runs at a time, each in a process of its own.",
)
@click.option("--retry", is_flag=True, help="Try failed and diverged runs again.")
@options.root
@options.data_root
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train.",
)
@click.option("--wandb", metavar="MODE", help="offline (default), online or disabled.")
@options.json_
@click.pass_context
def command(context: click.Context, /, exhibits: tuple[str, ...], **given: Any) -> None:
    """Train what EXHIBITS need: table1 to table3, fig2 to fig5, or specs of your own (.toml).

    Stop it at any time; the same command goes on where it stopped.

    Exit codes: 0 all done, 1 some runs failed, diverged or are blocked, 2 wrong usage or spec,
    3 interrupted, 4 trouble with data, disk or network.
    """
    mode = chosen_mode(context)
    asked = {name: given.pop(name) for name in LOOKS}
    root, json_ = given["root"], given["json_"]
    if mode == "list_":
        from ekd.cli.inform import show_listing

        show_listing(json_)
    elif mode == "describe":
        from ekd.cli.inform import show_description

        show_description(asked["describe"], json_)
    elif mode == "check_data":
        from ekd.cli.check_data import show_data

        show_data(asked["check_data"], root, given["data_root"], json_)
    elif mode == "verify":
        from ekd.cli.verify import show_verification

        show_verification(root, json_)
    elif not exhibits and mode is None and given["from_sweep"] and given["trial"] is not None:
        _train_trial(given)
    elif mode != "why" and not exhibits:
        raise click.UsageError("name an exhibit, such as table1, or a .toml; --list shows them")
    else:
        _plan_or_train(exhibits, asked["why"], given)


def _plan_or_train(exhibits: tuple[str, ...], why: str | None, given: dict[str, Any]) -> None:
    seeds = _seeds(given.pop("seeds"))
    from ekd.cli.train import Options, request_of, train

    name, trial = given.pop("from_sweep"), given.pop("trial")
    if trial is not None and not name:
        raise click.UsageError("--trial: say of which search, by --from-sweep NAME")
    chosen = Options(**given)
    if name:
        from ekd.cli.from_sweep import with_fields

        chosen = with_fields(name, trial, chosen)
    request = request_of(exhibits, seeds, chosen)
    if why is not None:
        from ekd.cli.explain import show_why

        show_why(why, request, chosen)
    elif chosen.plan:
        from ekd.cli.plan_text import show_plan

        show_plan(request, chosen)
    elif not train(request, chosen):
        from ekd.cli.exits import FAILED

        sys.exit(FAILED)


def _train_trial(given: dict[str, Any]) -> None:
    for option in ("overrides", "where", "seeds", "only"):
        if given[option]:
            raise click.UsageError(
                "--trial without exhibits trains that trial's run as it is: leave -s, --where, "
                "--seeds and --only out, or name an exhibit"
            )
    from ekd.cli.from_sweep import train_trial
    from ekd.cli.train import Options

    name, trial = given.pop("from_sweep"), given.pop("trial")
    given.pop("seeds")
    if not train_trial(name, trial, Options(**given)):
        from ekd.cli.exits import FAILED

        sys.exit(FAILED)


def main() -> None:
    """Run the command; every EkdError becomes one sentence and its exit code."""
    from ekd.cli import exits

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    exits.run(command, "interrupted: the same command goes on from here")


def _seeds(text: str | None) -> tuple[int, ...] | None:
    """Read 0-4 or 0,2,5."""
    if text is None:
        return None
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]+)(?:-([0-9]+))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise click.UsageError(f"--seeds {text}: expected such as 0-4 or 0,2,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if len(seeds) + last - first >= MOST_SEEDS:
            raise click.UsageError(f"--seeds {text}: at most {MOST_SEEDS} seeds")
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


if __name__ == "__main__":
    main()
