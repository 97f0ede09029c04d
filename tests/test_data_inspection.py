"""What a source holds, as it is shown before anything is trained on it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ekd.data import ImageCount, fingerprint, inspect, load
from ekd.spec import Data, EnvironmentProblem, SpecError


def custom(path: Path, **fields: object) -> Data:
    return Data.model_validate({"path": str(path), "resolution": 8, "augment": "none"} | fields)


def write_npz(path: Path, side: int = 16) -> Path:
    """Six and two images; a third of the training pixels is 255 in red, all else is 0."""
    images = np.zeros((6, side, side, 3), np.uint8)
    images[:2, :, :, 0] = 255
    np.savez(
        path,
        train_images=images,
        train_labels=np.array([0, 1, 1, 1, 2, 2]),
        test_images=images[:2],
        test_labels=np.array([2, 2]),
        val_images=images[:1],
        val_labels=np.array([0]),
        class_names=np.array(["ant", "bee", "cow"]),
    )
    return path


def test_a_file_of_arrays_is_shown_as_it_lies_there(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz")
    found = inspect(custom(path), tmp_path)
    assert found.title == "own.npz"
    assert found.origin == str(path)
    assert found.classes == ("ant", "bee", "cow")
    assert found.splits == {
        "train": ImageCount(6, 1, 3),
        "val": ImageCount(1, 0, 1),
        "test": ImageCount(2, 0, 2),
    }
    assert found.native_sizes == ((16, 16), (16, 16))
    assert found.resolution == 8
    assert found.mean == pytest.approx((1 / 3, 0, 0))
    assert found.std == pytest.approx((2**0.5 / 3, 1 / 255, 1 / 255))
    assert found.fingerprint == fingerprint(custom(path), tmp_path)
    json.dumps(asdict(found))


def test_holdout_and_fraction_change_nothing(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz")
    subset = custom(path, holdout=0.5, fraction=0.1)
    assert inspect(subset, tmp_path) == inspect(custom(path), tmp_path)


def test_an_image_folder_shows_its_smallest_and_largest_image(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    sizes = [(100, 20), (30, 40), (12, 90)]  # width, height
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            Image.new("RGB", (50, 30)).save(folder / split / name / "0.png")
    for i, size in enumerate(sizes):
        Image.new("RGB", size).save(folder / "train" / "dog" / f"more{i}.png")
    for _ in range(2):  # the second time from the cache
        found = inspect(custom(folder), tmp_path / "root")
        assert found.native_sizes == ((90, 12), (20, 100))
        assert found.splits["train"] == ImageCount(5, 1, 4)
        assert found.origin == str(folder)
        assert found.fingerprint == fingerprint(custom(folder), tmp_path / "root")


def test_known_data_show_their_title_and_where_they_were_read(tmp_path: Path) -> None:
    digits = Data.model_validate({"name": "digits"})
    found = inspect(digits, tmp_path)
    assert (found.title, found.origin) == ("digits", "scikit-learn")
    assert found.native_sizes == ((8, 8), (8, 8))
    assert found.resolution == 16
    splits = load(digits, tmp_path)
    assert found.mean == tuple(splits.mean.tolist())
    assert found.std == tuple(splits.std.tolist())
    assert found.fingerprint == splits.fingerprint
    assert {name: count.images for name, count in found.splits.items()} == {
        "train": 1000, "test": 797,
    }  # fmt: skip
    labels = np.arange(20) % 10
    images = np.zeros((20, 9, 9, 3), np.uint8)
    arrays = {"train_images": images, "train_labels": labels}
    np.savez(tmp_path / "digits.npz", **arrays, test_images=images, test_labels=labels)
    own = inspect(digits, tmp_path)
    assert own.origin == str(tmp_path / "digits.npz")
    assert own.native_sizes == ((9, 9), (9, 9))


def test_what_cannot_be_read_is_refused_as_it_is_for_training(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="is missing"):
        inspect(custom(tmp_path / "gone"), tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(SpecError, match="neither a folder"):
        inspect(custom(tmp_path / "notes.txt"), tmp_path)
