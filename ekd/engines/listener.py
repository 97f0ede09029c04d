"""Who hears what becomes of the runs that an engine trains."""

from __future__ import annotations

from typing import Any, Protocol

from ekd.spec import EkdError, Run
from ekd.tracking import About


class Listener(Protocol):
    """Hears every event of an engine, in the order in which they happen."""

    def say(self, text: str) -> None:
        """Hear of something that concerns a person."""

    def took(self, run: Run) -> None:
        """Hear that the engine holds the lease of a run and will train it."""

    def started(self, run: Run, epoch: int | None) -> None:
        """Hear that a run starts, or with `epoch` goes on after so many epochs."""

    def epoch(self, run: Run, line: dict[str, Any]) -> None:
        """Hear of a finished epoch, by its line of the history."""

    def ended(self, run: Run, text: str) -> None:
        """Hear how a run ended."""

    def cannot_start(self, run: Run, error: EkdError) -> None:
        """Hear why a run cannot start here."""

    def waiting(self, runs: int) -> None:
        """Hear, once, that nothing is left to do but to wait for so many runs of others."""


class Mirroring(Protocol):
    """Is told when a run's history begins and ends."""

    def start(self, key: str, about: About) -> None:
        """Hear that run `key` begins or resumes."""

    def finish(self, key: str, outcome: str = "") -> None:
        """Hear that run `key` is over for now; `outcome` names an end that its files do not."""
