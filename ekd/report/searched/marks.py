"""What all plots of a search share: marks of trials, colours of the page, and SVG as bytes stay."""

from __future__ import annotations

import contextlib
import html
import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ekd.report.searched.model import Dimension
from ekd.report.searched.words import trial_words
from ekd.sweep.facts import State, Trial

COLOURS = {
    name: f"#0102{number:02x}"
    for number, name in enumerate(
        ("ink", "soft", "faint", "line", "card", "paper", "best",
         "complete", "pruned", "fail", "running", "waiting"), 16
    )
}  # fmt: skip
"""What a plot draws with; on the page each becomes the variable of that name, in light and dark."""

MARKERS: dict[State, str] = {
    "COMPLETE": "o", "PRUNED": "D", "FAIL": "X", "RUNNING": ">", "WAITING": "s",
}  # fmt: skip
SIZES: dict[State, float] = {"COMPLETE": 22, "PRUNED": 15, "FAIL": 26, "RUNNING": 24, "WAITING": 16}
HOLLOW: set[State] = {"PRUNED", "WAITING"}
SETTINGS = {
    "svg.fonttype": "none", "text.parse_math": False, "font.family": ["DejaVu Sans"],
    "font.size": 8.5, "axes.linewidth": 0.6, "axes.titlesize": 9, "axes.labelsize": 9,
    "axes.unicode_minus": True, "hatch.linewidth": 0.7,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "text.color": COLOURS["ink"], "axes.labelcolor": COLOURS["soft"],
    "axes.edgecolor": COLOURS["faint"], "xtick.color": COLOURS["faint"],
    "ytick.color": COLOURS["faint"], "xtick.labelcolor": COLOURS["soft"],
    "ytick.labelcolor": COLOURS["soft"], "grid.color": COLOURS["line"], "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}  # fmt: skip
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Make the context in which plots are drawn; what a user's matplotlibrc says is left out."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)
        yield


def figure(width: float = 4.4, height: float = 2.6) -> tuple[Figure, Axes]:
    """Make a figure of one plot; sizes in inches."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    axes = made.add_subplot()
    hide_spines(axes)
    axes.grid(True)
    return made, axes


def hide_spines(axes: Axes) -> None:
    """Leave the axes at the left and below."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2.5, width=0.6)


def drawn(made: Figure, label: str, salt: str, trials: Sequence[Trial] = ()) -> Markup:
    """Give a figure as inline SVG: the same figure and salt give the same text.

    A mark that links to a trial says on the page which one it is.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that matplotlib lacks, the browser has
        made.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"(?s)^.*?(?=<svg )", "", text)
    text = re.sub(r"(?s)<metadata>.*?</metadata>", "", text)
    text = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    text = text.replace("'DejaVu Sans'", FONT)
    return Markup(_linked(_without_idle_ids(text), trials))


def _without_idle_ids(text: str) -> str:
    """Drop ids that nothing refers to: those of two figures would be the same."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    return re.sub(
        r' id="([^"]*)"', lambda found: found.group() if found.group(1) in used else "", text
    )


def _linked(text: str, trials: Sequence[Trial]) -> str:
    words = {f"#t{trial.number}": html.escape(trial_words(trial)) for trial in trials}

    def link(found: re.Match[str]) -> str:
        return f'<a href="{found.group(1)}"><title>{words.get(found.group(1), "")}</title>'

    return re.sub(r'<a xlink:href="(#t\d+)"[^>]*>', link, text)


def mark(axes: Axes, trials: Iterable[Trial], xs: Iterable[float], ys: Iterable[float],
         state: State, **more: Any) -> None:  # fmt: skip
    """Put the mark of a state where each trial is."""
    colour = COLOURS[state.lower()]
    face = "none" if state in HOLLOW else more.pop("face", colour)
    dots = axes.scatter(
        list(xs), list(ys), s=SIZES[state], marker=MARKERS[state], facecolors=face,
        edgecolors=more.pop("edge", colour), linewidths=0.8, **{"zorder": 3} | more,
    )  # fmt: skip
    dots.set_urls([f"#t{trial.number}" for trial in trials])


def star(axes: Axes, trial: Trial, x: float, y: float, **more: Any) -> None:
    """Mark the paper's point."""
    dots = axes.scatter(
        [x], [y], s=140, marker="*", facecolors=COLOURS["paper"], edgecolors=COLOURS["card"],
        linewidths=0.8, zorder=6, clip_on=False, **more,
    )  # fmt: skip
    dots.set_urls([f"#t{trial.number}"])


def ring(axes: Axes, x: float, y: float) -> None:
    """Mark the best trial."""
    axes.scatter(
        [x], [y], s=75, marker="o", facecolors="none", edgecolors=COLOURS["best"],
        linewidths=1.6, zorder=5,
    )  # fmt: skip


def position(dimension: Dimension, trial: Trial) -> float | None:
    """Give where a trial lies along a field: its value, or the place of its choice."""
    value = trial.params.get(dimension.field)
    if dimension.field not in trial.params:
        return None
    if dimension.choices:
        return float(dimension.choices.index(value))
    return float(value) if isinstance(value, int | float) else None


def unit(dimension: Dimension, value: float) -> float:
    """Scale a position to [0, 1] along the field's axis."""
    low, high = bounds(dimension)
    if dimension.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.5


def bounds(dimension: Dimension) -> tuple[float, float]:
    """Give the ends of a field's axis."""
    if dimension.choices:
        return 0.0, float(len(dimension.choices) - 1)
    return float(dimension.low or 0.0), float(dimension.high or 0.0)
