"""How a search went: its history, its learning curves, and accuracy against operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ekd.report.searched.marks import COLOURS, drawn, figure, mark, ring, star
from ekd.report.searched.model import Search
from ekd.sweep.facts import Trial

ACCURACY = "accuracy on the hold-out (%)"

FLOOR = 0.025
"""Where the lower edge's marks are, as a part of the axis."""

CURVES = 150
"""How many learning curves are drawn at most, the last ones."""


@dataclass(frozen=True)
class Plot:
    """A picture, and what is to be seen on it."""

    svg: Markup
    title: str
    caption: str = ""
    wide: bool = False


def history(search: Search) -> Plot:
    """Draw the accuracies in the order of the trials."""
    made, axes = figure()
    shown(axes, search, [float(trial.number) for trial in search.trials])
    records = search.history
    if records:
        xs = [trial.number for trial in records] + [search.trials[-1].number]
        ys = [100 * trial.values[0] for trial in (*records, records[-1])]
        axes.step(xs, ys, where="post", color=COLOURS["best"], linewidth=1.2, zorder=2)
    if search.paper is not None and search.paper.value is not None:
        axes.axhline(
            100 * search.paper.value, color=COLOURS["paper"], linewidth=0.8, ls=(0, (4, 3))
        )
    axes.set_xlabel("trial")
    axes.set_ylabel(ACCURACY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = "Accuracy, and the best so far"
    caption = (
        "Line: best so far. Dashes: the paper's point. On the lower edge: no"
        " accuracy, or far below."
    )
    return Plot(drawn(made, title, "history", search.trials), title, caption)


def shown(axes: Axes, search: Search, xs: Sequence[float | None]) -> None:
    """Put every trial at its accuracy; what has none, or lies far below, is at the lower edge."""
    low, high = accuracies(search)
    axes.set_ylim(low, high)
    placed = [
        (trial, x, 100 * trial.last if trial.last is not None else -1.0)
        for trial, x in zip(search.trials, xs, strict=True)
        if x is not None
    ]
    heights = [(trial, x, y if y >= low else low + FLOOR * (high - low)) for trial, x, y in placed]
    for state in ("WAITING", "FAIL", "RUNNING", "PRUNED", "COMPLETE"):
        there = [one for one in heights if one[0].state == state]
        trials = [trial for trial, _, _ in there]
        across, up = [x for _, x, _ in there], [y for _, _, y in there]
        mark(axes, trials, across, up, state, **_shades(trials, search), clip_on=False)
    for trial, x, y in heights:
        if trial is search.best:
            ring(axes, x, y)
        if trial is search.paper:
            star(axes, trial, x, y)


def accuracies(search: Search) -> tuple[float, float]:
    """Give the ends of an axis of accuracies, in percent, that shows most completed trials well.

    A tenth of them may be so poor that all others would be pressed together.
    """
    values = sorted(100 * trial.values[0] for trial in search.ranked)
    if not values:
        return 0.0, 100.0
    tenth, high = values[len(values) // 10], values[-1]
    low = max(values[0], tenth - (high - tenth))
    room = 0.1 * max(high - low, 0.5)
    return low - 1.5 * room, high + room


def _shades(trials: Sequence[Trial], search: Search) -> dict[str, object]:
    """Make later trials darker."""
    if not trials or trials[0].state != "COMPLETE":
        return {}
    last = max(1, search.trials[-1].number)
    colours = [(COLOURS["complete"], 0.2 + 0.8 * (trial.number / last)) for trial in trials]
    return {"face": colours, "edge": COLOURS["complete"]}


def curves(search: Search) -> Plot:
    """Draw the accuracy of each trial by epoch."""
    made, axes = figure()
    shown = [trial for trial in search.trials if trial.steps][-CURVES:]
    for trial in (*shown, *(t for t in (search.paper, search.best) if t and t.steps)):
        colour, width, style, layer = _line(search, trial)
        epochs, values = [e for e, _ in trial.steps], [100 * v for _, v in trial.steps]
        axes.plot(epochs, values, color=colour, linewidth=width, linestyle=style, zorder=layer)
        if trial.state != "COMPLETE":
            mark(axes, [trial], epochs[-1:], values[-1:], trial.state)
    if search.best and search.best.steps:
        ring(axes, search.best.steps[-1][0], 100 * search.best.steps[-1][1])
    if search.paper and search.paper.steps:
        star(axes, search.paper, search.paper.steps[-1][0], 100 * search.paper.steps[-1][1])
    axes.set_xlabel("epoch")
    axes.set_ylabel(ACCURACY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    title = "Accuracy while training"
    caption = "Each line is a trial; a mark at its end says that it stopped early or still runs."
    return Plot(drawn(made, title, "curves", search.trials), title, caption)


def _line(search: Search, trial: Trial) -> tuple[object, float, object, int]:
    """Give colour, width, style and layer of a learning curve."""
    if trial is search.best:
        return COLOURS["best"], 1.8, "-", 5
    if trial is search.paper:
        return COLOURS["paper"], 1.6, "-", 4
    style = "-" if trial.state == "COMPLETE" else (0, (3, 2))
    return (COLOURS[trial.state.lower()], 0.55), 0.8, style, 2


def pareto(search: Search) -> Plot:
    """Draw both objectives, and the front that no trial beats."""
    made, axes = figure()
    done = search.ranked
    millions = [trial.values[1] / 1e6 for trial in done]
    mark(axes, done, millions, [100 * trial.values[0] for trial in done], "COMPLETE")
    front = search.front[::-1]
    if front:
        xs, ys = [t.values[1] / 1e6 for t in front], [100 * t.values[0] for t in front]
        axes.step([*xs, max(millions)], [*ys, ys[-1]], where="post", color=COLOURS["best"],
                  linewidth=1.2, zorder=2)  # fmt: skip
        mark(axes, front, xs, ys, "COMPLETE", face=COLOURS["best"], edge=COLOURS["card"], zorder=4)
        ring(axes, xs[-1], ys[-1])
    if search.paper and search.paper.value is not None:
        star(axes, search.paper, search.paper.values[1] / 1e6, 100 * search.paper.value)
    axes.set_xlabel("million operations (MACs) per image")
    axes.set_ylabel(ACCURACY)
    title = "Accuracy against operations"
    caption = "The line joins the Pareto front: the trials that no other beats in both."
    return Plot(drawn(made, title, "pareto", search.trials), title, caption)
