"""Each source is read as it lies there, refused in one sentence, and cached with a checksum."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ekd.data import describe, fingerprint, load
from ekd.spec.errors import EkdError, EnvironmentProblem, SpecError
from ekd.spec.values import Data


def custom(path: Path, **fields: object) -> Data:
    return Data.model_validate({"path": str(path), "resolution": 8, "augment": "none"} | fields)


def content(**changed: Any) -> dict[str, np.ndarray]:
    """Give a good file's arrays, some of them changed, or left out where None."""
    arrays = {
        "train_images": np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1).repeat(8, 1).repeat(8, 2),
        "train_labels": np.array([0, 1, 0, 1]),
        "test_images": np.full((2, 8, 8), 9, dtype=np.uint8),
        "test_labels": np.array([1, 0]),
    } | changed
    return {key: np.asarray(value) for key, value in arrays.items() if value is not None}


def write_npz(path: Path, **changed: Any) -> Path:
    np.savez(path, **content(**changed))
    return path


def make_folder(root: Path, splits: tuple[str, ...] = ("train", "test")) -> Path:
    """Three cats and two dogs in each split, of plain colours and several sizes."""
    for split in splits:
        for name, grey, count in (("cat", 10, 3), ("dog", 200, 2)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                image = Image.new("RGB", (12 + i, 20), (grey + i, grey, 0))
                image.save(root / split / name / f"{i}.bmp")
    return root


def sentence(data: Data, root: Path) -> str:
    with pytest.raises(EkdError) as caught:
        load(data, root)
    text = str(caught.value)
    assert "\n" not in text
    return text


# .npz


def test_npz_takes_grey_images_and_column_labels(tmp_path: Path) -> None:
    labels = np.array([[0], [1], [0], [1]], dtype=np.uint8)
    names = np.array(["cat", "dog"])
    path = write_npz(tmp_path / "own.npz", train_labels=labels, class_names=names)
    splits = load(custom(path), tmp_path)
    assert splits.train.images[:, 3, 5].tolist() == [[0] * 3, [1] * 3, [2] * 3, [3] * 3]
    assert splits.train.labels.tolist() == [0, 1, 0, 1]
    assert splits.test.images.shape == (2, 8, 8, 3)
    assert splits.classes == ("cat", "dog")


def test_npz_without_names_counts_its_classes(tmp_path: Path) -> None:
    splits = load(custom(write_npz(tmp_path / "own.npz")), tmp_path)
    assert splits.classes == ("0", "1")


def test_own_holdout_is_used_whole_where_a_holdout_is_asked_for(tmp_path: Path) -> None:
    val = np.full((1, 8, 8, 3), 5, np.uint8)
    path = write_npz(tmp_path / "own.npz", val_images=val, val_labels=np.array([1]))
    assert load(custom(path), tmp_path).holdout is None
    splits = load(custom(path, holdout=0.25), tmp_path)
    assert splits.holdout is not None
    assert splits.holdout.images.unique().tolist() == [5]
    assert len(splits.train.labels) == describe(custom(path, holdout=0.25), tmp_path).train == 4


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"test_labels": None}, "lacks test_labels"),
        ({"val_labels": np.array([1])}, "lacks val_images"),
        ({"train_images": np.zeros((4, 8, 8, 3))}, "train_images is float64, but must be uint8"),
        ({"train_images": np.zeros((4, 3, 8, 8), np.uint8)}, r"has shape \[4, 3, 8, 8\]"),
        ({"train_images": np.zeros((4, 8), np.uint8)}, r"has shape \[4, 8\]"),
        ({"train_images": np.zeros((3, 8, 8), np.uint8)}, "3 images, but train_labels has 4"),
        ({"train_labels": np.array([0.0, 1, 0, 1])}, "train_labels is float64"),
        ({"train_labels": np.zeros((4, 14), int)}, r"train_labels has shape \[4, 14\]"),
        ({"train_labels": np.array([0, -1, 0, 1])}, "the negative label -1"),
        ({"train_labels": np.zeros(4, int), "test_labels": np.zeros(2, int)}, "only one class"),
        ({"train_labels": np.array([0, 2, 0, 2])}, "class '1' has no training image"),
        ({"test_labels": np.array([0, 2])}, "test_labels has the label 2"),
        ({"class_names": np.array(["cat"])}, "only one class"),
        ({"class_names": np.array(["cat", "dog", "emu"])}, "class 'emu' has no training image"),
        ({"class_names": np.array(["cat", "cat"])}, "the same name"),
        ({"train_labels": np.array([0, {}, 0, 1], dtype=object)}, "allow_pickle=False"),
    ],
)
def test_wrong_npz_is_refused_in_one_sentence(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    path = write_npz(tmp_path / "own.npz", **changed)
    with pytest.raises(EnvironmentProblem, match=words) as caught:
        load(custom(path), tmp_path)
    assert str(path) in str(caught.value)


def test_damaged_npz_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "cannot read" in sentence(custom(path), tmp_path)
    path.write_bytes(b"no zip")
    assert "cannot read" in sentence(custom(path), tmp_path)
    changed = bytearray(whole)
    changed[whole.index(b"\x03" * 64)] ^= 255  # a pixel of the fourth image: the CRC finds it
    path.write_bytes(changed)
    assert "cannot read" in sentence(custom(path), tmp_path)


def test_missing_and_unknown_paths_are_named(tmp_path: Path) -> None:
    assert "is missing" in sentence(custom(tmp_path / "gone.npz"), tmp_path)
    text = tmp_path / "images.zip"
    text.write_text("")
    with pytest.raises(SpecError, match=r"neither a folder of images nor an \.npz"):
        load(custom(text), tmp_path)


# folders


def test_folder_is_read_in_sorted_order_at_the_resolution(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pets")
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    (folder / "train" / "cat" / ".hidden.png").write_text("no image")
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "README.md").write_text("no class")
    splits = load(custom(folder), tmp_path)
    assert splits.classes == ("cat", "dog")
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1]
    colours = [[10, 10, 0], [11, 10, 0], [12, 10, 0], [200, 200, 0], [201, 200, 0]]
    assert splits.train.images[:, 2, 6].tolist() == colours
    assert splits.train.images.shape == (5, 8, 8, 3)
    assert describe(custom(folder), tmp_path).train == 5


