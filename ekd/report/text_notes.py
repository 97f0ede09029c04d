"""What stands beside a text table: scale, seeds, how it was made, and what its marks mean."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from ekd.report.comparisons import Gain
from ekd.report.measured import MARGIN, Measured
from ekd.report.model import Content, EpochTime, Quoted, Report, Section, Timed
from ekd.report.wording import PLUS_MINUS, one_line
from ekd.spec.exhibit import Quote
from ekd.spec.fields import assignment
from ekd.spec.places import folder

AGREES, DIFFERS, TIMED = "=", "\N{NOT EQUAL TO}", "\N{DAGGER}"
LEAKY = "leaky"
PAPER = "Ensemble Knowledge Distillation, arXiv 1909.08097"


def commands(section: Section) -> tuple[str, str]:
    """Give the commands that trained a section and that wrote its table, without folders."""
    path, own = section.sheet.path, section.sheet.grid.seeds
    name = path.stem if path.parent == folder("experiments") else path.name
    overrides = "".join(f" -s {shlex.quote(text)}" for text in changed(section))
    seeds = section.sheet.seeds
    chosen = "" if seeds == own else f" --seeds {','.join(map(str, seeds))}"
    run = f"ekd-run {shlex.quote(name)} --scale {section.scale}{overrides}{chosen}"
    return one_line(run), one_line(f"ekd-report {shlex.quote(name)}")


def changed(section: Section) -> list[str]:
    """List the overrides of a section, without the folders of this machine."""
    found = [(text, *assignment(text)) for text in section.overrides]
    return [f"{field}={Path(str(v)).name}" if field == "data.path" else t for t, field, v in found]


def facts(section: Section) -> list[str]:
    """Say at which scale a section is, what was changed, its seeds, how far its runs are."""
    seeds, counts = section.sheet.seeds, section.progress
    unfinished = "".join(f", {n} {status}" for status, n in counts.items() if status != "done")
    found = (
        f"Scale {section.scale}: {section.description.rstrip('.')}",
        *(f"{text} set by hand" for text in changed(section)),
        *section.replaced,
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
        f"{counts.get('done', 0)} of {sum(counts.values())} runs finished{unfinished}",
    )
    return [one_line(text) for text in found]


def notes(section: Section) -> list[str]:
    """Explain what the table of a section shows, and no more, a sentence each."""
    cells = list(section.cells.values())
    shows = Report("", "", (), (section,)).shows
    efforts = _efforts(section, shows, cells)
    found = (*_numbers(shows), *efforts, *_sources(section, cells), *_comparisons(section, shows))
    return [one_line(text) for text in (*found, *_warnings(cells))]


def quotes(section: Section) -> list[Quote]:
    """List the quotes of a section, each once, in the order of their cells."""
    cells = [cell for _, cell in sorted(section.cells.items(), key=lambda item: item[0])]
    found = [c.quote for c in cells if isinstance(c, Quoted) and c.quote is not None]
    return [quote for number, quote in enumerate(found) if quote not in found[:number]]


def _numbers(shows: set[str]) -> Iterator[str]:
    if "Measured" in shows:
        yield (
            f"Measured: mean test accuracy in percent {PLUS_MINUS} half its 95 % Student interval "
            "(number of seeds); one seed has no interval."
        )
    if "Computed" in shows:
        marks = f"; {AGREES} the paper prints the same decimals, {DIFFERS} it does not"
        yield (
            "In italics: computed from the network's layers, not measured"
            f"{marks if 'agrees' in shows else ''}."
        )


def _efforts(section: Section, shows: set[str], cells: list[Content]) -> Iterator[str]:
    if "training" in shows:
        yield (
            "Operations of a whole training, teachers and all else that comes before included, are "
            f"multiples of those of {section.unit}."
        )
    times = [cell for cell in cells if isinstance(cell, EpochTime) and cell.seconds]
    machines = sorted({machine for cell in times for machine in cell.machines})
    if times:
        yield (
            "Seconds of an epoch are means over the finished seeds, measured while they were "
            f"trained (on {'; '.join(machines)}), whatever else the machine did then; hint runs "
            "count, evaluations do not."
        )


def _sources(section: Section, cells: list[Content]) -> Iterator[str]:
    for threads in sorted({cell.threads for cell in cells if isinstance(cell, Timed)}):
        yield (
            f"{TIMED} timed: median milliseconds for one image, on the machine that made this "
            f"table, with {threads} thread{'' if threads == 1 else 's'}."
        )
    for number, quote in enumerate(quotes(section), 1):
        yield f"[{number}] quoted, not ours: {quote.source}; {quote.protocol}."


def _comparisons(section: Section, shows: set[str]) -> Iterator[str]:
    gains = [gain for place in section.cells for gain in section.gains(place)]
    if gains:
        half = f" {PLUS_MINUS} half its 95 % Student interval" if _has_interval(gains) else ""
        yield (
            f"over: ours minus that row's, in points, the mean over the seeds that both have{half} "
            "(their number, where ours has more)."
        )
    if "paper" in shows:
        difference = " (ours minus the paper's, in points, where student and data are the paper's)"
        yield f"paper: as printed in {PAPER}{difference if 'difference' in shows else ''}."
    if "reproduced" in shows:
        yield (
            f"reproduced: the paper's value lies in our interval widened by {MARGIN} points; said "
            "only at scale paper, nothing set by hand, of three seeds or more."
        )


def _has_interval(gains: list[Gain]) -> bool:
    return any(gain.interval for gain in gains)


def _warnings(cells: list[Content]) -> Iterator[str]:
    measured = [cell for cell in cells if isinstance(cell, Measured)]
    if any(cell.interval and not cell.interval.within(0, 100) for cell in measured):
        yield (
            "An interval that reaches beyond 0 or 100 percent stands as computed: seeds so few and "
            "so different tell little."
        )
    if any(cell.leaky for cell in measured):
        yield (
            f"{LEAKY}: the weights were chosen on the test images that score them; the accuracy "
            "is too high."
        )
