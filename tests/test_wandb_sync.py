"""What the real `wandb` makes of the segments that lie in a store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import processes
import pytest
import tiny
from mirrored_store import history, runs, segments, without_clock
from surroundings import ekd_run
from wandb_reader import read
from wandb_server import wandb_server

WANDB = [sys.executable, "-m", "wandb"]


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory, tiny_npz: Path) -> Path:
    """A store with two runs that W&B mirrored offline, at a path that shells have to quote."""
    folder = tmp_path_factory.mktemp("off line")
    spec = tiny.write_spec(folder, tiny_npz, epochs=3)
    assert processes.code(ekd_run(folder, str(spec))) == 0
    return folder / "runs"


def wandb(folder: Path, *arguments: str, **environment: str) -> str:
    """Give what the real command says, in a folder of its own."""
    clean = {key: os.environ[key] for key in os.environ if not key.startswith("WANDB_")}
    clean |= {"HOME": str(folder), "TMPDIR": str(folder), "WANDB_ERROR_REPORTING": "false"}
    done = subprocess.run(
        [*WANDB, *arguments], cwd=folder, env=clean | environment, capture_output=True,
        text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.slow
def test_wandb_sync_finds_and_uploads_the_segments_from_any_folder(
    offline: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(offline, tmp_path / "runs")
    found = wandb(tmp_path, "sync", "--dry-run", str(root / "wandb"))
    assert "Would sync 2 run(s)" in found
    assert all(f"run-{folder.name}.wandb" in found for folder in runs(root).values())
    with wandb_server() as uploads:
        wandb(tmp_path, "sync", str(root / "wandb"), **uploads.environment())
    for folder in runs(root).values():
        assert without_clock(uploads.history[folder.name]) == history(folder)
        assert uploads.summary[folder.name]["status"] == "done"
        assert uploads.runs[folder.name]["jobType"] == "student"
        assert "tiny" in uploads.runs[folder.name]["tags"]
        seed = json.loads((folder / "spec.json").read_text())["seed"]
        assert json.loads(uploads.runs[folder.name]["config"])["seed"]["value"] == seed
    assert "No runs to sync" in wandb(tmp_path, "sync", "--dry-run", str(root / "wandb"))


@pytest.mark.slow
def test_wandb_sync_uploads_what_a_torn_segment_holds(offline: Path, tmp_path: Path) -> None:
    root = shutil.copytree(offline, tmp_path / "runs")
    folder = next(iter(runs(root).values()))
    (segment,) = segments(folder)
    content = segment.read_bytes()
    for size in range(len(content), 0, -50):  # a kill leaves any part of it
        segment.write_bytes(content[:size])
        if len(read(segment).history) == 2:
            break
    with wandb_server() as uploads:
        wandb(tmp_path, "sync", str(segment), **uploads.environment())
    assert without_clock(uploads.history[folder.name]) == history(folder)[:2]


@pytest.mark.slow
def test_w_and_b_itself_reads_the_segments_as_these_tests_do(offline: Path, tmp_path: Path) -> None:
    for folder in runs(offline).values():
        (segment,) = segments(folder)
        text = wandb(tmp_path, "leet", "inspect", "--json", str(segment))
        records = [json.loads(line) for line in text.splitlines()]
        theirs = [r["history"]["item"] for r in records if r["type"] == "history"]
        ours = read(segment)
        assert theirs == ours.history
        assert len(theirs) == 3
        text = wandb(tmp_path, "leet", "inspect", "--json", "--summary", str(segment))
        told = json.loads(text)
        assert (told["run_id"], told["exit_code"]) == (ours.id, ours.exit_code)
        shown = {name for name in ours.summary if not name.startswith("_wandb/")}
        assert {name: told["summary"][name] for name in shown} == {
            name: ours.summary[name] for name in shown
        }
