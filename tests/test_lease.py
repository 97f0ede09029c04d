"""A run has one trainer: who is dead is replaced, who is alive is respected."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import processes
import pytest

from ekd.spec import EnvironmentProblem
from ekd.store import RunFolder, acquire
from ekd.store.lease import STALE_SECONDS, Holder, LeaseLost, is_held


def write_holder(folder: Path, age: float = 0.0, **changes: Any) -> Path:
    """Leave the lease of somebody like this process, but for `changes`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lease.json"
    path.write_text(json.dumps(asdict(replace(Holder.of(os.getpid()), **changes))))
    stamp = time.time() - age
    os.utime(path, (stamp, stamp))
    return path


def test_a_lease_is_given_once_and_again_after_its_release(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "run")
    first = acquire(folder.path)
    assert first is not None
    assert acquire(folder.path) is None
    assert folder.status() == "running"
    first.release()
    assert folder.status() == "missing"
    with acquire(folder.path) as second:  # type: ignore[union-attr]
        assert acquire(folder.path) is None
    assert second is not None
    assert not is_held(folder.path / "lease.json")


def test_an_error_releases_the_lease(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), acquire(tmp_path):  # type: ignore[union-attr]
        raise RuntimeError
    assert not is_held(tmp_path / "lease.json")


def _hold(folder: str, seconds: float) -> None:
    lease = acquire(Path(folder))
    time.sleep(seconds if lease else 0)


