"""One worker of a pool: an engine in a process of its own, which tells all to its parent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import torch

from ekd.engines.local import Engine
from ekd.engines.process import DeviceLost, prepare
from ekd.plan import Planned
from ekd.spec import EkdError, Run
from ekd.store import Store
from ekd.tracking import About

FROM_A_TERMINAL = (signal.SIGINT, signal.SIGHUP)
INTERRUPTS = (*FROM_A_TERMINAL, signal.SIGTERM)


@dataclass(frozen=True)
class Job:
    """What a worker is to train, and with what."""

    plan: list[Planned]
    root: Path
    data_root: Path
    device: torch.device
    threads: int
    tags: tuple[str, ...]

    def work(self, pipe: Connection) -> None:
        """Train the plan."""
        wire = Wire(pipe)
        store = Store(self.root)
        Engine(store, self.data_root, self.device, wire, wire, self.tags).execute(self.plan)


class Wire:
    """A listener that passes everything on; runs travel as their keys."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def send(self, event: str, *details: object) -> None:
        """Tell the parent; without one, end at once."""
        try:
            self._pipe.send((event, *details))
        except OSError:
            os._exit(1)

    def say(self, text: str) -> None:
        """Pass on what concerns a person."""
        self.send("say", text)

    def took(self, run: Run) -> None:
        """Pass on that a run's lease is held."""
        self.send("took", run.key)

    def started(self, run: Run, epoch: int | None) -> None:
        """Pass on that a run starts."""
        self.send("started", run.key, epoch)

    def epoch(self, run: Run, line: dict[str, Any]) -> None:
        """Pass on a finished epoch."""
        self.send("epoch", run.key, line)

    def ended(self, run: Run, text: str) -> None:
        """Pass on how a run ended."""
        self.send("ended", run.key, text)

    def cannot_start(self, run: Run, error: EkdError) -> None:
        """Pass on why a run cannot start."""
        self.send("cannot_start", run.key, error)

    def waiting(self, runs: int) -> None:
        """Pass on that there is nothing to do."""
        self.send("waiting", runs)

    def start(self, key: str, about: About) -> None:
        """Pass on what the mirror shall follow."""
        self.send("mirror", "start", key, about)

    def finish(self, key: str, outcome: str = "") -> None:
        """Pass on what the mirror need no longer follow."""
        self.send("mirror", "finish", key, outcome)


def work(pipe: Connection) -> None:
    """Do the job that the parent sends, beside its other workers, to its end.

    What a terminal sends to everyone, by Ctrl-C or when it is closed, is the parent's to heed; it
    ends its workers.
    """
    for number in FROM_A_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)  # the parent started us with them shut
    threading.Thread(target=_end_with_parent, daemon=True).start()
    wire = Wire(pipe)
    try:
        wire.send("ready")
        job: Job = pipe.recv()
        prepare()
        torch.set_num_threads(job.threads)
        if job.device.index is not None:
            torch.cuda.set_device(job.device)
        job.work(pipe)
        wire.send("finished")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)
    except DeviceLost:
        sys.exit(1)  # the worker in our place has the device anew
    except Exception as error:
        wire.send("broke", _portable(error), traceback.format_exc())


def _end(number: int, frame: object) -> NoReturn:
    sys.unraisablehook = lambda _: None  # nothing is told of what the exit meets on its way
    raise KeyboardInterrupt  # so that the lease is given back


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # checkpoints make that safe


def _portable(error: Exception) -> Exception:
    """Give the error itself, or what it says where it cannot travel to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(repr(error))
    return error
