"""Tiny ImageNet, packed or unpacked: its flat val, its order of classes, and its names."""

from __future__ import annotations

import re
from pathlib import Path

import archives
import pytest
import torch

from ekd.data import inspect, load
from ekd.data.tiny_imagenet import ARCHIVE
from ekd.spec.errors import EnvironmentProblem
from ekd.spec.values import Data

NAME = "tiny-imagenet"


def known(**fields: object) -> Data:
    return Data.model_validate({"name": NAME} | fields)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with the archive in it; there is no network."""
    archives.install(NAME, f"http://127.0.0.1:9/{ARCHIVE.name}", monkeypatch.setattr)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / ARCHIVE.name).write_bytes(archives.made(NAME))
    return tmp_path


@pytest.fixture
def folder(root: Path) -> Path:
    """The unpacked folder in place of the archive."""
    (root / ARCHIVE.name).unlink()
    archives.unpacked(archives.tiny_imagenet(), root / "tiny-imagenet-200")
    return root / "tiny-imagenet-200"


def test_classes_follow_their_numbers_and_equal_names_give_way_to_them(root: Path) -> None:
    """n03 is a bird and n01 perhaps a machine, both named crane; n04 has no words."""
    assert load(known(), root).classes == ("n01", "goldfish", "n03", "n04")


def test_train_is_in_the_order_of_names_and_val_in_that_of_its_annotations(root: Path) -> None:
    splits = load(known(), root)
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    numbers = [f"n0{i}" for i in range(1, 5)]
    levels = [archives.grey_level(number, i) for number in numbers for i in range(3)]
    assert splits.train.images[:, 7, 9, 1].tolist() == levels
    assert splits.test.labels.tolist() == [numbers.index(number) for number in archives.VAL]
    levels = [archives.grey_level(number, 4) for number in archives.VAL]
    assert splits.test.images[:, 30, 1, 2].tolist() == levels


def test_grey_images_become_colour(root: Path) -> None:
    images = load(known(), root).train.images
    assert images.shape == (12, 32, 32, 3)
    assert (images == images[..., :1]).all()


def test_the_folder_gives_what_the_archive_gives(root: Path) -> None:
    packed = load(known(), root)
    archives.unpacked(archives.tiny_imagenet(), root / "tiny-imagenet-200")
    (root / "cache" / f"{NAME}-32.npz").unlink()
    (root / ARCHIVE.name).write_bytes(b"not looked at")
    unpacked = load(known(), root)
    assert torch.equal(packed.train.images, unpacked.train.images)
    assert torch.equal(packed.test.labels, unpacked.test.labels)
    assert packed.fingerprint == unpacked.fingerprint


def test_the_fingerprint_is_that_of_the_source_at_any_resolution(root: Path) -> None:
    prints = {load(known(resolution=r), root).fingerprint for r in (32, 64, 16, 32, 64)}
    assert len(prints) == 1
    assert load(known(resolution=64), root).test.images.shape == (5, 64, 64, 3)
    files = archives.tiny_imagenet() | {"train/n02/images/n02_2.JPEG": archives.jpeg(3, "RGB")}
    archives.unpacked(files, root / "tiny-imagenet-200")
    (root / "cache" / f"{NAME}-32.npz").unlink()
    assert load(known(), root).fingerprint not in prints


def test_images_are_averaged_down_to_the_resolution_asked_for(folder: Path) -> None:
    halves = archives.jpeg(40, "RGB")
    (folder / "train/n01/images/n01_0.JPEG").write_bytes(halves)
    native = load(known(resolution=64), folder.parent).train.images.float()
    small = load(known(), folder.parent).train.images.float()
    assert native[0].unique().tolist() == small[0].unique().tolist() == [40]


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("train/n02/images/n02_1.JPEG", None, "train has 11 images in place of 12"),
        ("val/images/val_3.JPEG", None, "cannot read the image val/images/val_3.JPEG"),
        ("val/images/val_3.JPEG", b"\xff\xd8\xff cut", "cannot read the image val/images/val_3"),
        ("val/images/val_3.JPEG", archives.jpeg(1, "RGB", 32), "cannot read the image val/images"),
        ("val/val_annotations.txt", None, "No such file"),
        ("val/val_annotations.txt", b"val_0.JPEG\tn02\n", "val has 1 images in place of 5"),
        ("val/val_annotations.txt", b"val_0.JPEG\tn77\n" * 5, "n77"),
        ("val/val_annotations.txt", b"val_0.JPEG\n" * 5, "not enough values"),
        ("words.txt", None, "No such file"),
        ("wnids.txt", b"n01\n", "n02"),
        ("wnids.txt", b"\xff\xfe", "decode"),
    ],
)
def test_a_folder_that_is_incomplete_is_one_sentence(
    folder: Path, file: str, change: bytes | None, words: str
) -> None:
    if change is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(change)
    with pytest.raises(EnvironmentProblem, match=re.escape(words)) as caught:
        load(known(), folder.parent)
    text = str(caught.value)
    assert "\n" not in text
    assert f"{folder} is damaged or incomplete" in text
    assert not (folder.parent / "cache").exists()


def test_it_is_seen_as_it_lies_in_the_archive(root: Path) -> None:
    for _ in range(2):  # the second time from the cache
        found = inspect(known(), root)
        assert found.native_sizes == ((64, 64), (64, 64))
        assert found.title == "Tiny ImageNet"
        assert (found.splits["train"].images, found.splits["test"].images) == (12, 5)
    assert found.fingerprint == load(known(), root).fingerprint
