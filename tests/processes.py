"""Real processes that start in no time: forked from a server that has imported torch already.

The first optimiser of a process imports torch._dynamo, which takes seconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Two threads on a busy machine would spin for each other, a hundred times slower than they compute.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tiny", "ekd.engines", "ekd.cli.plan_text", "torch._dynamo"])


def start(target: Callable[..., Any], *arguments: Any) -> BaseProcess:
    process = CONTEXT.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def ekd_run(folder: Path, *arguments: str) -> BaseProcess:
    """Start `ekd-run` in `folder`; its output goes to out-<pid> and err-<pid> there.

    It keeps checkpoints every few steps: a tiny run would end before the first one is due.
    """
    return start(_main, str(folder), arguments)


def code(process: BaseProcess, timeout: float = 60) -> int:
    process.join(timeout)
    assert process.exitcode is not None, "it did not end"
    return process.exitcode


def meet(folder: Path, place: str, name: str, count: int) -> None:
    """Wait, without rest, until `count` processes are at one place."""
    meeting = folder / f"meeting-{place}"
    meeting.mkdir(exist_ok=True)
    (meeting / name).touch()
    while len(list(meeting.iterdir())) < count:
        os.sched_yield()


def _main(folder: str, arguments: tuple[str, ...]) -> None:
    from ekd.engines import local

    local.Saver = partial(local.Saver, seconds=0.04, ratio=0)  # type: ignore[misc]
    command(folder, arguments)


def command(folder: str, arguments: tuple[str, ...]) -> None:
    """Be `ekd-run` in `folder`, as `ekd_run` starts it, with the checkpoints of a real run."""
    from ekd.cli import run

    # Jobs in the background ignore Ctrl-C, those under nohup a hangup, and so do their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(folder)
    sys.argv = ["ekd-run", *arguments]
    out, err = Path(f"out-{os.getpid()}"), Path(f"err-{os.getpid()}")
    with (
        out.open("w") as stdout,
        err.open("w") as stderr,
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        run.main()
