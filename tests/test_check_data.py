"""ekd-run --check-data and --verify: what is read again, what is said, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Run
from filled_store import finish, requested
from PIL import Image

from ekd.store import Store

DIGITS = "6ce34d4e26c3fbe0"


def small(path: Path, *, seed: int = 0, val: bool = False) -> Path:
    """Ten classes: 2 training images of each, one more of the last; 1 test image of each."""
    noise = np.random.default_rng(seed)
    counts = {"train": [*range(10), *range(10), 9], "test": range(10)}
    counts |= {"val": [0, 1]} if val else {}
    arrays = {}
    for split, labels in counts.items():
        arrays[f"{split}_labels"] = np.array(labels)
        arrays[f"{split}_images"] = noise.integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_a_known_set_is_described(ekd_run: Run) -> None:
    told = ekd_run("--check-data", "digits")
    assert (told.code, told.err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in told.out.splitlines()[1:])
    assert told.out.startswith("digits\n")
    assert rows["fingerprint"] == DIGITS
    assert rows["classes"] == "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert rows["train"] == "1000 images, 97 to 102 in a class"
    assert rows["test"] == "797 images, 77 to 81 in a class"
    assert rows["pixels"] == "8 x 8, resized to 16 x 16"
    assert rows["store"] == "no run in runs saw digits yet"
    assert not Path("runs").exists()


def test_your_own_npz_is_described_by_its_path(ekd_run: Run) -> None:
    small(Path("mine/flowers.npz"), val=True)
    pixels = np.load("mine/flowers.npz")["train_images"] / 255
    found = json.loads(ekd_run("--check-data", "mine/flowers.npz", "--json").out)
    assert found["origin"] == str(Path("mine/flowers.npz").resolve())
    assert found["splits"] == {
        "train": {"images": 21, "smallest_class": 2, "largest_class": 3},
        "val": {"images": 2, "smallest_class": 0, "largest_class": 1},
        "test": {"images": 10, "smallest_class": 1, "largest_class": 1},
    }
    assert found["classes"] == [str(label) for label in range(10)]
    assert np.allclose(found["mean"], pixels.mean((0, 1, 2)), atol=0.01)
    assert (found["stored_fingerprint"], found["agrees"]) == (None, None)
    text = ekd_run("--check-data", "mine/flowers.npz").out
    assert "21 images, 2 to 3 in a class" in text
    assert "10 images, 1 in each class" in text
    assert "\n  store" not in text


def test_a_folder_of_images_is_described(ekd_run: Run) -> None:
    for split in ("train", "test"):
        for number, name in enumerate(("rose", "tulip")):
            folder = Path("flowers", split, name)
            folder.mkdir(parents=True)
            side = 10 + 10 * number
            Image.new("RGB", (2 * side, side), (51, 102, 204)).save(folder / "one.png")
    told = ekd_run("--check-data", "flowers")
    assert told.code == 0, told.err
    assert "2: rose, tulip" in told.out
    assert "2 images, 1 in each class" in told.out
    assert "10 x 20 to 20 x 40, resized to 32 x 32" in told.out
    assert "0.2000, 0.4000, 0.8000" in told.out


def test_two_hundred_classes_are_not_all_listed(ekd_run: Run) -> None:
    labels = np.arange(200)
    images = np.zeros((200, 8, 8, 3), np.uint8)
    np.savez("many.npz", train_images=images, train_labels=labels, test_images=images,
             test_labels=labels)  # fmt: skip
    assert "200: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 190 more\n" in (
        ekd_run("--check-data", "many.npz").out
    )
    found = json.loads(ekd_run("--check-data", "many.npz", "--json").out)
    assert len(found["classes"]) == 200


def test_the_data_of_a_store_are_compared_with_what_its_runs_saw(ekd_run: Run) -> None:
    Store(Path("runs")).open().check_data("digits", DIGITS)
    told = ekd_run("--check-data", "digits")
    assert told.code == 0
    assert told.out.endswith("store        the runs in runs saw the same\n")
    assert json.loads(ekd_run("--check-data", "digits", "--json").out)["agrees"] is True
    small(Path("other/digits.npz"))
    ended = ekd_run("--check-data", "digits", "--data-root", "other")
    assert ended.code == 4
    assert "21 images" in ended.out
    assert "saw the same" not in ended.out
    assert ended.err.startswith("Error: digits here has the fingerprint ")
    assert ended.err.count("\n") == 1
    ended = ekd_run("--check-data", "digits", "--data-root", "other", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["stored_fingerprint"], found["agrees"]) == (4, DIGITS, False)
    assert ekd_run("--check-data", "digits", "--data-root", "other", "--root", "new").code == 0
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("cifar11", 2, "did you mean 'cifar10'?"),
        ("", 2, "a folder of images or an .npz"),
        ("nowhere.npz", 4, "nowhere.npz"),
        ("no/where", 4, "no/where"),
        ("tiny.txt", 2, "neither a folder of images nor an .npz"),
        ("broken.npz", 4, "broken.npz"),
    ],
)
def test_what_cannot_be_described_is_said(ekd_run: Run, name: str, code: int, text: str) -> None:
    Path("tiny.txt").write_text("no images")
    Path("broken.npz").write_bytes(b"PK\x03\x04 and no more")
    ended = ekd_run("--check-data", name)
    assert (ended.code, ended.out) == (code, "")
    assert text in ended.err
    assert ended.err.count("\n") == 1


# --verify


def filled(spec: str) -> Path:
    """A store with one finished run; give the run's folder."""
    run = requested(Path("runs"), spec, scale="paper").runs[0, 0][0]
    return finish(Path("runs"), run, 50.0).path


def test_a_store_as_it_was_written_verifies(ekd_run: Run, spec: str) -> None:
    filled(spec)
    told = ekd_run("--verify")
    assert (told.code, told.err) == (0, "")
    found = json.loads(ekd_run("--verify", "--json").out)
    assert (found["root"], found["runs"], found["problems"]) == ("runs", 1, [])
    assert found["files"] >= 5  # store.json, the request, result, spec, history
    assert told.out == f"1 run, {found['files']} files: all as written\n"


def test_each_damaged_file_is_a_line_and_the_end_is_4(ekd_run: Run, spec: str) -> None:
    folder = filled(spec)
    before = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    assert ekd_run("--verify").code == 0
    after = {path: path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()}
    assert after == before  # nothing was written
    (folder / "history.jsonl").write_text('{"epoch": 1, "loss": 2.0}\n')
    (folder / "spec.json").unlink()
    ended = ekd_run("--verify")
    assert ended.code == 4
    lines = ended.out.splitlines()
    assert len(lines) == 2
    assert sum(f"{folder}/history.jsonl" in line for line in lines) == 1
    assert sum(f"{folder}/spec.json" in line for line in lines) == 1
    assert ended.err.startswith("Error: 1 run, ")
    assert ended.err.endswith("2 problems in runs\n")
    ended = ekd_run("--verify", "--json")
    assert (ended.code, json.loads(ended.out)["problems"]) == (4, lines)


@pytest.mark.parametrize("root", ["nowhere", "."])
def test_what_is_no_store_is_not_made_one(ekd_run: Run, root: str) -> None:
    ended = ekd_run("--verify", "--root", root)
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == f"Error: {root} is no store, it has no store.json: give the --root of one\n"
    assert not list(Path().rglob("*"))
