"""A report as one self-contained HTML page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ekd import __version__
from ekd.report.drawings import drawing
from ekd.report.measured import SeedRun
from ekd.report.model import Report
from ekd.spec.fields import flattened
from ekd.spec.grid import Heading
from ekd.spec.places import folder
from ekd.trainer import architecture


@dataclass(frozen=True)
class Head:
    """One heading above columns: its lines, and how many columns and lines it spans."""

    lines: tuple[str, ...]
    columns: int
    rows: int


def page(report: Report) -> str:
    """Render a report with the templates of `reports/`; everything in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(folder("reports")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "signed": signed, "percent": percent}
    environment.filters["architecture"] = architecture
    environment.tests |= {"kind": lambda content, name: type(content).__name__ == name}
    template = environment.get_template("exhibit.html.j2")
    return template.render(
        report=report, version=__version__, heads=heads, fields=fields, drawing=drawing
    )


def heads(columns: tuple[Heading, ...]) -> list[list[Head]]:
    """Give the one or two lines of a table's head: adjacent equal first lines are merged."""
    if all(len(column.lines) == 1 for column in columns):
        return [[Head(column.lines, 1, 1) for column in columns]]
    upper: list[Head] = []
    for first, group in groupby(columns, key=lambda c: c.lines[0] if len(c.lines) > 1 else None):
        members = list(group)
        if first is None:
            upper += [Head(column.lines, 1, 2) for column in members]
        else:
            upper.append(Head((first,), len(members), 1))
    return [upper, [Head(c.lines[1:], 1, 1) for c in columns if len(c.lines) > 1]]


def fields(seed: SeedRun) -> dict[str, list[tuple[str, str]]]:
    """List the resolved fields of a run by section, values as TOML would have them."""
    resolved = seed.run.resolved()
    parts = ("method", "recipe", "student", "data")
    return {part: [(name, _shown(v)) for name, v in flattened(resolved[part])] for part in parts}


def number(value: float) -> str:
    """Write two decimals."""
    return f"{value:.2f}"


def signed(value: float) -> str:
    """Write two decimals with a sign, and a minus that is as wide as a plus."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """Write a fraction in [0, 1] as a percentage with two decimals."""
    return number(100 * value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value or "\N{EN DASH}"
    return json.dumps(value)
