"""The page of a search, written so that a crash leaves none half done."""

from __future__ import annotations

import re
from pathlib import Path

from ekd.report.searched.model import Search
from ekd.report.write import cannot_write_to
from ekd.store import write_atomic


def write(search: Search, out: Path) -> Path:
    """Write OUT/<study>.html and give its path; EnvironmentProblem where that fails."""
    from ekd.report.searched.page import page  # text and JSON need no matplotlib

    path = out / (re.sub(r"[/\\\0]", "-", search.facts.name).lstrip(".") + ".html")
    with cannot_write_to(out):
        write_atomic(path, page(search).encode())
    return path
