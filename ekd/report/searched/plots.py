"""The plots of a search, as inline SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ekd.report.searched.course import ACCURACY, Plot, curves, history, pareto, shown
from ekd.report.searched.marks import (
    COLOURS,
    bounds,
    choice_words,
    drawn,
    figure,
    mark,
    position,
    ring,
    settings,
    star,
    unit,
)
from ekd.report.searched.model import Dimension, Search
from ekd.report.searched.timeline import timeline
from ekd.sweep.facts import Trial

PAIRS = 6
"""How many pairs of fields are shown at most."""

NEAR = 0.15
"""Standard deviation of the Gaussian that averages neighbours, as a part of a field's range."""

LEVELS = 7
"""How many shades a map has."""


@dataclass(frozen=True)
class Group:
    """Plots that belong together."""

    title: str
    plots: tuple[Plot, ...]
    caption: str = ""


def plots(search: Search) -> list[Group]:
    """Draw everything that there is to draw; the same search gives the same text."""
    with settings():
        found = [
            Group("How the search went", tuple(_course(search))),
            Group(
                "When each trial ran",
                tuple(_times(search)),
                "From the first trial's start; rows are what ran side by side.",
            ),
            Group(
                "Each field alone",
                tuple(_slice(search, one) for one in search.dimensions if search.ranked),
                "Later trials are darker. Where the dots of a field form no shape, its value made "
                "little difference.",
            ),
            Group(
                "Fields in pairs",
                tuple(_pair(search, *pair) for pair in pairs(search) if len(search.ranked) > 1),
                "The darker, the higher: the mean accuracy of the trials around a point (Gaussian, "
                f"width {100 * NEAR:.0f} % of the range); blank where none is near. All other "
                "fields vary too, so a map shows where good trials lie, not why. Where one is a "
                "choice, the dots themselves are shaded.",
            ),
        ]
    return [group for group in found if group.plots]


def pairs(search: Search) -> list[tuple[Dimension, Dimension]]:
    """List the pairs of fields, those that matter most by fANOVA first, at most PAIRS."""
    found = search.facts.importances
    weight = found.fanova or found.ped_anova or {}
    every = combinations(search.by_importance, 2)
    return sorted(every, key=lambda pair: -sum(weight.get(one.field, 0.0) for one in pair))[:PAIRS]


def _course(search: Search) -> Iterator[Plot]:
    if search.ranked or search.failures:
        yield history(search)
    if search.two and search.ranked:
        yield pareto(search)
    if any(trial.steps for trial in search.trials):
        yield curves(search)


def _times(search: Search) -> Iterator[Plot]:
    if any(trial.start is not None for trial in search.trials):
        yield Plot(timeline(search), "", wide=True)


def _slice(search: Search, dimension: Dimension) -> Plot:
    made, axes = figure(3.1, 2.35)
    shown(axes, search, [position(dimension, trial) for trial in search.trials])
    _along(axes, dimension, "x")
    axes.set_ylabel(ACCURACY)
    salt = f"slice {dimension.field}"
    return Plot(drawn(made, f"Accuracy by {dimension.field}", salt, search.trials), dimension.field)


def _along(axes: Axes, dimension: Dimension, which: str) -> None:
    """Make an axis the whole range of a field."""
    axis, limit = (axes.xaxis, axes.set_xlim) if which == "x" else (axes.yaxis, axes.set_ylim)
    low, high = bounds(dimension)
    if dimension.choices:
        axis.set_ticks(range(len(dimension.choices)), [choice_words(c) for c in dimension.choices])
        limit(low - 0.5, high + 0.5)
    elif dimension.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        ratio = (high / low) ** 0.04 if high > low else 1.1
        limit(low / ratio, high * ratio)
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(lambda value, _: "")
    else:
        room = 0.04 * (high - low) or 0.5
        limit(low - room, high + room)
        axis.set_major_locator(MaxNLocator(6, integer=dimension.integer))
    axis.label.set_text(dimension.name)


