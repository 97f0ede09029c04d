"""What a search found, as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from ekd.report.searched.model import Search
from ekd.report.searched.words import (
    UNSEEN,
    again_words,
    best_words,
    counted,
    explained,
    failure_words,
    joined,
    paper_words,
    state,
    states_words,
    test_words,
    time_words,
    torn_words,
    value_words,
)
from ekd.report.wording import one_line, percent
from ekd.sweep.facts import Trial

WIDTH = 80
SHOWN = 10
"""How many of the best trials, and of the failures, are listed."""


def text(search: Search) -> str:
    """Lay a search out; no line is wider than a terminal unless a single word is."""
    parts = (_head(search), _points(search), _importances(search), _history(search),
             _front(search), _again(search), _best(search), _under_way(search),
             _failures(search))  # fmt: skip
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def _head(search: Search) -> Iterator[str]:
    yield from _wrapped(search.title)
    yield from _wrapped(f"{search.facts.name}: {counted(len(search.trials), 'trial')} "
                        f"({states_words(search)})")  # fmt: skip
    if search.overrides:
        yield from _wrapped("with " + " ".join(f"-s {one}" for one in search.overrides))
    yield from _wrapped(time_words(search))
    if search.torn:
        yield from _wrapped(torn_words())
    yield ""
    yield from _wrapped(best_words(search))
    yield from _wrapped(paper_words(search))
    yield from _wrapped(f"Test: {test_words(search)}.")
    if search.test is None:
        yield from _wrapped(UNSEEN)


def _points(search: Search) -> Iterator[str]:
    best, paper = search.best, search.paper_point
    if not search.dimensions:
        return
    rows = [("Field", "best", "paper", "searched")]
    for one in search.dimensions:
        found = value_words(best.params[one.field]) if best and one.field in best.params else "-"
        printed = value_words(paper[one.field]) if one.field in paper else "-"
        rows.append((one.field, found, printed, one.range))
    yield from _table(rows, left=(0, 3))


def _importances(search: Search) -> Iterator[str]:
    given = search.facts.importances
    if not given.ped_anova and not given.fanova:
        yield from _wrapped(f"Importance of the fields: {given.missing or 'none to be told'}.")
        return
    rows: list[tuple[str, ...]] = [("Importance", "PED-ANOVA", "fANOVA")]
    measures = [given.ped_anova or {}, given.fanova or {}]
    for field in (dimension.field for dimension in search.by_importance):
        shares = [f"{100 * one[field]:.0f} %" if field in one else "-" for one in measures]
        rows.append((field, *shares))
    yield from _table(rows)
    for sentence in explained(search):
        yield from _wrapped(sentence, "  ")


def _history(search: Search) -> Iterator[str]:
    if len(search.history) > 1:
        steps = ", ".join(f"{one.number}: {percent(one.values[0])}" for one in search.history)
        yield from _wrapped(f"Best so far, by trial (%): {steps}")


def _front(search: Search) -> Iterator[str]:
    if search.two and search.front:
        yield from _wrapped("Pareto front, which no other trial beats in accuracy and operations:")
        rows = [("trial", "accuracy (%)", "MACs (M)", "")]
        for one in search.front:
            point = ", ".join(_point(one))
            rows.append((str(one.number), percent(one.values[0]), f"{one.values[1] / 1e6:.2f}",
                         point))  # fmt: skip
        yield from _table(rows, left=(3,))


def _again(search: Search) -> Iterator[str]:
    if search.again:
        yield from _wrapped("Trained again from other seeds, how much of a lead was luck:")
        for one in search.again:
            own = f"trial {one.trial.number}, {percent(one.trial.values[0])} %: "
            yield from _wrapped(own + again_words(one), "  ")


def _best(search: Search) -> Iterator[str]:
    if not search.ranked:
        return
    names = [one.name for one in search.dimensions]
    rows = [("Best trials", "accuracy (%)", *names, "")]
    shown = search.ranked[:SHOWN]
    if search.paper in search.ranked and search.paper not in shown:
        shown = [*shown, search.paper]
    for one in shown:
        values = [value_words(one.params.get(d.field, "-")) for d in search.dimensions]
        rows.append((str(one.number), percent(one.values[0]), *values, one.label or ""))
    yield from _table(rows, left=(len(rows[0]) - 1,))
    if len(search.ranked) > len(shown):
        yield f"  and {len(search.ranked) - len(shown)} more"


def _under_way(search: Search) -> Iterator[str]:
    for trial in search.trials:
        if trial.state == "RUNNING":
            last = f", {percent(trial.last)} % at epoch {trial.steps[-1][0]}" if trial.last else ""
            yield from _wrapped(f"Running: trial {trial.number}{last}: {', '.join(_point(trial))}")


def _failures(search: Search) -> Iterator[str]:
    for trial in search.failures[:SHOWN]:
        why = one_line(failure_words(search, trial))
        yield from _wrapped(f"Trial {trial.number} {state(trial)}: {why}")
    if len(search.failures) > SHOWN:
        rest = [one.number for one in search.failures[SHOWN:]]
        yield from _wrapped(f"Failed too: trials {joined(rest)}")


def _point(trial: Trial) -> list[str]:
    return [f"{field.rpartition('.')[2]} {value_words(v)}" for field, v in trial.params.items()]


def _wrapped(words: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        one_line(words), WIDTH, initial_indent=indent, subsequent_indent=indent + "  ",
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> Iterator[str]:
    """Align columns, those not in `left` to the right; a sentence a row where that is too wide."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    if sum(widths) + 2 * len(widths) - 2 > WIDTH:
        heads = cells[0]
        for row in cells[1:]:
            said = zip(heads[1:], row[1:], strict=True)
            words = ", ".join(f"{head} {cell}".strip() for head, cell in said if cell)
            yield from _wrapped(f"{heads[0]} {row[0]}: {words}")
        return
    for row in cells:
        aligned = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(aligned).rstrip()
