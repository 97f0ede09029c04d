"""A report as one self-contained HTML page."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ekd import __version__
from ekd.methods import architecture
from ekd.report.comparison_table import comparison_tables, method
from ekd.report.drawings import drawing
from ekd.report.measured import SeedRun
from ekd.report.model import Report, Section
from ekd.report.wording import Head, gained, heads, number, percent, signed
from ekd.spec.exhibit import Column
from ekd.spec.fields import flattened
from ekd.spec.places import folder


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
    environment.filters["gained"] = gained
    environment.filters["architecture"] = architecture
    environment.tests |= {"kind": lambda content, name: type(content).__name__ == name}
    template = environment.get_template("exhibit.html.j2")
    return template.render(
        report=report,
        version=__version__,
        heads=marked_heads,
        marks=marks,
        fields=fields,
        drawing=drawing,
        comparison_tables=comparison_tables,
        method=method,
    )


def marks(section: Section) -> list[str]:
    """Give the class of every column of a table with comparisons: a new group, quotes, or both."""
    columns = section.sheet.grid.columns
    if not section.over:
        return [""] * len(columns)
    above = [column.lines[0] if len(column.lines) > 1 else None for column in columns]
    begins = [False, *(one != other for one, other in pairwise(above))]
    quoted = [isinstance(c.entry, Column) and c.entry.quoted for c in columns]
    return [
        " ".join(["begins"] * new + ["elsewhere"] * taken)
        for new, taken in zip(begins, quoted, strict=True)
    ]


def marked_heads(section: Section) -> list[list[tuple[Head, str]]]:
    """Give the lines of a table's head, each heading with the class of its first column."""
    columns, classes = section.sheet.grid.columns, marks(section)
    lines = heads(columns)
    below = [number for number, column in enumerate(columns) if len(column.lines) > 1]
    first = accumulate((head.columns for head in lines[0][:-1]), initial=0)
    return [
        [(head, classes[number]) for head, number in zip(line, numbers, strict=True)]
        for line, numbers in zip(lines, (list(first), below), strict=False)
    ]


def fields(seed: SeedRun) -> dict[str, list[tuple[str, str]]]:
    """List the resolved fields of a run by section, values as TOML would have them."""
    resolved = seed.run.resolved()
    parts = ("method", "recipe", "student", "data")
    return {part: [(name, _shown(v)) for name, v in flattened(resolved[part])] for part in parts}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value or "\N{EN DASH}"
    return json.dumps(value)
