"""When the trials of a search ran, idle hours cut short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes

from ekd.report.searched.marks import COLOURS, drawn, figure
from ekd.report.searched.model import Search
from ekd.report.searched.words import hours_words
from ekd.sweep.facts import State, Trial

LABELLED = 80
"""Up to how many trials carry their number."""

IDLE, KEPT = 0.15, 0.04
"""An idle time longer than this part of the busy time is cut to that part of it."""

HATCHES: dict[State, str] = {"PRUNED": "//", "FAIL": "xx", "RUNNING": "--"}
UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


@dataclass(frozen=True)
class Cut:
    """An idle time: from when, and by how much it is shortened."""

    start: float
    stop: float
    taken: float


def timeline(search: Search) -> Markup:
    """Draw a bar per trial, in as few rows as ran side by side; a dashed line cuts idle time."""
    ran = [(t, t.start, _stop(t, search)) for t in search.trials if t.start is not None]
    lanes = packed([(start, stop) for _, start, stop in ran])
    cuts = idle([(start, stop) for _, start, stop in ran])
    made, axes = figure(10.5, 0.8 + 0.3 * (max(lanes) + 1))
    axes.grid(False)
    size, unit = next(
        (one for one in UNITS if shifted(search.length, cuts) >= 2 * one[0]), UNITS[-1]
    )
    for (trial, start, stop), lane in zip(ran, lanes, strict=True):
        left, right = (shifted(moment, cuts) / size for moment in (start, stop))
        _bar(axes, search, trial, left, right, lane, len(ran) <= LABELLED)
    for cut in cuts:
        _show_cut(axes, cut, cuts, size)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(max(lanes) + 0.6, -0.75 if cuts else -0.6)
    axes.set_xlabel(f"{unit} of searching")
    axes.margins(x=0.01)
    return drawn(made, "When each trial ran", "timeline", search.trials)


def _stop(trial: Trial, search: Search) -> float:
    return search.length if trial.stop is None else trial.stop


def packed(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Give each span the first row that is free when it starts."""
    rows: list[float] = []
    found = [0] * len(spans)
    for index in sorted(range(len(spans)), key=lambda i: (spans[i][0], i)):
        start, stop = spans[index]
        row = next((row for row, end in enumerate(rows) if end <= start), len(rows))
        rows[row : row + 1] = [max(stop, start + 1e-9)]
        found[index] = row
    return found


def idle(spans: Sequence[tuple[float, float]]) -> list[Cut]:
    """Find the long times in which nothing ran."""
    gaps, end, busy = [], 0.0, 0.0
    for start, stop in sorted(spans):
        if start > end:
            gaps.append((end, start))
        busy += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return [
        Cut(start, stop, stop - start - KEPT * busy)
        for start, stop in gaps
        if busy > 0 and stop - start > IDLE * busy
    ]


def shifted(moment: float, cuts: Sequence[Cut]) -> float:
    """Give where a moment lies once the idle times before it are shortened."""
    return moment - sum(cut.taken for cut in cuts if cut.stop <= moment)


def _bar(axes: Axes, search: Search, trial: Trial, left: float, right: float, lane: int,
         labelled: bool) -> None:  # fmt: skip
    colour = COLOURS[trial.state.lower()]
    edge = COLOURS["paper"] if trial is search.paper else colour
    bars = axes.barh(
        lane, right - left, left=left, height=0.72, facecolor=(colour, 0.25), edgecolor=edge,
        hatch=HATCHES.get(trial.state), linewidth=2 if trial is search.paper else 0.7,
        hatchcolor=(colour, 0.6),
    )  # fmt: skip
    for bar in bars:
        bar.set_url(f"#t{trial.number}")
    if labelled:
        sign = "\N{BLACK STAR} " if trial is search.paper else ""
        axes.text((left + right) / 2, lane, f"{sign}{trial.number}", ha="center", va="center",
                  fontsize=7.5, color=edge if sign else COLOURS["ink"], clip_on=True)  # fmt: skip


def _show_cut(axes: Axes, cut: Cut, cuts: Sequence[Cut], size: float) -> None:
    right = shifted(cut.stop, cuts) / size
    left = right - (cut.stop - cut.start - cut.taken) / size
    axes.axvline((left + right) / 2, color=COLOURS["faint"], linewidth=0.8, linestyle=(0, (2, 2)))
    axes.text((left + right) / 2, -0.62, f"idle {hours_words((cut.stop - cut.start) / 3600)}",
              ha="center", va="center", fontsize=7.5, color=COLOURS["soft"])  # fmt: skip
