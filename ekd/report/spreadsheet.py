"""A report as CSV: one line per cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from ekd.report.measured import Measured
from ekd.report.model import Computed, Content, Quoted, Report, Section, Timed

FIELDS = ("exhibit", "scale", "overrides", "row", "column", "kind", "paper", "mean", "n", "low",
          "high", "seeds", "runs")  # fmt: skip


def spreadsheet(report: Report) -> str:
    """Write every cell of every section; percent, millions and milliseconds with two decimals."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    for section in report.sections:
        writer.writerows(_lines(report.name, section))
    return text.getvalue()


def _lines(name: str, section: Section) -> Iterator[dict[str, str]]:
    grid = section.sheet.grid
    for (row, column), content in sorted(section.cells.items()):
        yield {
            "exhibit": name,
            "scale": section.scale,
            "overrides": "; ".join(section.overrides),
            "row": " / ".join(grid.rows[row].lines),
            "column": " / ".join(grid.columns[column].lines),
            **_values(content),
        }


def _values(content: Content) -> dict[str, str]:
    match content:
        case Measured():
            return {"kind": "measured", "paper": _number(content.paper)} | _statistics(content)
        case Timed():
            paper = _number(content.paper)
            return {"kind": "measured", "paper": paper, "mean": _number(content.median)}
        case Computed():
            paper = _number(content.paper)
            return {"kind": "computed", "paper": paper, "mean": _number(content.value)}
        case Quoted():
            quote = content.quote
            return {"kind": "quoted", "mean": _number(quote.value if quote else None)}


def _statistics(content: Measured) -> dict[str, str]:
    if not content.n:
        return {}
    finished = [seed for seed in content.seeds if seed.accuracy is not None]
    interval = content.interval
    return {
        "mean": _number(content.mean),
        "n": str(content.n),
        "low": _number(interval.low if interval else None),
        "high": _number(interval.high if interval else None),
        "seeds": ";".join(f"{seed.run.seed}:{_number(seed.accuracy)}" for seed in finished),
        "runs": ";".join(seed.run.key for seed in finished),
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
