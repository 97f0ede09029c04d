"""Options that all commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click


class Folder(click.Path):
    """A folder; an empty name, as of a variable that is not set, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give a Path; a usage error for "" and for what is a file."""
        if value == "":
            self.fail("the name is empty: give a folder", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = Folder(path_type=Path, file_okay=False)

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


class Grouped(click.Command):
    """A command whose --help shows its options in groups, in the order of `groups`."""

    rest = "Places and output"
    """Title of the options that no group names; they come last."""

    def __init__(self, *, groups: Mapping[str, Sequence[str]], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.groups = groups
        """Titles, and the names of the parameters below each."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, with one width for all."""
        found = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
        records = {p.name: record for p in found if (record := p.get_help_record(ctx))}
        width = max(len(option) for option, _ in records.values())
        rows = {name: (option.ljust(width), text) for name, (option, text) in records.items()}
        for title, names in self.groups.items():
            with formatter.section(title):
                formatter.write_dl([rows.pop(name) for name in names])
        with formatter.section(self.rest):
            formatter.write_dl(list(rows.values()))
