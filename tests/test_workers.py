"""`--workers`: several processes train for one command, and may die, or all be told to stop."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pooled
import processes
import pytest
import tiny
import torch
from command_line import Run as Command
from pooled import wait_for

import ekd
from ekd.engines import Console, Engine, Pool, pool
from ekd.engines.worker import _portable, work
from ekd.plan import Planned
from ekd.spec import EnvironmentProblem, Run
from ekd.store import RunFolder, Store, verify
from ekd.tracking import Mirror

Start = Callable[..., BaseProcess]
EPOCHS = 10


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the command on two seeds, that is four runs, with two workers."""
    started = []

    def command(spec: Path, *options: str) -> BaseProcess:
        fixed = ["--workers", "2", "--seeds", "0-1", "--wandb", "disabled", "--device", "cpu"]
        process = pooled.start(tmp_path, str(spec), *fixed, *options)
        started.append(process)
        return process

    yield command
    for process in started:
        process.kill()
        process.join()


def folders(root: Path) -> dict[str, RunFolder]:
    """Give the runs of a store by method and seed, as plain-0."""
    found = {}
    for path in root.glob("*/spec.json"):
        run = json.loads(path.read_text())
        found[f"{run['method']['name']}-{run['seed']}"] = RunFolder(root, path.parent.name)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_npz: Path) -> dict[str, RunFolder]:
    """What one process gives that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    return trained_alone(folder, tiny.write_spec(folder, tiny_npz, EPOCHS))


def trained_alone(folder: Path, spec: Path) -> dict[str, RunFolder]:
    fixed = ["--seeds", "0-1", "--wandb", "disabled", "--device", "cpu", "--root", "whole"]
    assert processes.code(processes.ekd_run(folder, str(spec), *fixed), 180) == 0
    return folders(folder / "whole")


NAMES = {"plain-0", "plain-1", "ekd-0", "ekd-1"}


def test_workers_train_each_run_once_to_the_bits_of_one_process(
    tiny_npz: Path, tmp_path: Path, start: Start, whole: dict[str, RunFolder]
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, EPOCHS)
    process = start(spec, "--json", "--root", "pool")
    seen: set[int] = set()

    def ended() -> bool:
        seen.update(pooled.holder(path.parent) for path in (tmp_path / "pool").glob("*/lease.json"))
        return process.exitcode is not None

    wait_for(ended)
    assert process.exitcode == 0
    assert len(seen - {0}) == 2
    assert process.pid not in seen
    text = pooled.said(tmp_path, process)
    assert sorted(re.findall(r"^\[(\d)/4\] ", text, re.M)) == ["1", "2", "3", "4"]
    found = folders(tmp_path / "pool")
    assert set(found) == set(whole) == NAMES
    for name, folder in found.items():
        assert tiny.content(folder) == tiny.content(whole[name])
        assert len(folder.provenance()) == 1
    assert json.loads(pooled.said(tmp_path, process, "out"))["runs"][0]["state"] == "done"
    assert verify(Store(tmp_path / "pool")).problems == ()


def kill_the_trainer(run: RunFolder) -> int:
    """Kill the process that trains a run once it keeps a checkpoint of its own."""

    def stamp() -> int:
        path = run.path / "checkpoint.json"
        return path.stat().st_mtime_ns if path.exists() else 0

    wait_for(lambda: pooled.runs(pooled.holder(run.path)))
    before, pid = stamp(), pooled.holder(run.path)
    wait_for(lambda: stamp() != before)
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_worker_that_dies_is_replaced_and_a_run_that_kills_two_is_failed(
    tiny_npz: Path, tmp_path: Path, start: Start, whole: dict[str, RunFolder]
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, EPOCHS)
    process = start(spec, "--root", "pool")
    found = {name: RunFolder(tmp_path / "pool", folder.key) for name, folder in whole.items()}
    deadly = found["plain-0"]
    kill_the_trainer(found["plain-1"])
    killed = kill_the_trainer(deadly)
    wait_for(lambda: pooled.holder(deadly.path) not in (0, killed))
    kill_the_trainer(deadly)
    assert processes.code(process, 180) == 1
    text = pooled.said(tmp_path, process)
    died = re.findall(r"^worker \d died \(signal 9\) while it trained (\w+) .*place$", text, re.M)
    assert sorted(died) == sorted([deadly.key, deadly.key, found["plain-1"].key])
    assert f"{deadly.key} failed: its process died (signal 9) twice" in text
    assert "Traceback" not in text
    assert deadly.failure()["message"].startswith("its process died (signal 9) twice: free memory")
    assert not found["ekd-0"].path.exists()  # it would have learned from the one that failed
    for name in ("plain-1", "ekd-1"):
        assert tiny.content(found[name]) == tiny.content(whole[name])
    assert [len(found[name].provenance()) for name in ("plain-1", "ekd-1")] == [2, 1]
    again = start(spec, "--root", "pool", "--retry")
    assert processes.code(again, 180) == 0
    for name, folder in whole.items():
        assert tiny.content(found[name]) == tiny.content(folder)


def two_at_work(tmp_path: Path, process: BaseProcess) -> set[int]:
    """Wait until two workers of the command train, and give them."""

    def at_work() -> set[int]:
        leases = (tmp_path / "pool").glob("*/lease.json")
        return {pooled.holder(lease.parent) for lease in leases} & pooled.children(process.pid or 0)

    wait_for(lambda: len(at_work()) == 2)
    return at_work()


def test_workers_go_when_their_parent_is_killed(
    tiny_npz: Path, tmp_path: Path, start: Start
) -> None:
    process = start(tiny.write_spec(tmp_path, tiny_npz, epochs=5000), "--root", "pool")
    workers = two_at_work(tmp_path, process)
    process.kill()
    wait_for(lambda: not any(map(pooled.runs, workers)), seconds=20)
    assert "Traceback" not in pooled.said(tmp_path, process)


def one(number: signal.Signals) -> Callable[[int], None]:
    return lambda pid: os.kill(pid, number)


def everyone(pid: int) -> None:
    """As a terminal sends Ctrl-C."""
    os.killpg(pid, signal.SIGINT)


@pytest.mark.parametrize(
    "stop",
    [one(signal.SIGINT), one(signal.SIGTERM), everyone],
    ids=["SIGINT", "SIGTERM", "Ctrl-C in a terminal"],
)
def test_an_interrupt_ends_all_workers_and_the_same_command_goes_on(
    tiny_npz: Path, tmp_path: Path, start: Start, stop: Callable[[int], None]
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, epochs=5000)
    process = start(spec, "--root", "pool", "--json")
    workers = two_at_work(tmp_path, process)
    wait_for(lambda: len(list(tmp_path.glob("pool/*/checkpoint.json"))) == 2)
    assert process.pid
    stop(process.pid)
    assert processes.code(process, 20) == 3
    assert not any(map(pooled.runs, workers))
    text = pooled.said(tmp_path, process)
    assert text.endswith("interrupted: the same command goes on from here\n")
    assert "Traceback" not in text
    assert pooled.said(tmp_path, process, "out") == ""
    assert not list(tmp_path.glob("pool/*/lease.json"))  # no other machine has to wait for them
    again = start(spec, "--root", "pool")
    wait_for(lambda: pooled.said(tmp_path, again).count("resumed after epoch") == 2)


MIXED = """
title = "Mixed"
kind = "table"
run = { data = { name = "digits", resolution = 8, fraction = 0.1 }, recipe.epochs = 2 }
rows = [{ label = "1" }]
columns = [
    { label = "good" },
    { label = "diverges", set = { recipe.lr = 1e30 } },
    { label = "missing", set = { data.name = "tiny-imagenet" } },
]
"""


@pytest.mark.slow
def test_a_command_ends_with_and_without_workers_the_same(
    ekd_run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "CONTEXT", processes.CONTEXT)
    Path("mixed.toml").write_text(MIXED)
    ends = []
    for workers in ("1", "3"):  # three runs
        given = ["mixed.toml", "--root", f"of-{workers}", "--workers", workers]
        first = ekd_run(*given)
        told = ekd_run(*given, "--json")  # nothing is left to train
        texts = [first.out, told.out, first.err, told.err]
        volatile = r"of-[13]|in \d+ s|\[\d/|(?<= )\S*/failure.json"
        lines = [sorted(re.sub(volatile, "", text).splitlines()) for text in texts]
        ends.append((first.code, told.code, *lines))
    assert ends[1] == ends[0]
    assert ends[0][0] == 4
    assert "diverged" in str(ends[0])


# A pool whose workers are the test's own


def idle_pool(root: Path, run: Run, workers: int = 2, device: str = "cpu") -> Pool:
    console = Console(1, lambda run: "name", io.StringIO())
    mirror = Mirror(root, "disabled")
    engine = Engine(Store(root).open(), root, torch.device(device), mirror, console)
    return Pool(engine, console, workers, [Planned(run, ("test",), False)])


def _dies(pipe: Connection) -> None:
    os._exit(7)


def _dies_at_work(pipe: Connection) -> None:
    pipe.send(("ready",))
    pipe.recv()
    os._exit(7)  # such as where it sets up its device


def _breaks(pipe: Connection) -> None:
    pipe.send(("ready",))
    pipe.recv()
    pipe.send(("broke", _portable(EnvironmentProblem("the disk is full")), "its traceback"))
    time.sleep(60)


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (_dies, r"died at their start \(exit code 7\)"),
        (_dies_at_work, r"died at their start \(exit code 7\)"),
        (_breaks, "the disk is full"),
    ],
    ids=["die at once", "die with their job", "meet an error"],
)
def test_where_no_worker_can_work_the_command_says_so(
    tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Any, text: str
) -> None:
    monkeypatch.setattr(pool, "CONTEXT", processes.CONTEXT)
    monkeypatch.setattr(pool, "work", work)
    chosen = idle_pool(tmp_path, tiny.plain(tiny.data(tiny_npz)))
    with pytest.raises(EnvironmentProblem, match=text):
        chosen.execute()
    assert not any(worker.process.is_alive() for worker in chosen.crew.values())


def test_what_a_terminal_sends_to_everyone_is_not_for_a_worker() -> None:
    ours, theirs = processes.CONTEXT.Pipe()
    process = processes.start(work, theirs)
    assert ours.recv() == ("ready",)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.kill(process.pid or 0, number)
    assert processes.code(process) == 128 + signal.SIGTERM


def test_workers_share_the_threads_and_take_the_devices_in_turns(
    tiny_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.plain(tiny.data(tiny_npz))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    threads = [idle_pool(tmp_path, run, workers)._job(1).threads for workers in (1, 2, 3, 8)]
    assert threads == [7, 3, 2, 1]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    chosen = idle_pool(tmp_path, run, 3, "cuda")
    assert [chosen._job(number).device.index for number in (1, 2, 3)] == [0, 1, 0]
    assert idle_pool(tmp_path, run)._job(2).device == torch.device("cpu")


class Terminal(io.StringIO):
    """Keeps what a person would see: obeys newlines, returns, cursor up and clearing below."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        lines, row = [""], 0
        for part in re.findall(r"\x1b\[\d*[AJ]|\r|\n|[^\x1b\r\n]+", self.getvalue()):
            if part == "\n":
                row += 1
                lines += [""] if row == len(lines) else []
            elif part.endswith("A") and part.startswith("\x1b"):
                row -= int(part[2:-1])
            elif part == "\x1b[J":
                lines[row:] = [""]
            elif part != "\r":
                lines[row] = part
        return lines


