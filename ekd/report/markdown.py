"""A report as Markdown of GitHub's flavour: a table per section, and what it means beneath."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ekd import __version__
from ekd.report.comparison_table import comparison_tables, method
from ekd.report.model import Report, Section
from ekd.report.text_notes import changed, commands, facts, notes
from ekd.report.text_table import Line, Text, whole
from ekd.report.wording import one_line

Rows = Sequence[Sequence[Line]]
"""The lines of each row."""

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&!])")


def markdown(report: Report) -> str:
    """Write every section; the same report gives the same text."""
    parts = [f"# {escaped(report.title)}"]
    for section in report.sections:
        overrides = "".join(f", {text}" for text in changed(section))
        parts += ["## " + escaped(f"Scale {section.scale}{overrides}"), *_section(section)]
    if report.assumptions:
        parts += ["## What had to be assumed", _list(report.assumptions)]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Write text so that Markdown shows it as it is, on one line."""
    text = SPECIAL.sub(r"\\\1", one_line(text))
    return re.sub(r"^(\d*)(?=[-+.)](\s|$))", r"\1\\", text)  # else it begins a list


def _section(section: Section) -> Iterator[str]:
    trained, written = commands(section)
    yield _list(facts(section))
    yield "\n".join(_whole(section))
    yield _list(notes(section))
    yield from _comparisons(section)
    yield escaped(f"Made by ekd {__version__}: {written}. Its runs: {trained}")


def _comparisons(section: Section) -> Iterator[str]:
    for table in comparison_tables(section):
        yield f"### {escaped(f'Compared over seeds: {table.heading}')}"
        if table.rows:
            yield "\n".join(_table(table.corner, table.columns, table.rows))
        yield _list(table.sentences)
    if said := method(section):
        yield _list(said)


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {escaped(text)}" for text in texts)


def _whole(section: Section) -> Iterator[str]:
    table = whole(section)
    corner = f"{table.corner}, scale {section.scale}".removeprefix(", ")
    yield from _table(corner, [", ".join(head.lines) for head in table.headings], table.rows)


def _table(corner: str, heads: Sequence[str], rows: Rows) -> Iterator[str]:
    """Write a table whose columns are as wide as their widest text, numbers to the right."""
    body = [_cells(line, not number) for row in rows for number, line in enumerate(row)]
    lines = [[escaped(text) for text in (corner, *heads)], *body]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    yield _joined(lines[0], widths)
    yield _joined(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])], widths)
    for line in lines[1:]:
        yield _joined(line, widths)


def _cells(line: Line, first: bool) -> list[str]:
    label = escaped(line.label)
    return [f"**{label}**" if first and label else label, *map(_text, line.texts)]


def _text(text: Text) -> str:
    return f"*{escaped(text.words)}*" if text.computed else escaped(text.words)


def _joined(cells: list[str], widths: list[int]) -> str:
    first, *rest = cells
    padded = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
    return f"| {' | '.join(padded)} |"
