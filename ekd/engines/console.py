"""What a person sees while runs train: moving bars on a terminal, else a line per event."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from ekd.spec import EkdError, Run

LINE_SECONDS = 10.0
BAR, COLUMNS = 20, 80


@dataclass
class Console:
    """Writes progress of the runs of one plan to `stream`; a listener for every worker."""

    total: int
    name: Callable[[Run], str]
    stream: TextIO = field(default_factory=lambda: sys.stderr or _nowhere())
    numbers: dict[str, int] = field(default_factory=dict)
    """The runs that this command started, by key, in their order."""
    bars: dict[int, str] = field(default_factory=dict)
    """What each worker does at present."""
    summary: str = ""
    """A line below the bars."""
    drawn: int = 0
    """Lines of bars and summary on the terminal."""
    told: dict[str, float] = field(default_factory=dict)
    """When a line last told of a run."""

    def say(self, text: str) -> None:
        """Write one line for an event."""
        self._write(f"{self._erased()}{text}\n{self._drawing()}")

    def took(self, run: Run, worker: int = 0) -> None:
        """Show that a run is made ready."""
        self.show(f"[{'.' * BAR}] {self.name(run)}", worker)

    def started(self, run: Run, epoch: int | None, worker: int = 0) -> None:
        """Tell that a run starts, or with `epoch` goes on after so many epochs."""
        number = self.numbers.setdefault(run.key, len(self.numbers) + 1)
        resumed = f", resumed after epoch {epoch} of {run.epochs}" if epoch is not None else ""
        self.told[run.key] = time.monotonic()
        self.say(f"[{number}/{self.total}] {run.key} {self.name(run)}{resumed}")

    def epoch(self, run: Run, line: dict[str, Any], worker: int = 0) -> None:
        """Tell how far the run is: always on a terminal, else at most every ten seconds."""
        number, left = line["epoch"], duration((run.epochs - line["epoch"]) * line["seconds"])
        scores = f"accuracy {100 * line['accuracy']:.2f} %, " if "accuracy" in line else ""
        done, epoch = round(BAR * number / run.epochs), f"epoch {number}/{run.epochs}"
        scores += f"loss {line['loss']:.4f}"
        bar = f"[{'#' * done}{'.' * (BAR - done)}]"
        self.show(f"{bar} {epoch}, {left} left, {self.name(run)}, {scores}", worker)
        now = time.monotonic()
        due = number < run.epochs and now - self.told.get(run.key, 0.0) >= LINE_SECONDS
        if due and not self.stream.isatty():
            self.told[run.key] = now
            self.say(f"  {run.key} {epoch}, {scores}, {left} left")

    def ended(self, run: Run, text: str, worker: int = 0) -> None:
        """Tell how a run ended."""
        self.bars.pop(worker, None)
        self.say(f"  {run.key} {text}")

    def cannot_start(self, run: Run, error: EkdError, worker: int = 0) -> None:
        """Tell why a run cannot start."""
        self.bars.pop(worker, None)
        self.say(f"{run.key} {self.name(run)} cannot start: {error}")

    def waiting(self, runs: int) -> None:
        """Tell that all that is left is trained by others."""
        self.say(f"waiting for {counted(runs, 'run')} that another process trains")

    def show(self, text: str, worker: int = 0) -> None:
        """Show on a terminal what a worker does; "" for nothing."""
        self.bars[worker] = text
        self.draw()

    def draw(self) -> None:
        """Draw the bars anew, on a terminal."""
        if self.stream.isatty():
            self._write(self._erased() + self._drawing())

    def rest(self) -> None:
        """Take the bars away."""
        self.bars, self.summary = {}, ""
        self.draw()

    def _erased(self) -> str:
        """Give what takes the cursor to the place of the first bar and clears all below."""
        if not self.stream.isatty():
            return ""
        up = f"\x1b[{self.drawn - 1}A" if self.drawn > 1 else ""
        return f"\r{up}\x1b[J"

    def _drawing(self) -> str:
        if not self.stream.isatty():
            return ""
        columns, rows = self._size()
        lines = [text for _, text in sorted(self.bars.items())] + [self.summary]
        shown = [f"  {line}"[: columns - 1] for line in lines if line][-max(1, rows - 1) :]
        self.drawn = len(shown)
        return "\n".join(shown)

    def _size(self) -> tuple[int, int]:
        """Give the terminal's columns and rows; some say 0 of either."""
        try:
            columns, rows = os.get_terminal_size(self.stream.fileno())
        except OSError:
            return COLUMNS, 24
        return columns or COLUMNS, rows or 24

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk under a log is no reason to stop a run
            self.stream.write(text)
            self.stream.flush()


def _nowhere() -> TextIO:
    """Give a stream where the command was started with stderr closed."""
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123


def duration(seconds: float) -> str:
    """Write a time as 35 s, 12 min or 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """Write a number of things as 1 run or 3 runs."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
