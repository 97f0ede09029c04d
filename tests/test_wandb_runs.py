"""What W&B gets of real runs: all that history.jsonl holds, whatever end they came to."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import processes
import pytest
import tiny
from mirrored_run import alive, eventually
from mirrored_store import flattened, history, mirrored, rows, runs, segments, without_clock
from surroundings import ekd_run, living_in, mirror_of, said
from wandb_server import wandb_server


def write_faulty_spec(folder: Path, source: Path, diverges: bool) -> tuple[Path, Path]:
    """A spec of one run of 5000 epochs that breaks once the second path is there."""
    broken = folder / "broken"
    text = f"""
title = "Faulty"
kind = "table"
[run]
student.arch = "resnet8"
data = {{ path = "{source}", resolution = 8 }}
recipe = {{ epochs = 5000, batch_size = 48, init = "kaiming" }}
[[rows]]
label = "1"
set = {{ method = {{ name = "faulty", broken = "{broken}", diverges = {str(diverges).lower()} }} }}
[[columns]]
label = "accuracy"
"""
    (folder / "faulty.toml").write_text(text)
    return folder / "faulty.toml", broken


def test_every_run_is_there_as_its_history_and_its_spec_have_it(
    tmp_path: Path, tiny_npz: Path
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, epochs=3)
    options = ("--seeds", "0,1", "--where", "method.name=ekd")
    assert processes.code(ekd_run(tmp_path, str(spec), *options)) == 0
    found = runs(tmp_path / "runs")
    assert len(found) == 4
    groups: dict[str, list[str]] = {}
    for name, folder in found.items():
        method, seed = name.split()
        contents = mirrored(folder)
        assert len(contents.history) == 3
        assert contents.id == folder.name
        assert contents.job_type == {"plain": "teacher", "ekd": "student"}.get(method)
        assert contents.name == f"{method} resnet8 tiny.npz seed {seed} {folder.name[:6]}"
        assert set(contents.tags) == {"paper", "tiny", "tiny.npz", "resnet8", method}
        expected = json.loads((folder / "spec.json").read_text())
        assert {key: contents.config[key] for key in contents.config if key != "_wandb"} == expected
        result = json.loads((folder / "result.json").read_text())
        assert contents.summary["status"] == "done"
        for measure in ("accuracy", "nll", "ece", "branch_accuracy"):
            wanted = flattened(result[measure], measure)
            assert {key: contents.summary[key] for key in wanted} == wanted
        assert contents.exit_code == 0
        groups.setdefault(contents.group, []).append(method)
    assert sorted(groups.values()) == [["ekd", "ekd"], ["plain", "plain"]]
    assert not any(path.name.startswith("mirror-") for path in (tmp_path / "runs/wandb").iterdir())


@pytest.mark.parametrize("mirror_too", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_and_resumed_has_one_segment_that_holds_it_all(
    tmp_path: Path, tiny_npz: Path, mirror_too: bool
) -> None:
    command = [str(tiny.write_spec(tmp_path, tiny_npz, epochs=40)), "--only", "teachers"]
    root = tmp_path / "runs"
    first = ekd_run(tmp_path, *command)
    eventually(lambda: [len(history(folder)) >= 3 for folder in runs(root).values()] == [True])
    os.kill(first.pid or 0, signal.SIGSTOP)  # the mirror is slower than so short a training
    eventually(lambda: rows(root, "plain") >= 3)
    (folder,) = runs(root).values()
    (old,) = segments(folder)
    mirror = mirror_of(first.pid)
    os.kill(first.pid or 0, signal.SIGKILL)
    if mirror_too:
        os.kill(mirror, signal.SIGKILL)
    first.join()
    assert len(history(folder)) < 40
    eventually(lambda: not alive(mirror) and living_in(root) == [])
    assert processes.code(ekd_run(tmp_path, *command)) == 0
    assert not old.exists()
    assert len(mirrored(folder).history) == 40
    assert [path.name for path in (root / "wandb").iterdir()] == [segments(folder)[0].parent.name]


@pytest.mark.parametrize("diverges", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_that_failed_or_diverged_is_there_up_to_its_end(
    tmp_path: Path, tiny_npz: Path, diverges: bool
) -> None:
    spec, broken = write_faulty_spec(tmp_path, tiny_npz, diverges)
    process = ekd_run(tmp_path, str(spec))
    eventually(lambda: rows(tmp_path / "runs", "faulty") >= 2)
    broken.touch()
    assert processes.code(process) == 1
    (folder,) = runs(tmp_path / "runs").values()
    contents = mirrored(folder)
    assert len(contents.history) >= 2
    assert contents.summary["status"] == ("diverged" if diverges else "failed")
    assert contents.exit_code == 1


@pytest.mark.slow
def test_online_a_server_gets_every_epoch_once_also_after_a_kill(
    tmp_path: Path, tiny_npz: Path
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, epochs=40)
    command = [str(spec), "--only", "teachers", "--wandb", "online"]
    root = tmp_path / "runs"
    with wandb_server() as uploads:
        first = ekd_run(tmp_path, *command, environment=uploads.environment())
        eventually(lambda: any(len(history(folder)) >= 3 for folder in runs(root).values()))
        (folder,) = runs(root).values()
        eventually(lambda: folder.name in uploads.runs)
        mirror = mirror_of(first.pid)
        os.kill(first.pid or 0, signal.SIGKILL)
        eventually(lambda: not alive(mirror))
        assert 3 <= len(uploads.history[folder.name]) < 40
        assert uploads.exit_codes == {folder.name: 1}
        second = ekd_run(tmp_path, *command, environment=uploads.environment())
        assert processes.code(second) == 0
        assert "W&B" not in said(tmp_path, second)
        uploaded = without_clock(uploads.history[folder.name])
        assert [row["epoch"] for row in uploaded] == list(range(1, 41))
        assert uploaded[-1] == history(folder)[-1]
        assert uploads.summary[folder.name]["status"] == "done"
        assert uploads.exit_codes == {folder.name: 0}
