"""A report as one self-contained HTML page."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ekd import __version__
from ekd.methods import architecture
from ekd.report.drawings import drawing
from ekd.report.measured import SeedRun
from ekd.report.model import Report
from ekd.report.wording import heads, number, percent, signed
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
    environment.filters["architecture"] = architecture
    environment.tests |= {"kind": lambda content, name: type(content).__name__ == name}
    template = environment.get_template("exhibit.html.j2")
    return template.render(
        report=report, version=__version__, heads=heads, fields=fields, drawing=drawing
    )


def fields(seed: SeedRun) -> dict[str, list[tuple[str, str]]]:
    """List the resolved fields of a run by section, values as TOML would have them."""
    resolved = seed.run.resolved()
    parts = ("method", "recipe", "student", "data")
    return {part: [(name, _shown(v)) for name, v in flattened(resolved[part])] for part in parts}


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value or "\N{EN DASH}"
    return json.dumps(value)