def test_a_terminal_shows_a_bar_for_each_worker_below_the_events(tiny_npz: Path) -> None:
    first, second = (tiny.plain(tiny.data(tiny_npz), seed, epochs=4) for seed in (0, 1))
    terminal = Terminal()
    console = Console(2, lambda run: f"seed {run.seed}", terminal, summary="0 of 2 runs done")
    line = {"epoch": 1, "loss": 0.5, "seconds": 600.0}
    for worker, run in ((1, first), (2, second)):
        console.took(run, worker=worker)
        console.started(run, None, worker=worker)
    console.epoch(second, line | {"epoch": 2}, worker=2)
    console.epoch(first, line, worker=1)
    events = [f"[1/2] {first.key} seed 0", f"[2/2] {second.key} seed 1"]
    assert terminal.screen() == [
        *events,
        "  [#####...............] epoch 1/4, 30 min left, seed 0, loss 0.5000",
        "  [##########..........] epoch 2/4, 20 min left, seed 1, loss 0.5000",
        "  0 of 2 runs done",
    ]
    console.ended(first, "50.00 % in 3 s", worker=1)
    events.append(f"  {first.key} 50.00 % in 3 s")
    assert terminal.screen()[:3] == events
    assert len(terminal.screen()) == 5
    console.show("x" * 500, 1)
    assert max(map(len, terminal.screen())) < 80
    console.rest()
    assert terminal.screen() == [*events, ""]


