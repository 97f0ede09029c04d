"""Pages and CSV files, written so that a crash leaves none half done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ekd.report.model import Report
from ekd.report.page import page
from ekd.report.spreadsheet import spreadsheet
from ekd.spec import EnvironmentProblem
from ekd.store import write_atomic


@dataclass(frozen=True)
class Written:
    """Where one report went."""

    page: Path
    csv: Path


def write(report: Report, out: Path) -> Written:
    """Write OUT/<exhibit>.html and OUT/<exhibit>.csv; EnvironmentProblem where that fails."""
    written = Written(out / f"{report.name}.html", out / f"{report.name}.csv")
    contents = {written.page: page(report), written.csv: spreadsheet(report)}
    try:
        for path, text in contents.items():
            write_atomic(path, text.encode())
    except EnvironmentProblem as problem:
        raise EnvironmentProblem(
            f"cannot write to {out}: {getattr(problem.__cause__, 'strerror', problem)}: free the "
            "disk or choose another --out"
        ) from problem
    return written