def _pair(search: Search, across: Dimension, up: Dimension) -> Plot:
    made, axes = figure(3.1, 2.5)
    axes.grid(False)
    _along(axes, across, "x")
    _along(axes, up, "y")
    points = [
        (trial, x, y)
        for trial in search.trials
        if (x := position(across, trial)) is not None and (y := position(up, trial)) is not None
    ]
    mapped = not across.choices and not up.choices
    if mapped:
        _map(made, axes, across, up, [one for one in points if one[0].value is not None])
    points.sort(key=lambda one: one[0].value or 0.0)  # the best on top
    for state in ("FAIL", "PRUNED", "RUNNING", "COMPLETE"):
        there = [one for one in points if one[0].state == state]
        trials = [trial for trial, _, _ in there]
        more = _dots(trials, mapped) if state == "COMPLETE" else {}
        mark(axes, trials, [x for _, x, _ in there], [y for _, _, y in there], state, **more)
    for trial, x, y in points:
        if trial is search.best:
            ring(axes, x, y)
        if trial is search.paper:
            star(axes, trial, x, y)
    title = f"{across.name} and {up.name}"
    salt = f"pair {across.field} {up.field}"
    return Plot(drawn(made, f"Accuracy by {title}", salt, search.trials), title)


def _dots(trials: Sequence[Trial], mapped: bool) -> dict[str, object]:
    """Set completed trials off a map; where there is none, the darker, the higher."""
    if mapped:
        return {"edge": COLOURS["card"]}
    values = [trial.value or 0.0 for trial in trials]
    low, span = min(values, default=0.0), max(values, default=0.0) - min(values, default=0.0)
    shades = [(COLOURS["complete"], 0.08 + 0.9 * (v - low) / (span or 1)) for v in values]
    return {"face": shades, "edge": COLOURS["complete"]}


def _map(made: Figure, axes: Axes, across: Dimension, up: Dimension,
         points: Sequence[tuple[Trial, float, float]]) -> None:  # fmt: skip
    """Shade the mean accuracy of the trials around each point, where there are some."""
    xs = np.array([unit(across, x) for _, x, _ in points])
    ys = np.array([unit(up, y) for _, _, y in points])
    values = np.array([100 * trial.values[0] for trial, _, _ in points])
    if not len(values) or np.ptp(values) == 0:
        return
    at = np.linspace(0, 1, 33)
    squares = (at[:, None] - xs) ** 2, (at[:, None] - ys) ** 2  # [33, n] each
    near = np.exp(-(squares[1][:, None] + squares[0][None]) / (2 * NEAR**2))  # [33, 33, n]
    mass = near.sum(2)
    means = np.ma.masked_where(mass < 0.5, (near @ values) / np.maximum(mass, 1e-9))
    if means.count() and np.ptp(means.compressed()) > 1e-9:
        levels = np.linspace(means.min(), means.max(), LEVELS + 1)
        shades = [(COLOURS["complete"], 0.06 + 0.6 * k / LEVELS) for k in range(LEVELS)]
        _contours(made, axes, _values(across, at), _values(up, at), means, levels, shades)


def _contours(made: Figure, axes: Axes, xs: np.ndarray, ys: np.ndarray, means: np.ndarray,
              levels: np.ndarray, shades: list[tuple[str, float]]) -> None:  # fmt: skip
    filled = axes.contourf(xs, ys, means, levels=levels, colors=shades, zorder=1)
    bar = made.colorbar(filled, cax=made.add_axes((0, 0, 1, 1)), format="%.1f")
    bar.set_ticks([levels[0], levels[-1]])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def _values(dimension: Dimension, at: np.ndarray) -> np.ndarray:
    low, high = bounds(dimension)
    if dimension.log:
        return np.asarray(low * (high / low) ** at)
    return np.asarray(low + (high - low) * at)
