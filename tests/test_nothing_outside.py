"""The commands write to the store alone: not to home, /tmp or here; and no process stays.

They run in processes of their own, so that what an import writes counts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
from mirrored_run import alive, eventually
from surroundings import children, living_in, mirror_of
from wandb_server import wandb_server

OUTSIDE = ("home", "temporary", "work", "data")
COMMANDS = {name: f"from ekd.cli.{name} import main; main()" for name in ("run", "report")}


@dataclass(frozen=True)
class Place:
    """A store whose path is longer than a socket's may be, and folders that must stay empty."""

    folder: Path
    spec: Path

    @property
    def root(self) -> Path:
        return self.folder / "long" / ("x" * 60) / "a store ü"

    def start(
        self, command: str, *options: str, **environment: str | None
    ) -> subprocess.Popen[str]:
        """Start a command; a variable that is None is unset."""
        clean = {key: os.environ[key] for key in os.environ if not key.startswith("WANDB_")}
        clean |= {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "temporary")}
        for name in ("TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
            clean.pop(name, None)
        given = {key: value for key, value in {**clean, **environment}.items() if value is not None}
        places = ["--root", os.path.relpath(self.root, self.folder / "work")]
        places += ["--data-root", str(self.folder / "data")]
        return subprocess.Popen(
            [sys.executable, "-P", "-c", COMMANDS[command], str(self.spec), *places, *options],
            cwd=self.folder / "work", env=given, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, command: str, *options: str, **environment: str | None) -> str:
        """Run a command to its end; give what it said."""
        with self.start(command, *options, **environment) as process:
            said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    def outside(self) -> list[str]:
        """What lies where nothing should."""
        found = [path for name in OUTSIDE for path in (self.folder / name).rglob("*")]
        return [str(path.relative_to(self.folder)) for path in found]

    def processes(self) -> list[str]:
        return living_in(self.root)


@pytest.fixture
def place(tmp_path: Path, tiny_npz: Path) -> Place:
    for name in OUTSIDE:
        (tmp_path / name).mkdir()
    return Place(tmp_path, tiny.write_spec(tmp_path, tiny_npz, epochs=2))


def mirror_folders(place: Place) -> list[Path]:
    return list(place.root.glob("wandb/mirror-*"))


def test_training_and_reporting_write_to_the_store_alone(place: Place) -> None:
    said = place.run("run")
    assert "W&B" not in said
    assert len(list(place.root.glob("wandb/offline-run-*/*.wandb"))) == 2
    assert [path.name[:12] for path in (place.root / "wandb").iterdir()] == ["offline-run-"] * 2
    assert place.processes() == []
    place.run("report")
    assert place.outside() == []
    assert all(path.exists() for path in place.root.rglob("*"))  # no link leads nowhere


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/dev/null/home"])
def test_no_home_is_needed(place: Place, home: str | None) -> None:
    assert "W&B" not in place.run("run", HOME=home)
    place.run("report", HOME=home)
    assert len(list(place.root.glob("wandb/offline-run-*/*.wandb"))) == 2
    assert place.outside() == []


@pytest.mark.slow
def test_without_w_and_b_there_is_nothing_of_it(place: Place) -> None:
    place.run("run", "--plan")
    place.run("run", "--wandb", "disabled")
    assert not (place.root / "wandb").exists()
    assert place.outside() == []


@pytest.mark.slow
def test_online_the_local_copy_is_in_the_store_too(place: Place) -> None:
    with wandb_server() as uploads:
        said = place.run("run", "--wandb", "online", **uploads.environment())
    assert "W&B" not in said
    assert [len(rows) for rows in uploads.history.values()] == [2, 2]
    assert [path.name[:4] for path in (place.root / "wandb").iterdir()] == ["run-"] * 2
    assert place.outside() == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_commands_leave_nothing_outside_and_no_process(place: Place, workers: str) -> None:
    process = start_and_wait(place, "--workers", workers)
    assert list(Path("/tmp").glob(f"wandb-{mirror_of(process.pid)}-*")) == []  # wandb-core's socket
    started = children(process.pid)
    end(process)
    eventually(lambda: not any(map(alive, started)) and place.processes() == [])
    assert mirror_folders(place) == []
    assert place.outside() == []


@pytest.mark.slow
def test_killed_mirrors_leave_no_process_and_the_next_command_tidies_up(place: Place) -> None:
    process = start_and_wait(place)
    mirror = mirror_of(process.pid)
    os.kill(mirror, signal.SIGKILL)
    end(process)
    eventually(lambda: place.processes() == [])
    assert list(Path("/tmp").glob(f"wandb-{mirror}-*")) == []
    assert place.outside() == []
    assert len(mirror_folders(place)) == 1
    place.run("run")
    assert mirror_folders(place) == []
    assert len(list(place.root.glob("wandb/offline-run-*"))) == 2
    assert place.outside() == []


def start_and_wait(place: Place, *options: str) -> subprocess.Popen[str]:
    """Start a training that lasts, until W&B's file of it is there."""
    text = place.spec.read_text().replace("epochs = 2", "epochs = 60")
    place.spec.write_text(text)
    process = place.start("run", *options)
    eventually(lambda: any(place.root.glob("wandb/offline-run-*/*.wandb")), 120)
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with process:
        process.wait()
