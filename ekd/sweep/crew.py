"""Several processes that search one study."""

from __future__ import annotations

from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from ekd.engines import Console, Pool
from ekd.engines.local import Engine
from ekd.engines.pool import Worker
from ekd.engines.worker import Job, Wire
from ekd.plan import describe
from ekd.spec import Run
from ekd.store import Store
from ekd.sweep.asked import Asked
from ekd.sweep.search import search


class Progress(Console):
    """Writes a line per event of a trial, and of the runs that are trained for it."""

    def __init__(self) -> None:
        super().__init__(total=0, name=describe)

    def started(self, run: Run, epoch: int | None, worker: int = 0) -> None:
        """Tell that a run starts or goes on."""
        resumed = f", resumed after epoch {epoch} of {run.epochs}" if epoch is not None else ""
        self.say(f"  {run.key} {self.name(run)}{resumed}")

    def waiting(self, runs: int) -> None:
        """Tell that what is left is tried by others."""
        self.say("waiting for what another process trains")


class TellingWire(Wire):
    """Sends each run itself once, as its parent has no list of them."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__(pipe)
        self._known: set[str] = set()

    def took(self, run: Run) -> None:
        """Pass on that a run's lease is held."""
        self._introduce(run)
        super().took(run)

    def cannot_start(self, run: Run, error: Any) -> None:
        """Pass on why a run cannot start."""
        self._introduce(run)
        super().cannot_start(run, error)

    def _introduce(self, run: Run) -> None:
        if run.key not in self._known:
            self._known.add(run.key)
            self.send("knows", run)


@dataclass(frozen=True)
class SearchJob(Job):
    """What a worker is to search."""

    asked: Asked
    storage: str | None

    def work(self, pipe: Connection) -> None:
        """Try points beside the other workers until the budget is spent."""
        wire = TellingWire(pipe)
        engine = Engine(Store(self.root), self.data_root, self.device, wire, wire, self.tags)
        search(self.root, self.storage, self.asked, engine)


@dataclass
class Crew(Pool):
    """Lets several processes search; one that dies is replaced, and its trial taken up again."""

    plan: list[Any] = field(default_factory=list)
    asked: Asked | None = None
    storage: str | None = None

    def _heed(self, worker: Worker, event: str, *details: Any) -> None:
        if event == "knows":
            (run,) = details
            self.runs[run.key] = run
        else:
            super()._heed(worker, event, *details)

    def _job(self, number: int) -> Job:
        job = super()._job(number)
        assert self.asked is not None
        return SearchJob(**vars(job), asked=self.asked, storage=self.storage)

    def _count(self) -> None:
        """Show nothing below the bars: the lines of the trials count."""