def test_folder_holds_grey_palette_and_rotated_images(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pets")
    Image.new("L", (9, 9), 77).save(folder / "train" / "dog" / "7.png")
    Image.new("P", (9, 9), 0).save(folder / "train" / "dog" / "8.GIF")
    turned = Image.new("RGB", (8, 8))
    turned.paste((255, 255, 255), (0, 0, 8, 4))  # white above
    exif = Image.Exif()
    exif[0x0112] = 3  # to be shown upside down
    turned.save(folder / "train" / "dog" / "9.png", exif=exif)
    images = load(custom(folder), tmp_path).train.images
    assert images[5, 4, 4].tolist() == [77] * 3
    assert images[6, 4, 4].tolist() == [0] * 3
    assert images[7, :, 0, 0].tolist() == [0] * 4 + [255] * 4


def test_folder_of_validation_images_is_the_holdout(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pets", ("train", "val", "test"))
    splits = load(custom(folder, holdout=0.1), tmp_path)
    assert splits.holdout is not None
    assert len(splits.holdout.labels) == len(splits.train.labels) == 5
    assert load(custom(folder), tmp_path).holdout is None


def test_wrong_folders_are_refused_in_one_sentence(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pets")

    def broken(name: str) -> Path:
        return Path(shutil.copytree(folder, tmp_path / name))

    case = broken("a")
    shutil.rmtree(case / "test")
    assert f"{case / 'test'} is missing" in sentence(custom(case), tmp_path)
    case = broken("b")
    (case / "test" / "dog").rename(case / "test" / "dogs")
    assert "no class 'dogs' (did you mean 'dog'?)" in sentence(custom(case), tmp_path)
    case = broken("c")
    (case / "train" / "emu").mkdir()
    assert f"{case / 'train' / 'emu'} has no image" in sentence(custom(case), tmp_path)
    case = broken("d")
    (case / "train" / "dog" / "0.png").write_bytes(b"\x89PNG cut off")
    assert f"cannot read the image {case / 'train' / 'dog' / '0.png'}" in sentence(
        custom(case), tmp_path
    )
    case = broken("e")
    Image.new("I;16", (9, 9)).save(case / "train" / "dog" / "0.png")
    assert "more than 8 bits" in sentence(custom(case), tmp_path)
    case = broken("f")
    shutil.rmtree(case / "train" / "dog")
    shutil.rmtree(case / "test" / "dog")
    assert "only one class" in sentence(custom(case), tmp_path)
    case = broken("g")
    shutil.rmtree(case / "train")
    (case / "train").mkdir()
    assert "no folder of a class" in sentence(custom(case), tmp_path)


# the cache


def cache_files(root: Path) -> list[Path]:
    return sorted((root / "cache").iterdir())


def test_second_load_of_a_folder_decodes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, root = make_folder(tmp_path / "pets"), tmp_path / "root"
    first = load(custom(folder), root)
    monkeypatch.setattr("ekd.data.sources.read_folder", None)
    second = load(custom(folder), root)
    assert torch.equal(first.train.images, second.train.images)
    assert second.fingerprint == first.fingerprint == fingerprint(custom(folder), root)
    assert len(cache_files(root)) == 1  # and no temporary file


def test_change_of_content_or_name_is_seen_through_the_cache(tmp_path: Path) -> None:
    folder, root = make_folder(tmp_path / "pets"), tmp_path / "root"
    prints = {load(custom(folder), root).fingerprint}
    Image.new("RGB", (12, 20), (99, 99, 99)).save(folder / "train" / "cat" / "0.bmp")
    splits = load(custom(folder), root)
    assert splits.train.images[0, 0, 0].tolist() == [99] * 3
    prints.add(splits.fingerprint)
    (folder / "train" / "cat" / "2.bmp").rename(folder / "train" / "cat" / "3.bmp")
    prints.add(load(custom(folder), root).fingerprint)
    assert len(prints) == 3


def test_resolutions_are_cached_apart(tmp_path: Path) -> None:
    folder, root = make_folder(tmp_path / "pets"), tmp_path / "root"
    for resolution in (8, 9):
        assert load(custom(folder, resolution=resolution), root).train.images.shape[1] == resolution
    assert len(cache_files(root)) == 2


@pytest.mark.parametrize("damage", ["cut", "other pixels", "no checksum"])
def test_damaged_cache_is_built_anew(tmp_path: Path, damage: str) -> None:
    folder, root = make_folder(tmp_path / "pets"), tmp_path / "root"
    good = load(custom(folder), root)
    (file,) = cache_files(root)
    with np.load(file) as cache:
        arrays = dict(cache)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-300])
    elif damage == "other pixels":
        np.savez(file, **(arrays | {"train_images": arrays["train_images"] + 1}))
    else:
        np.savez(file, **{key: value for key, value in arrays.items() if key != "checksum"})
    assert torch.equal(load(custom(folder), root).train.images, good.train.images)
    with np.load(file) as cache:
        assert str(cache["checksum"]) == str(arrays["checksum"])


def test_data_root_that_cannot_be_written_has_no_cache(tmp_path: Path) -> None:
    folder, root = make_folder(tmp_path / "pets"), tmp_path / "root"
    root.write_text("a file where the folder should be")
    assert len(load(custom(folder), root).train.labels) == 5
