"""Searches that take seconds, in this process or in ones that can be killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import processes

from ekd.cli import sweep as cli
from ekd.sweep import read_study

SPEC = """title = "Tiny search"
sampler = "tpe"
pruner = "none"
trials = 4
seed = 3

[run]
student.arch = "resnet8"
data = {{ path = "{path}", resolution = 8, augment = "none", holdout = 0.25 }}
recipe = {{ epochs = {epochs}, batch_size = 12, weight_decay = 0.0, init = "kaiming" }}

[space]
"recipe.lr" = {{ low = 0.0001, high = 0.1, log = true }}
"recipe.lr_factor" = {{ low = 0.1, high = 1.0 }}

[grid]
"recipe.lr" = [0.001, 0.01]
"recipe.lr_factor" = [0.1, 0.5]

[[first]]
label = "paper"
set = {{ "recipe.lr" = 0.01, "recipe.lr_factor" = 0.1 }}
"""
"""A plain run, which trains in a tenth of a second."""

TAUGHT = """title = "Tiny distillation"
trials = 3
again = {{ best = 1, seeds = [7] }}

[run]
student.arch = "resnet8"
teachers = "resnet8"
data = {{ path = "{path}", resolution = 8, augment = "none", holdout = 0.25 }}
method.name = "ekd"
recipe = {{ epochs = {epochs}, batch_size = 12, lr = 0.01, init = "kaiming" }}

[space]
"method.alpha" = {{ low = 0.0, high = 1.0 }}
"method.beta" = {{ low = 0.0, high = 1.0 }}

[grid]
"method.alpha" = [0.0, 1.0]
"method.beta" = [0.0, 1.0]

[[first]]
label = "paper"
set = {{ "method.alpha" = 0.5, "method.beta" = 0.5 }}
"""


def write(folder: Path, source: Path, text: str = SPEC, epochs: int = 2, name: str = "my") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text.format(path=source, epochs=epochs))
    return path


def trials(root: Path, study: str = "my@paper") -> list[Any]:
    return list(read_study(root, study).get_trials(deepcopy=False))


def tried(root: Path, study: str = "my@paper") -> list[tuple[Any, ...]]:
    """What was tried, reaped trials left out: points, states, values and their course."""
    return [
        (t.params, t.state.name, t.values, t.intermediate_values, t.user_attrs.get("run"))
        for t in trials(root, study)
        if "reaped" not in t.user_attrs
    ]


def start(folder: Path, *arguments: str, fork: bool = True, pace: float = 0.0) -> BaseProcess:
    """Start `ekd-sweep` in `folder`; its output goes to out-<pid> and err-<pid> there.

    Its workers are forked from it, or with fork = False come from a server of their own. Each
    epoch takes `pace` seconds more, so that there is time to kill it.
    """
    target = partial(_main, fork=fork, pace=pace)
    process = processes.CONTEXT.Process(target=target, args=(str(folder), arguments))
    process.start()
    return process


def _main(folder: str, arguments: tuple[str, ...], fork: bool, pace: float) -> None:
    from ekd.engines import local, pool

    whole = local.train

    def paced(*given: Any) -> Iterator[dict[str, Any]]:
        for line in whole(*given):
            time.sleep(pace)
            yield line

    local.train = paced  # type: ignore[assignment]
    os.setsid()
    os.chdir(folder)
    local.Saver = partial(local.Saver, seconds=0.04, ratio=0)  # type: ignore[misc]
    pool.CONTEXT = multiprocessing.get_context("fork") if fork else processes.CONTEXT  # type: ignore[assignment]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    sys.argv = ["ekd-sweep", *arguments, "--wandb", "disabled"]
    out, err = Path(f"out-{os.getpid()}"), Path(f"err-{os.getpid()}")
    with (
        out.open("w") as stdout,
        err.open("w") as stderr,
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        cli.main()


def last_trial(journal: Path) -> int:
    """Give the number of the last trial that a journal names; -1 without one."""
    try:
        lines = journal.read_text().splitlines()
    except FileNotFoundError:
        return -1
    return sum(json.loads(line)["op_code"] == 4 for line in lines if line.endswith("}")) - 1
