"""A report as LaTeX: a complete `table` environment per section, ruled by booktabs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from ekd import __version__
from ekd.report.comparison_table import ComparisonTable, comparison_tables, method
from ekd.report.measured import Measured
from ekd.report.model import Report, Section
from ekd.report.tex import escaped
from ekd.report.text_notes import commands, facts, notes
from ekd.report.text_table import Line, Text, TextTable
from ekd.report.wording import Head, one_line

WIDEST = 8
"""Columns of one tabular; a wider table goes on in another below it."""

LONGEST = 60
"""Lines of the tabulars of one float."""

FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Shrinks a tabular to the line where it is wider, and leaves it alone elsewhere."""


def latex(report: Report) -> str:
    """Write every section; the same report gives the same text, of ASCII alone."""
    lines = [
        f"% Made by ekd {__version__}: {_commented(commands(report.sections[0])[1])}",
        r"% Needs \usepackage{booktabs} and \usepackage{graphicx}; say table* in two columns.",
    ]
    labels: list[str] = []
    for section in report.sections:
        labels.append(re.sub(r"[^A-Za-z0-9-]", "-", f"{report.name}-{section.scale}"))
        again = f"-{labels.count(labels[-1])}" if labels.count(labels[-1]) > 1 else ""
        lines += ["", *_environments(report, section, f"tab:{labels[-1]}{again}")]
    return "\n".join(lines) + "\n"


def _environments(report: Report, section: Section, label: str) -> Iterator[str]:
    """Write the section's table; one that is longer than a page goes on in a further float."""
    tables = [TextTable(section, columns) for columns in parts(section)]
    size = r"\scriptsize" if sum(map(_height, tables)) > LONGEST / 2 else r"\footnotesize"
    floats = list(_floats(tables))
    yield f"% Its runs: {_commented(commands(section)[0])}"
    for number, held in enumerate(floats):
        caption = f"{_title(report)} (continued)" if number else _caption(report, section)
        yield from (r"\begin{table}[htbp]", r"\centering", rf"\caption{{{escaped(caption)}}}")
        yield from ([] if number else [rf"\label{{{label}}}"])
        yield from (size, r"\setlength{\tabcolsep}{3.5pt}")
        for table in held:
            yield from (FITTED, *_tabular(table), "}", r"\par\medskip")
        if number == len(floats) - 1:
            yield from _beneath(report, section)
        yield r"\end{table}"
    yield from _comparisons(report, section)


def _comparisons(report: Report, section: Section) -> Iterator[str]:
    """Write a float for each column whose rows are tested; the last one says how."""
    tables = [table for table in comparison_tables(section, compact=True) if table.rows]
    for table in tables:
        said = f"{_title(report)}, compared over seeds at scale {section.scale}: {table.heading}."
        yield from (r"\begin{table}[htbp]", r"\centering", rf"\caption{{{escaped(said)}}}")
        yield from (r"\scriptsize", r"\setlength{\tabcolsep}{3.5pt}")
        yield from (FITTED, *_tabular(table), "}", r"\par\medskip")
        yield from _small([*table.sentences, *(method(section) if table is tables[-1] else ())])
        yield r"\end{table}"


def _untested(section: Section) -> Iterator[str]:
    for table in comparison_tables(section):
        if not table.rows:
            yield f"Compared over seeds, {table.heading}: {' '.join(table.sentences)}"


def _beneath(report: Report, section: Section) -> Iterator[str]:
    assumed = (f"Assumed: {text}" for text in report.assumptions)
    return _small([*notes(section), *_untested(section), *assumed])


def _small(texts: Sequence[str]) -> Iterator[str]:
    yield r"\begin{minipage}{\linewidth}\scriptsize\raggedright"
    yield from (rf"{escaped(text)}\par" for text in texts)
    yield r"\end{minipage}"


def _floats(tables: list[TextTable]) -> Iterator[list[TextTable]]:
    """Share tabulars out among floats of at most LONGEST lines."""
    held: list[TextTable] = []
    for table in tables:
        if held and sum(map(_height, [*held, table])) > LONGEST:
            yield held
            held = []
        held.append(table)
    yield held


def _height(table: TextTable) -> float:
    """Count the lines of a tabular; its head is as high as three, a gap as half of one."""
    return 3 + sum(len(row) + (len(row) > 1) / 2 for row in table.rows)


def parts(section: Section) -> list[tuple[int, ...]]:
    """Share the columns out among tabulars of at most WIDEST, what is measured first.

    Columns under one heading stay together where they can.
    """
    columns = section.sheet.grid.columns
    if len(columns) <= WIDEST:
        return [tuple(range(len(columns)))]
    measured = [isinstance(section.cells[0, j], Measured) for j in range(len(columns))]
    in_order = sorted(range(len(columns)), key=lambda j: not measured[j])
    found: list[list[int]] = []
    for _, group in groupby(in_order, key=lambda j: (measured[j], columns[j].lines[0])):
        members = list(group)
        room = found and measured[found[-1][0]] == measured[members[0]]
        if not room or len(found[-1]) + len(members) > WIDEST:
            found.append([])
        found[-1] += members
    return [tuple(part[i : i + WIDEST]) for part in found for i in range(0, len(part), WIDEST)]


def _tabular(table: TextTable | ComparisonTable) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}"
    yield r"\toprule"
    yield from _head(table)
    yield r"\midrule"
    for number, row in enumerate(table.rows):
        if number and len(row) > 1:
            yield r"\addlinespace[2pt]"
        yield from (_line(line, not count) for count, line in enumerate(row))
    yield from (r"\bottomrule", r"\end{tabular}%")


def _head(table: TextTable | ComparisonTable) -> Iterator[str]:
    corner = escaped(table.corner)
    upper, *lower = table.heads
    if not lower:
        yield _row([corner, *(_headed(head) for head in upper)])
        return
    yield _row([corner, *("" if head.rows > 1 else _headed(head) for head in upper)])
    yield from _rules(upper)
    below = iter(lower[0])
    heads = [
        head if above.rows > 1 else next(below)
        for above in upper
        for head in [above] * above.columns
    ]
    yield _row(["", *map(_headed, heads)])


def _rules(upper: list[Head]) -> Iterator[str]:
    column = 2
    for head in upper:
        if head.rows == 1:
            yield rf"\cmidrule(lr){{{column}-{column + head.columns - 1}}}"
        column += head.columns


def _headed(head: Head) -> str:
    text = escaped(" ".join(head.lines))
    return rf"\multicolumn{{{head.columns}}}{{{'c' if head.columns > 1 else 'r'}}}{{{text}}}"


def _line(line: Line, first: bool) -> str:
    label = escaped(line.label)
    return _row([label if first else rf"\quad {label}", *map(_text, line.texts)])


def _text(text: Text) -> str:
    return rf"\textit{{{escaped(text.words)}}}" if text.computed else escaped(text.words)


def _row(texts: list[str]) -> str:
    return rf"{' & '.join(texts)} \\"


def _title(report: Report) -> str:
    """Give the title without its own number, for LaTeX sets one."""
    return re.sub(r"^(Table|Figure|Fig\.) \w+[.:] ", "", one_line(report.title)).rstrip(".")


def _caption(report: Report, section: Section) -> str:
    return f"{_title(report)}. {'; '.join(facts(section))}."


def _commented(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
