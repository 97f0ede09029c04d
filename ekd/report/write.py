"""Pages and tables, written so that a crash leaves none half done."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ekd.report.latex import latex
from ekd.report.markdown import markdown
from ekd.report.model import Report
from ekd.report.page import page
from ekd.report.spreadsheet import comparisons_spreadsheet, spreadsheet
from ekd.spec import EnvironmentProblem
from ekd.store import write_atomic


@dataclass(frozen=True)
class Written:
    """Where one report went."""

    page: Path
    csv: Path
    markdown: Path
    latex: Path
    comparisons: Path | None = None
    """Where the comparisons of its rows went; None where nothing is compared."""


def write(report: Report, out: Path) -> Written:
    """Write OUT/<exhibit>.html, .csv, .md and .tex, and where rows are compared -comparisons.csv.

    Raises EnvironmentProblem where that fails.
    """
    written = Written(*(out / f"{report.name}.{ending}" for ending in ("html", "csv", "md", "tex")))
    contents = {
        written.page: page(report),
        written.csv: spreadsheet(report),
        written.markdown: markdown(report),
        written.latex: latex(report),
    }
    compared = comparisons_spreadsheet(report)
    if compared is not None:
        written = replace(written, comparisons=out / f"{report.name}-comparisons.csv")
        contents[out / f"{report.name}-comparisons.csv"] = compared
    with cannot_write_to(out):
        for path, text in contents.items():
            write_atomic(path, text.encode())
    return written


@contextlib.contextmanager
def cannot_write_to(out: Path) -> Iterator[None]:
    """Say of a page that cannot be written that another --out may help."""
    try:
        yield
    except EnvironmentProblem as problem:
        raise EnvironmentProblem(
            f"cannot write to {out}: {getattr(problem.__cause__, 'strerror', problem)}: free the "
            "disk or choose another --out"
        ) from problem
