"""A report as CSV: one line per cell, and one per comparison of two rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from ekd.report.comparisons import Gain
from ekd.report.measured import Measured
from ekd.report.model import Computed, Content, EpochTime, Quoted, Report, Section, Timed
from ekd.report.wording import ranks

FIELDS = ("exhibit", "scale", "overrides", "row", "column", "kind", "paper", "mean", "n", "low",
          "high", "seeds", "runs")  # fmt: skip
COMPARED = ("exhibit", "scale", "overrides", "column", "row", "over", "points", "n", "low", "high",
            "p", "p_holm", "ranks")  # fmt: skip


def spreadsheet(report: Report) -> str:
    """Write every cell of every section, in its column's unit with two decimals."""
    return _written(FIELDS, (line for s in report.sections for line in _lines(report.name, s)))


def comparisons_spreadsheet(report: Report) -> str | None:
    """Write every gain of every compared row, points and ends of intervals with two decimals.

    A row that has none is there for its ranks. None where nothing is compared.
    """
    lines = [line for section in report.sections for line in _compared(report.name, section)]
    return _written(COMPARED, lines) if lines else None


def _written(fields: Sequence[str], lines: Iterable[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _compared(name: str, section: Section) -> Iterator[dict[str, str]]:
    grid = section.sheet.grid
    for column, comparison in section.comparisons.items():
        for standing in comparison.standings:
            for gain in standing.gains or (None,):
                yield {
                    "exhibit": name,
                    "scale": section.scale,
                    "overrides": "; ".join(section.overrides),
                    "column": " / ".join(grid.columns[column].lines),
                    "row": " / ".join(grid.rows[standing.row].lines),
                    "ranks": ranks(standing),
                    **({} if gain is None else _gain(gain)),
                }


def _gain(gain: Gain) -> dict[str, str]:
    return {
        "over": gain.over,
        "points": _number(gain.points),
        "n": str(gain.n),
        "low": _number(gain.interval.low if gain.interval else None),
        "high": _number(gain.interval.high if gain.interval else None),
        "p": "" if gain.p is None else f"{gain.p:.4g}",
        "p_holm": "" if gain.p_holm is None else f"{gain.p_holm:.4g}",
    }


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
        case EpochTime():
            n = str(len(content.seconds)) if content.seconds else ""
            return {"kind": "measured", "mean": _number(content.mean), "n": n}
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