# Workers as a user has them: fresh interpreters, that import the command's own module again


def installed(tmp_path: Path, spec: Path, *program: str, root: str) -> subprocess.Popen[str]:
    # stdin is closed altogether, as in some batch systems
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *program, str(spec), "--workers", "2"]
    path = os.pathsep.join([str(Path(ekd.__file__).parent.parent), str(tmp_path)])
    return subprocess.Popen(
        [*command, "--wandb", "disabled", "--device", "cpu", "--seeds", "0-1", "--root", root],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts() -> None:
    """A job in the background ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


MINE = "from ekd.cli.run import main\n\nif __name__ == '__main__':\n    main()\n"


@pytest.mark.slow
def test_the_command_starts_fresh_interpreters(tiny_npz: Path, tmp_path: Path) -> None:
    program = tmp_path / "ekd-run"
    program.write_text(MINE)  # as pip writes it
    process = installed(
        tmp_path, tiny.write_spec(tmp_path, tiny_npz), sys.executable, str(program), root="pool"
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.startswith("4 runs: 4 done.")
    found = folders(tmp_path / "pool")
    assert set(found) == NAMES
    (session,) = found["plain-0"].provenance()
    assert session["threads"] == 1  # of two, for two
    assert session["command"].startswith("ekd-run ")


@pytest.mark.slow
def test_fresh_interpreters_stop_and_go_on(tiny_npz: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    spec = tiny.write_spec(tmp_path, tiny_npz, epochs=100)
    for moment in (0.3, 1.0, 2.0, 4.0, 9.0):  # while they start, and while they train
        process = installed(tmp_path, spec, sys.executable, "-m", "mine", root="pool")
        wait_for(lambda pid=process.pid: pooled.children(pid))
        time.sleep(moment)
        workers = pooled.children(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) in ((3, ""), (0, out))
        assert "Traceback" not in err
        wait_for(lambda pids=workers: not any(map(pooled.runs, pids)), seconds=10)
    process = installed(tmp_path, spec, sys.executable, "-m", "mine", root="pool")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    whole = trained_alone(tmp_path, spec)
    for name, folder in folders(tmp_path / "pool").items():
        assert tiny.content(folder) == tiny.content(whole[name])
