"""Trains a plan in several processes; the leases decide who trains what."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from ekd.engines.console import Console, counted
from ekd.engines.local import Engine, held, is_open
from ekd.engines.worker import INTERRUPTS, Job, work
from ekd.plan import Planned, Progress, progress
from ekd.spec import EnvironmentProblem, Run

CONTEXT = multiprocessing.get_context("spawn")
DEATHS = 2
"""How many processes may die under one run, or one after the other at their start."""
COUNT_SECONDS = 2.0
GRACE_SECONDS = 3.0


@dataclass
class Worker:
    """A process of the pool, and what it does."""

    number: int
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    finished: bool = False
    waiting: bool = False
    run: Run | None = None


@dataclass
class Pool:
    """Lets up to `workers` processes, which share this one's threads, train as `engine` would."""

    engine: Engine
    console: Console
    workers: int
    plan: list[Planned]
    crew: dict[int, Worker] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    """How many processes died under each run."""
    stillborn: int = 0
    """How many processes died since one last came as far as to take a run or to wait for one."""
    runs: dict[str, Run] = field(init=False)

    def __post_init__(self) -> None:
        self.runs = {entry.run.key: entry.run for entry in self.plan}

    def execute(self) -> dict[str, Progress]:
        """Train whatever is not done, as Engine.execute does.

        A process that dies is replaced; a run under which it happens twice is failed. Raises
        EnvironmentProblem where processes die before they come to a run.
        """
        states = progress(self.plan, self.engine.store).values()
        self.run_crew(min(self.workers, sum(map(is_open, states))))
        return self.engine.execute(self.plan)  # finds nothing to train any more

    def run_crew(self, size: int) -> None:
        """Let so many processes do their job to its end."""
        try:
            for number in range(1, 1 + size):
                self._start(number)
            while self.crew:
                self._count()
                self._hear()
        finally:
            self._stop()
            self.console.rest()

    # Processes

    def _start(self, number: int) -> None:
        with _undisturbed():
            ours, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(target=work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self.crew[number] = Worker(number, process, ours)
        self.console.show("starts", number)

    def _stop(self) -> None:
        """End the processes that are left: gently, so that they give their leases back."""
        for worker in self.crew.values():
            if worker.ready:
                worker.process.terminate()
            else:
                worker.process.kill()
        deadline = time.monotonic() + GRACE_SECONDS
        for worker in self.crew.values():
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.process.kill()
            worker.process.join()

    def _buried(self, worker: Worker) -> None:
        """Replace a worker whose pipe is closed, if it did not come to its end."""
        worker.process.join(GRACE_SECONDS)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        del self.crew[worker.number]
        self.console.show("", worker.number)
        if worker.finished:
            return
        cause, run = _cause(worker.process.exitcode or 0), worker.run
        self.stillborn += run is None
        if self.stillborn >= DEATHS:
            raise EnvironmentProblem(
                f"processes that were to train died at their start ({cause}): free memory, or "
                "choose fewer --workers"
            )
        while_ = f" while it trained {run.key} {self.console.name(run)}" if run else ""
        self.console.say(
            f"worker {worker.number} died ({cause}){while_}: another one takes its place"
        )
        if run:
            self._died_under(run, cause)
        self._start(worker.number)

    def _died_under(self, run: Run, cause: str) -> None:
        self.deaths[run.key] += 1
        folder = self.engine.store.folder(run)
        if self.deaths[run.key] >= DEATHS:
            with held(folder) as ours:  # else a worker was faster: its end is looked at then
                if ours and is_open(folder.kept()):
                    reason = (
                        f"its process died ({cause}) twice: free memory or take fewer --workers, "
                        "and give the same command with --retry"
                    )
                    folder.write_failure("failed", reason, "")
                    self.console.ended(run, f"failed: {reason}")
        self.engine.mirror.finish(run.key)

    # What they tell

    def _hear(self) -> None:
        by_pipe = {worker.pipe: worker for worker in self.crew.values()}
        for pipe in connection.wait(list(by_pipe), COUNT_SECONDS):
            assert isinstance(pipe, Connection)
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                self._buried(by_pipe[pipe])
            else:
                self._heed(by_pipe[pipe], *message)

    def _heed(self, worker: Worker, event: str, *details: Any) -> None:
        if event == "ready":
            worker.ready = True
            with suppress(OSError):  # it died, and its pipe tells so next
                worker.pipe.send(self._job(worker.number))
        elif event == "finished":
            worker.finished = True
        elif event == "broke":
            error, trace = details
            error.add_note(trace)
            raise error
        elif event == "mirror":
            name, *arguments = details
            getattr(self.engine.mirror, name)(*arguments)
        elif event == "waiting":
            self._wait(worker, *details)
        elif event == "say":
            self.console.say(*details)
        else:
            key, *rest = details
            self._heed_run(worker, event, self.runs[key], *rest)

    def _heed_run(self, worker: Worker, event: str, run: Run, *details: Any) -> None:
        worker.waiting, self.stillborn = False, 0
        worker.run = run if event in ("took", "started", "epoch") else None
        if event == "cannot_start":
            if run.key in self.engine.unavailable:  # another worker told so
                self.console.show("", worker.number)
                return
            self.engine.unavailable[run.key] = details[0]
        getattr(self.console, event)(run, *details, worker=worker.number)

    def _wait(self, worker: Worker, runs: int) -> None:
        worker.waiting, self.stillborn = True, 0
        self.console.show(f"waits for {counted(runs, 'run')} that others train", worker.number)
        if all(other.waiting for other in self.crew.values()):
            self.console.waiting(runs)

    def _job(self, number: int) -> Job:
        engine = self.engine
        device = engine.device
        if device.type == "cuda":
            device = torch.device("cuda", (number - 1) % torch.cuda.device_count())
        threads = max(1, torch.get_num_threads() // self.workers)
        return Job(self.plan, engine.store.root, engine.data_root, device, threads, engine.tags)

    def _count(self) -> None:
        done = sum(self.engine.store.folder(run).kept() == "done" for run in self.runs.values())
        summary = f"{done} of {counted(len(self.runs), 'run')} done"
        if summary != self.console.summary:
            self.console.summary = summary
            self.console.draw()


def _cause(code: int) -> str:
    """Say how a process ended; 128 and more is how workers tell that they heeded a signal."""
    if code < 0 or code > 128:
        return f"signal {-code if code < 0 else code - 128}"
    return f"exit code {code}"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let nothing interrupt the start of a process, and start it with interrupts shut as well."""
    resource_tracker.ensure_running()  # when it starts, it opens them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
