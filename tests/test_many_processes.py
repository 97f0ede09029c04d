"""Several `ekd-run` on one store: who trains what, who is waited for, and who is replaced."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pooled
import processes
import pytest
import tiny
from pooled import wait_for

from ekd.store import RunFolder, Store, verify
from ekd.store.lease import Holder

Start = Callable[..., BaseProcess]
EPOCHS = 4


@pytest.fixture
def start(tmp_path: Path, tiny_npz: Path) -> Start:
    """Start the command on a plain run and an EKD run that learns from it."""

    spec = tiny.write_spec(tmp_path, tiny_npz, EPOCHS)

    def command(*options: str) -> BaseProcess:
        fixed = ["--root", "runs", "--wandb", "disabled", "--device", "cpu"]
        return processes.ekd_run(tmp_path, str(spec), *fixed, *options)

    return command


def end(*started: BaseProcess) -> None:
    assert [processes.code(process, 180) for process in started] == [0] * len(started)


def forge(folder: RunFolder, **changes: Any) -> Path:
    """Leave the lease of somebody like this process, who lives, but for `changes`."""
    folder.path.mkdir(parents=True, exist_ok=True)
    path = folder.path / "lease.json"
    path.write_text(json.dumps(asdict(replace(Holder.of(os.getpid()), **changes))))
    return path


def in_store(tmp_path: Path, whole: dict[str, RunFolder], method: str) -> RunFolder:
    return RunFolder(tmp_path / "runs", whole[method].key)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_npz: Path) -> dict[str, RunFolder]:
    """What one process gives that nobody disturbs, by method."""
    folder = tmp_path_factory.mktemp("whole")
    spec = tiny.write_spec(folder, tiny_npz, EPOCHS)
    fixed = ["--root", "runs", "--wandb", "disabled", "--device", "cpu"]
    end(processes.ekd_run(folder, str(spec), *fixed))
    return tiny.two_runs(folder / "runs")


def test_four_processes_train_each_run_once(tmp_path: Path, start: Start) -> None:
    started = [start("--seeds", "0-1", "-s", "recipe.epochs=2") for _ in range(4)]
    end(*started)
    store = Store(tmp_path / "runs")
    folders = [store.folder(path.parent.name) for path in store.root.glob("*/result.json")]
    assert len(folders) == 4
    for folder in folders:
        assert len(folder.provenance()) == 1
        assert [line["epoch"] for line in folder.history()] == [1, 2]
        assert not (folder.path / "lease.json").exists()
    said = "".join(pooled.said(tmp_path, process) for process in started)
    starts = [line.split()[1] for line in said.splitlines() if line.startswith("[")]
    assert sorted(starts) == sorted(folder.key for folder in folders)
    checked = verify(store)
    assert (checked.runs, checked.problems) == (4, ())


def test_a_killed_holder_is_replaced_by_one_that_waits(
    tmp_path: Path, start: Start, whole: dict[str, RunFolder]
) -> None:
    plain = in_store(tmp_path, whole, "plain")
    first = start()
    wait_for(lambda: (plain.path / "checkpoint.json").exists())
    os.kill(first.pid or 0, signal.SIGSTOP)  # it shall not end before the other one waits
    second = start()
    wait_for(lambda: "waiting for 2 runs" in pooled.said(tmp_path, second))
    first.kill()
    end(second)
    for method, expected in whole.items():
        assert tiny.content(in_store(tmp_path, whole, method)) == tiny.content(expected)
    assert len(plain.provenance()) == 2


@pytest.mark.parametrize(
    "changes", [{"boot": "another boot"}, {"started": "1"}], ids=["rebooted", "recycled pid"]
)
def test_a_stale_lease_is_taken_over_at_once(
    tmp_path: Path, start: Start, whole: dict[str, RunFolder], changes: dict[str, Any]
) -> None:
    plain = in_store(tmp_path, whole, "plain")
    forge(plain, **changes)
    process = start()
    end(process)
    assert "waiting" not in pooled.said(tmp_path, process)
    assert tiny.content(plain) == tiny.content(whole["plain"])


def test_a_holder_on_another_host_is_waited_for_until_it_gives_its_lease_back(
    tmp_path: Path, start: Start, whole: dict[str, RunFolder]
) -> None:
    plain = in_store(tmp_path, whole, "plain")
    lease = forge(plain, host="elsewhere")
    process = start()
    wait_for(lambda: "waiting for 2 runs" in pooled.said(tmp_path, process))
    assert not plain.history()
    lease.unlink()
    end(process)
    assert tiny.content(plain) == tiny.content(whole["plain"])


def stands_still(process: BaseProcess) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def stand_still(process: BaseProcess, folder: RunFolder) -> None:
    """Suspend a process at a moment when no write is under way."""
    while True:
        os.kill(process.pid or 0, signal.SIGSTOP)
        wait_for(lambda: stands_still(process))
        if not list(folder.path.glob(".*")):
            return
        os.kill(process.pid or 0, signal.SIGCONT)


def content(folder: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}


def test_a_holder_that_lost_its_lease_while_it_stood_still_writes_nothing_more(
    tmp_path: Path, start: Start, whole: dict[str, RunFolder]
) -> None:
    plain = in_store(tmp_path, whole, "plain")
    process = start()
    wait_for(lambda: (plain.path / "checkpoint.json").exists())
    stand_still(process, plain)
    lease = forge(plain)  # this process has it now
    before = content(plain)
    os.kill(process.pid or 0, signal.SIGCONT)
    wait_for(lambda: "goes on in another process" in pooled.said(tmp_path, process))
    wait_for(lambda: "waiting for 2 runs" in pooled.said(tmp_path, process))
    assert content(plain) == before
    lease.unlink()
    end(process)
    for method, expected in whole.items():
        assert tiny.content(in_store(tmp_path, whole, method)) == tiny.content(expected)
