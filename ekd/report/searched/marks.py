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
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ekd.report.searched.model import Dimension
from ekd.report.searched.words import trial_words, value_words
from ekd.sweep.facts import State, Trial, Value

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
LETTER = 0.073
"""Width of a letter at a tick, in inches."""
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
    made = Figure(figsize=(width, height))
    FigureCanvasAgg(made)
    axes = made.add_subplot()
    hide_spines(axes)
    axes.grid(True)
    return made, axes


def fit(made: Figure) -> None:
    """Leave room for the labels of the first axes, and for the colour bar, if there are others.

    Matplotlib's own layouts draw everything twice.
    """
    width, height = made.get_size_inches()
    axes, *bars = made.axes
    left = 0.32 + LETTER * max(map(len, _labels(axes.yaxis)), default=-2)
    room = width - left - (0.62 if bars else 0.12)
    names = _labels(axes.xaxis)
    longest = max(map(len, names), default=0)
    turned = LETTER * (longest + 1) * len(names) > 1.1 * room
    bottom = 0.42 + (0.5 * LETTER * longest if turned else 0.0)
    if turned:
        axes.tick_params(axis="x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    up = (height - bottom - 0.1) / height
    axes.set_position((left / width, bottom / height, room / width, up))
    for bar in bars:
        bar.set_position(((left + room + 0.08) / width, bottom / height, 0.07 / width, up))


def _labels(axis: Axis) -> list[str]:
    """Give the texts at the ticks that are in view."""
    low, high = sorted(axis.get_view_interval())
    places = [place for place in axis.get_majorticklocs() if low <= place <= high]
    return list(axis.get_major_formatter().format_ticks(places)) if places else []


def hide_spines(axes: Axes) -> None:
    """Leave the axes at the left and below."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2.5, width=0.6)


def drawn(made: Figure, label: str, salt: str, trials: Sequence[Trial] = ()) -> Markup:
    """Give a figure as inline SVG: the same figure and salt give the same text.

    A mark that links to a trial says on the page which one it is.
    """
    fit(made)
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


def choice_words(value: Value) -> str:
    """Write a choice at a tick, shortened."""
    words = value_words(value)
    return words if len(words) <= 16 else words[:15] + "\N{HORIZONTAL ELLIPSIS}"


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
