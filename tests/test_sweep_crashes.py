"""Searches in processes of their own: several workers, kills, interruptions, a proxy."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pooled
import processes
import pytest
import swept

from ekd.store import RunFolder

LONG = ("-s", "recipe.epochs=20", "-s", "recipe.evaluations=20")
PACE = 0.06


def journal(folder: Path, study: str = "my@paper") -> Path:
    return folder / "runs" / "sweeps" / f"{study}.journal"


def ended(folder: Path, process: BaseProcess, code: int = 0) -> str:
    process.join(170)
    said = pooled.said(folder, process)
    assert process.exitcode == code, said
    assert "Traceback" not in said
    return said


def under_way(folder: Path, number: int) -> Callable[[], bool]:
    """Tell whether trial `number` trains and has a checkpoint."""

    def look() -> bool:
        if swept.last_trial(journal(folder)) < number:
            return False
        trial = swept.trials(folder / "runs")[number]
        key = trial.user_attrs.get("run")
        run = folder / "runs" / str(key)
        return trial.state.name == "RUNNING" and (run / "checkpoint.json").exists()

    return look


def killed(folder: Path, number: int, *arguments: str, sign: int = signal.SIGKILL) -> BaseProcess:
    """Start a search and kill it in the middle of a trial."""
    process = swept.start(folder, "my.toml", *LONG, *arguments, pace=PACE)
    pooled.wait_for(under_way(folder, number))
    assert process.pid is not None
    os.kill(process.pid, sign)
    process.join(60)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["none", "hyperband"])
def test_a_killed_trial_is_reaped_and_its_point_goes_on_once(
    tiny_npz: Path, tmp_path: Path, pruner: str
) -> None:
    swept.write(tmp_path, tiny_npz)
    arguments = ("--pruner", pruner, "--trials", "3")
    killed(tmp_path, 1, *arguments)
    key = swept.trials(tmp_path / "runs")[1].user_attrs["run"]
    for _ in range(2):
        said = ended(tmp_path, swept.start(tmp_path, "my.toml", *LONG, *arguments))
        found = swept.trials(tmp_path / "runs")
        assert [trial.state.name for trial in found[:2]] == ["COMPLETE", "FAIL"]
        assert found[1].user_attrs["failure"] == "its process died: its point is queued again"
        assert [trial.user_attrs.get("retry_of") for trial in found] == [None, None, 1, None]
        assert found[2].params == found[1].params
        assert found[2].user_attrs["run"] == key
        assert not [t for t in found if t.state.name in ("RUNNING", "WAITING")]
    sessions = RunFolder(tmp_path / "runs", key).provenance()
    assert len(sessions) == 2
    assert "trial 2" not in said  # nothing was left to try


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_twenty_trials_killed_at_the_seventh_are_those_of_an_uninterrupted_search(
    tiny_npz: Path, tmp_path: Path, pruner: str
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    arguments = ("--pruner", pruner, "--trials", "20")
    for folder in (whole, parts):
        folder.mkdir()
        swept.write(folder, tiny_npz)
    ended(whole, swept.start(whole, "my.toml", *LONG, *arguments))
    killed(parts, 6, *arguments)
    ended(parts, swept.start(parts, "my.toml", *LONG, *arguments))
    found = swept.trials(parts / "runs")
    assert [t.number for t in found if "reaped" in t.user_attrs] == [6]
    assert swept.tried(parts / "runs") == swept.tried(whole / "runs")
    assert len(swept.tried(whole / "runs")) == 20
    assert len({t.state.name for t in swept.trials(whole / "runs")}) == 2  # some were pruned


def test_an_interrupted_search_ends_with_3_and_goes_on_inside_the_trial(
    tiny_npz: Path, tmp_path: Path
) -> None:
    swept.write(tmp_path, tiny_npz)
    process = killed(tmp_path, 0, "--trials", "1", sign=signal.SIGINT)
    said = ended(tmp_path, process, 3)
    assert said.rstrip().endswith("interrupted: the same command goes on from here")
    first, again = swept.trials(tmp_path / "runs")
    assert (first.state.name, again.state.name) == ("FAIL", "WAITING")
    assert first.user_attrs["failure"] == "interrupted: its point is queued again"
    said = ended(tmp_path, swept.start(tmp_path, "my.toml", *LONG, "--trials", "1"))
    assert "resumed after epoch" in said
    found = swept.trials(tmp_path / "runs")
    assert [trial.state.name for trial in found] == ["FAIL", "COMPLETE"]
    assert found[1].user_attrs["label"] == "paper"


@pytest.mark.slow
def test_four_workers_try_as_many_points_as_one(tiny_npz: Path, tmp_path: Path) -> None:
    swept.write(tmp_path, tiny_npz, epochs=1)
    process = swept.start(tmp_path, "my.toml", "--workers", "4", "--trials", "9")
    ended(tmp_path, process)
    found = swept.trials(tmp_path / "runs")
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 9
    assert len({json.dumps(trial.params) for trial in found}) == 9
    assert len({trial.user_attrs["owner"]["pid"] for trial in found}) > 1
    assert found[0].user_attrs["label"] == "paper"


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_point_taken_up(
    tiny_npz: Path, tmp_path: Path
) -> None:
    swept.write(tmp_path, tiny_npz)
    arguments = ("my.toml", *LONG, "--workers", "2", "--trials", "3")
    process = swept.start(tmp_path, *arguments, pace=PACE)
    pooled.wait_for(under_way(tmp_path, 1))
    victim = swept.trials(tmp_path / "runs")[1].user_attrs["owner"]["pid"]
    os.kill(victim, signal.SIGKILL)
    said = ended(tmp_path, process)
    assert "another one takes its place" in said
    found = swept.trials(tmp_path / "runs")
    reaped = [trial.number for trial in found if "reaped" in trial.user_attrs]
    assert reaped == [1]
    assert [t.user_attrs["retry_of"] for t in found if "retry_of" in t.user_attrs] == [1]
    assert sum(trial.state.name == "COMPLETE" for trial in found) == 3


def test_a_torn_last_line_is_cut_off_and_the_old_file_kept(tiny_npz: Path, tmp_path: Path) -> None:
    swept.write(tmp_path, tiny_npz, epochs=1)
    ended(tmp_path, swept.start(tmp_path, "my.toml", "--trials", "2"))
    path = journal(tmp_path)
    whole = path.read_bytes()
    torn = whole + b'{"op_code":5,"wor'
    path.write_bytes(torn)
    assert len(swept.trials(tmp_path / "runs")) == 2  # who only looks, repairs nothing
    assert path.read_bytes() == torn
    said = ended(tmp_path, swept.start(tmp_path, "my.toml", "--trials", "3"))
    assert "its last line was torn (17 bytes)" in said
    assert path.with_name(path.name + ".torn-1").read_bytes() == torn
    assert path.read_bytes().startswith(whole)
    assert len(swept.trials(tmp_path / "runs")) == 3


@pytest.mark.slow
def test_workers_meet_over_a_proxy(tiny_npz: Path, tmp_path: Path) -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed")
    swept.write(tmp_path, tiny_npz, epochs=1)
    server = processes.start(_serve, str(tmp_path / "trials.db"), str(tmp_path / "port"))
    pooled.wait_for((tmp_path / "port").exists)
    url = f"grpc://localhost:{(tmp_path / 'port').read_text()}"
    arguments = ("--storage", url, "--workers", "2", "--trials", "5")
    ended(tmp_path, swept.start(tmp_path, "my.toml", *arguments, fork=False))
    server.kill()
    server.join()
    from ekd.sweep import read_study

    found = read_study(tmp_path, "my@paper", f"sqlite:///{tmp_path}/trials.db").trials
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 5
    assert len({trial.user_attrs["owner"]["pid"] for trial in found}) == 2


def _serve(database: str, port: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from optuna.storages import get_storage
    from optuna.storages._grpc import servicer
    from optuna.storages._grpc.auto_generated import api_pb2_grpc

    server = grpc.server(ThreadPoolExecutor(max_workers=10))
    service = servicer.OptunaStorageProxyService(get_storage(f"sqlite:///{database}"))
    api_pb2_grpc.add_StorageServiceServicer_to_server(service, server)
    number = server.add_insecure_port("localhost:0")
    server.start()
    Path(f"{port}.tmp").write_text(str(number))
    Path(f"{port}.tmp").rename(port)
    server.wait_for_termination()
