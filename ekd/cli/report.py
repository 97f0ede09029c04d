"""ekd-report: what a store holds, as pages and tables beside the paper's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ekd.cli import options


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("exhibits", nargs=-1)
@options.root
@click.option(
    "--out",
    type=options.FOLDER,
    help="Where the files go.  [default: <root>/report]",
)
@click.option("--scale", help="Only this scale: smoke, reduced or paper.")
@options.data_root
@options.json_
def command(exhibits: tuple[str, ...], root: Path, out: Path | None, scale: str | None,
            data_root: Path, json_: bool) -> None:  # fmt: skip
    """Show what `ekd-run` requested for EXHIBITS (default: all): a page for each, and its table.

    The table is there as CSV, Markdown and LaTeX too, beside the page; comparisons of its rows have
    a CSV of their own.

    Exit codes: 0 written, 2 wrong usage or spec, 4 trouble with the store, data or disk.
    """
    from ekd.report import collect, write
    from ekd.store import Store

    reports = collect(Store(root), exhibits, scale, data_root)
    written = [write(report, out or root / "report") for report in reports]
    if json_:
        files = {
            "pages": [str(one.page) for one in written],
            "csv": [str(one.csv) for one in written],
            "markdown": [str(one.markdown) for one in written],
            "latex": [str(one.latex) for one in written],
            "comparisons": [str(one.comparisons) for one in written if one.comparisons],
        }
        click.echo(json.dumps(files, indent=1))
    else:
        for one in written:
            click.echo(one.page)


def main() -> None:
    """Run the command; every EkdError becomes one sentence and its exit code."""
    from ekd.cli import exits

    exits.run(command, "interrupted")
