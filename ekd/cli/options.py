"""Options that all commands share."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)

root = click.option(
    "--root", type=FOLDER, default=Path("runs"), show_default=True, help="The store."
)
data_root = click.option(
    "--data-root",
    type=FOLDER,
    default=Path("data"),
    show_default=True,
    help="Where the data sets are, or go.",
)
json_ = click.option("--json", "json_", is_flag=True, help="One JSON object on stdout, no more.")
