"""ekd-sweep show: what a search found, as text, as a page and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ekd.cli import options


@click.command("show", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("name")
@click.option("--scale", help="Of the searches of the sweep NAME, the one at this scale.")
@options.root
@click.option(
    "--storage", help="Where the study is: a journal, or a URL.  [default: <root>/sweeps]"
)
@options.data_root
@click.option("--out", type=options.FOLDER, help="Where the page goes.  [default: <root>/report]")
@options.json_
def command(name: str, scale: str | None, root: Path, storage: str | None, data_root: Path,
            out: Path | None, json_: bool) -> None:  # fmt: skip
    """Show what the search NAME found: a sweep's name or a study's.

    It may still run: nothing of it is touched. The text is followed by the path of a page with
    plots; with --json there is a page only where --out says so.

    Exit codes: 0 shown, 2 wrong usage or no such study, 4 trouble with the storage or disk.
    """
    from ekd.report.searched import gather, plain, text, write
    from ekd.store import Store
    from ekd.sweep.facts import facts
    from ekd.sweep.reading import find_study, is_torn, key_of

    study = find_study(root, name, scale, storage)
    torn = is_torn(root, study.study_name, storage)
    found = facts(study)
    search = gather(found, Store(root), key_of(found.about, data_root), torn)
    click.echo(json.dumps(plain(search), indent=1, allow_nan=False) if json_ else text(search))
    if out or not json_:
        path = write(search, out or root / "report")
        click.echo(f"\n{path}", err=json_)
