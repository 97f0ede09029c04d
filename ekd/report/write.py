"""Pages and CSV files, written so that a crash leaves none half done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ekd.report.model import Report
from ekd.report.page import page
from ekd.report.spreadsheet import spreadsheet
from ekd.store import write_atomic


@dataclass(frozen=True)
class Written:
    """Where one report went."""

    page: Path
    csv: Path


def write(report: Report, out: Path) -> Written:
    """Write OUT/<exhibit>.html and OUT/<exhibit>.csv; EnvironmentProblem where that fails."""
    written = Written(out / f"{report.name}.html", out / f"{report.name}.csv")
    write_atomic(written.page, page(report).encode())
    write_atomic(written.csv, spreadsheet(report).encode())
    return written
