"""No room for any kind of file, or no right to write it: one sentence, nothing lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hardship
import pytest
import tiny
from hardship import Hardship
from PIL import Image
from trials import (
    EPOCHS,
    Reference,
    command,
    contents,
    leftovers,
    sentence,
    undisturbed,
)

__all__ = ["undisturbed"]


# No room


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name",
    [
        "history.jsonl", "checkpoint", "weights.safetensors", "result.json",
        *(slow(n) for n in ("store.json", "requests", "spec.json", "provenance", "test_outputs")),
    ],
)  # fmt: skip
def test_a_disk_that_is_full_at_one_kind_of_file(
    tiny_npz: Path, tmp_path: Path, undisturbed: Reference, name: str
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, EPOCHS)
    said = sentence(command(tmp_path, spec, hard=Hardship(full_at=name)))
    assert said.startswith("Error: cannot write runs/")
    assert name in said
    assert "No space left on device: free the disk or choose another --root, then run the" in said
    assert not leftovers(tmp_path)
    assert command(tmp_path, spec).code == 0
    assert contents(tmp_path) == undisturbed(EPOCHS)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        slow(4, "store.json"), slow(40, "requests/"), slow(300, "spec.json"),
        (1500, "checkpoint"), slow(400_000, "checkpoint"),
    ],
)  # fmt: skip
def test_a_limit_on_the_size_of_files(
    tiny_npz: Path, tmp_path: Path, undisturbed: Reference, limit: int, name: str
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, EPOCHS)
    said = sentence(command(tmp_path, spec, hard=Hardship(largest_file=limit)))
    assert name in said
    assert "File too large: free the disk" in said
    assert not leftovers(tmp_path)
    assert command(tmp_path, spec).code == 0
    assert contents(tmp_path) == undisturbed(EPOCHS)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this process may not mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_small_disk_that_is_really_full(
    tiny_npz: Path, small_disk: Path, undisturbed: Reference
) -> None:
    spec = tiny.write_spec(small_disk, tiny_npz, EPOCHS)
    said = sentence(command(small_disk, spec))
    assert "No space left on device: free the disk" in said
    assert not leftovers(small_disk)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert command(small_disk, spec).code == 0
    assert contents(small_disk) == undisturbed(EPOCHS)


@pytest.mark.parametrize("name", [".html", ".csv"])
@pytest.mark.slow
def test_a_report_for_which_there_is_no_room(tiny_npz: Path, tmp_path: Path, name: str) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, 1)
    assert command(tmp_path, spec).code == 0
    hard = Hardship(full_at=name)
    said = sentence(hardship.command(tmp_path, "ekd-report", "--out", "pages", hardship=hard))
    assert said == (
        "Error: cannot write to pages: No space left on device: free the disk or choose another "
        "--out"
    )
    assert not leftovers(tmp_path)
    assert hardship.command(tmp_path, "ekd-report", "--out", "pages").code == 0


def test_a_cache_for_which_there_is_no_room_is_done_without(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / "images" / ("train", "test")[number % 2] / "ab"[number // 6]
        path.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 0, 255)).save(path / f"{number}.png")
    spec = tiny.write_spec(tmp_path, tmp_path / "images", 1)
    kinds = [Hardship(full_at="partial"), Hardship(full_at="images-")]
    for hard in kinds:
        ended = command(tmp_path, spec, "--root", f"runs-{kinds.index(hard)}", hard=hard)
        assert ended.code == 0, ended.err
        assert not leftovers(tmp_path)


# A store that may only be read


@pytest.fixture
def read_only(tiny_npz: Path, tmp_path: Path) -> Iterator[Path]:
    spec = tiny.write_spec(tmp_path, tiny_npz, 1)
    assert command(tmp_path, spec).code == 0
    store = tmp_path / "runs"
    everything = [store, *store.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield tmp_path
    for path in everything:
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_store_that_may_not_be_written(read_only: Path) -> None:
    hard = Hardship(ordinary=True)
    before = {path: path.stat().st_mtime_ns for path in (read_only / "runs").rglob("*")}
    said = sentence(command(read_only, read_only / "tiny.toml", "--seeds", "1", hard=hard))
    assert said.startswith("Error: cannot write runs/")
    assert "Permission denied" in said
    said = sentence(hardship.command(read_only, "ekd-report", hardship=hard))
    assert "cannot write to runs/report: Permission denied" in said
    assert "--out" in said
    elsewhere = hardship.command(read_only, "ekd-report", "--out", "pages", hardship=hard)
    assert (elsewhere.code, elsewhere.err) == (0, "")
    assert (read_only / "pages" / "tiny.html").exists()
    assert {path: path.stat().st_mtime_ns for path in (read_only / "runs").rglob("*")} == before