def holding(folder: Path) -> Any:
    process = processes.start(_hold, str(folder), 60.0)
    deadline = time.monotonic() + 30
    while not is_held(folder / "lease.json"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_a_holder_that_was_killed_is_replaced_at_once(tmp_path: Path) -> None:
    process = holding(tmp_path)
    assert acquire(tmp_path) is None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    lease = acquire(tmp_path)
    assert lease is not None
    lease.release()


def test_a_holder_that_merely_stopped_beating_on_this_host_is_alive(tmp_path: Path) -> None:
    process = holding(tmp_path)
    os.utime(tmp_path / "lease.json", (0, 0))
    assert acquire(tmp_path) is None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.parametrize(
    "changes",
    [{"started": "1"}, {"boot": "another boot"}, {"pid": 2**22 - 1}],
    ids=["recycled pid", "another boot", "no such pid"],
)
def test_a_pid_that_is_not_the_holder_any_more_is_replaced(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    write_holder(tmp_path)
    assert acquire(tmp_path) is None
    write_holder(tmp_path, **changes)
    lease = acquire(tmp_path)
    assert lease is not None
    lease.release()


class Clock:
    """This process's own clock, which only the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("ekd.store.lease.monotonic", made)
    return made


ELSEWHERE = {"host": f"not-{socket.gethostname()}", "pid": 2**22 - 1}
IN_ANOTHER_CONTAINER = {"space": "pid:[1]", "pid": 2**22 - 1}  # no such process out here


@pytest.mark.parametrize(
    "holder", [ELSEWHERE, IN_ANOTHER_CONTAINER], ids=["another host", "another container"]
)
@pytest.mark.parametrize("age", [0, 10**9, -(10**9)], ids=["now", "past", "future"])
def test_a_holder_elsewhere_is_dead_once_it_was_seen_still_for_a_minute(
    tmp_path: Path, clock: Clock, holder: dict[str, Any], age: float
) -> None:
    """Whatever its clock says: a heartbeat may bear any date."""
    assert STALE_SECONDS == 60
    write_holder(tmp_path, age, **holder)
    for _ in range(3):
        assert acquire(tmp_path) is None
        clock.seconds += 29
    write_holder(tmp_path, age + 5, **holder)  # a heartbeat, on a clock that was set back
    for _ in range(3):
        assert acquire(tmp_path) is None
        clock.seconds += 29
    write_holder(tmp_path, age + 5, **holder | {"pid": 7})  # another holder with that very date
    assert acquire(tmp_path) is None
    clock.seconds += 59.9
    assert acquire(tmp_path) is None
    clock.seconds += 0.1
    lease = acquire(tmp_path)
    assert lease is not None
    lease.check()
    lease.release()


def test_this_computer_s_date_decides_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_holder(tmp_path, **ELSEWHERE)
    for date in (0.0, 1e10, 0.0):
        monkeypatch.setattr("ekd.store.lease.time.time", lambda date=date: date)
        assert acquire(tmp_path) is None
    clock.seconds += 60
    lease = acquire(tmp_path)
    assert lease is not None
    lease.release()


def test_a_display_takes_a_heartbeat_of_this_minute_for_life(tmp_path: Path) -> None:
    for age, held in [(0, True), (50, True), (70, False), (-50, True), (-70, False)]:
        assert is_held(write_holder(tmp_path, age, **ELSEWHERE)) is held


def test_a_lease_that_another_process_looks_at_this_instant_is_left_to_it(tmp_path: Path) -> None:
    with (tmp_path / "lease.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert acquire(tmp_path) is None  # nor does it wait: that process may stand still
    lease = acquire(tmp_path)
    assert lease is not None
    lease.release()


@pytest.mark.parametrize("gone", [False, True], ids=["taken", "deleted"])
def test_a_holder_notices_that_it_lost_its_lease(tmp_path: Path, gone: bool) -> None:
    lease = acquire(tmp_path)
    assert lease is not None
    lease.check()
    path = write_holder(tmp_path, **ELSEWHERE)
    if gone:
        shutil.rmtree(tmp_path)
    with pytest.raises(LeaseLost):
        lease.check()
    lease.release()
    assert path.exists() is not gone


def test_the_heart_beats_while_the_lease_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ekd.store.lease.HEARTBEAT_SECONDS", 0.01)
    lease = acquire(tmp_path)
    assert lease is not None
    path = tmp_path / "lease.json"
    os.utime(path, (0, 0))
    deadline = time.monotonic() + 10
    while path.stat().st_mtime == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lease.release()


def test_a_lease_that_went_to_another_is_not_released_by_the_old_holder(tmp_path: Path) -> None:
    lease = acquire(tmp_path)
    assert lease is not None
    path = write_holder(tmp_path, host="elsewhere")
    lease.release()
    assert is_held(path)


def test_a_torn_lease_belongs_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_text('{"host": "x", "bo')
    lease = acquire(tmp_path)
    assert lease is not None
    lease.release()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        acquire(tmp_path / "file" / "run")


def _race(root: str, name: str, rounds: int) -> None:
    """Take the lease of every round's folder if it is free, and keep it until the end."""
    wins, held = [], []
    for number in range(rounds):
        folder = Path(root) / str(number)
        (folder / f"ready-{name}").touch()
        while len(list(folder.glob("ready-*"))) < 2:
            pass
        lease = acquire(folder)
        if lease:
            wins.append(number)
            held.append(lease)
    (Path(root) / f"wins-{name}").write_text(json.dumps(wins))
    while len(list(Path(root).glob("wins-*"))) < 2:
        time.sleep(0.01)


def test_of_two_that_race_for_a_stale_lease_exactly_one_wins(tmp_path: Path) -> None:
    rounds = 100
    for number in range(rounds):
        write_holder(tmp_path / str(number), started="1")
    racers = [processes.start(_race, str(tmp_path), name, rounds) for name in "ab"]
    assert [processes.code(racer) for racer in racers] == [0, 0]
    wins = [json.loads((tmp_path / f"wins-{name}").read_text()) for name in "ab"]
    assert sorted(wins[0] + wins[1]) == list(range(rounds))


def test_a_lease_that_cannot_be_read_just_now_is_neither_lost_nor_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    lease = acquire(tmp_path)
    assert lease is not None
    with monkeypatch.context() as patched:
        patched.setattr("ekd.store.lease.os.fstat", fails)
        lease.check()
        assert is_held(tmp_path / "lease.json")
        assert acquire(tmp_path) is None
    lease.release()
    assert not is_held(tmp_path / "lease.json")
