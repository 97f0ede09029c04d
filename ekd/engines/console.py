"""What a person sees while runs train: a moving line on a terminal, else a line per event."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

import torch

from ekd.spec import Run

LINE_SECONDS = 10.0
WIDTH = 100


@dataclass
class Console:
    """Writes progress of the runs of one plan to `stream`."""

    total: int
    name: Callable[[Run], str]
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    number: int = 0
    """Runs started by this process."""
    shown: float = 0.0
    """When the last line of progress was written."""

    def say(self, text: str) -> None:
        """Write one line for an event."""
        start = "\r\x1b[K" if self.stream.isatty() else ""
        self.stream.write(f"{start}{text}\n")
        self.stream.flush()

    def started(self, run: Run, epoch: int, epochs: int, threads: int | None) -> None:
        """Tell that a run starts, or goes on after `epoch` epochs."""
        self.number += 1
        resumed = f", resumed after epoch {epoch} of {epochs}" if threads is not None else ""
        self.say(f"[{self.number}/{self.total}] {run.key} {self.name(run)}{resumed}")
        if threads not in (None, torch.get_num_threads()):
            self.say(
                f"  its checkpoint was trained with {threads} threads, this process has "
                f"{torch.get_num_threads()}: the last bits of its numbers may differ"
            )
        self.shown = time.monotonic()

    def epoch(self, run: Run, line: dict[str, Any], epochs: int) -> None:
        """Tell how far the run is: always on a terminal, else at most every ten seconds."""
        left = (epochs - line["epoch"]) * line["seconds"]
        scores = f", accuracy {100 * line['accuracy']:.2f} %" if "accuracy" in line else ""
        text = (
            f"  epoch {line['epoch']}/{epochs}, loss {line['loss']:.4f}{scores}, "
            f"{duration(left)} left"
        )
        if self.stream.isatty():
            done = round(20 * line["epoch"] / epochs)
            self.stream.write(f"\r\x1b[K  [{'#' * done}{'.' * (20 - done)}]{text[:WIDTH]}")
            self.stream.flush()
        elif time.monotonic() - self.shown >= LINE_SECONDS:
            self.say(text)
            self.shown = time.monotonic()

    def ended(self, run: Run, text: str) -> None:
        """Tell how a run ended."""
        self.say(f"  {run.key} {text}")


def duration(seconds: float) -> str:
    """Write a time as 35 s, 12 min or 3.4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counted(number: int, noun: str) -> str:
    """Write a number of things as 1 run or 3 runs."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
