"""Known data sets come from an .npz in the data root or a download, or say what is missing."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import numpy as np
import pytest

from ekd.data import load
from ekd.data.known import LOADERS
from ekd.spec.errors import EnvironmentProblem
from ekd.spec.values import Data


def known(name: str) -> Data:
    return Data.model_validate({"name": name})


def write_npz(path: Path, classes: int) -> None:
    labels = np.arange(20) % classes
    images = np.full((20, 32, 32, 3), 3, np.uint8)
    test = {"test_images": images[:2], "test_labels": labels[:2]}
    np.savez(path, train_images=images, train_labels=labels, **test)


def sentence(data: Data, root: Path) -> str:
    with pytest.raises(EnvironmentProblem) as caught:
        load(data, root)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_npz_in_the_data_root_stands_for_a_known_name(tmp_path: Path) -> None:
    write_npz(tmp_path / "cifar10.npz", classes=10)
    splits = load(known("cifar10"), tmp_path)
    assert len(splits.train.labels) == 20
    assert splits.test.images.shape == (2, 32, 32, 3)


def test_npz_of_a_known_name_must_have_its_classes(tmp_path: Path) -> None:
    write_npz(tmp_path / "cifar10.npz", classes=2)
    assert "has 2 classes, but CIFAR-10 has 10" in sentence(known("cifar10"), tmp_path)


def test_tiny_imagenet_says_what_is_read(tmp_path: Path) -> None:
    text = sentence(known("tiny-imagenet"), tmp_path)
    assert str(tmp_path / "tiny-imagenet.npz") in text
    assert "train_images" in text
    assert "tiny-imagenet" not in LOADERS


class FakeCIFAR:
    """torchvision's class without its archive: a file `data.npy` stands for the batches."""

    base_folder = "cifar-10-batches-py"
    filename = "cifar-10-python.tar.gz"
    url = "https://example.org/cifar-10-python.tar.gz"
    network = True
    classes = tuple("abcdefghij")

    def __init__(self, root: Path | str, train: bool, download: bool) -> None:
        folder = Path(root) / self.base_folder
        if download and not (Path(root) / self.filename).exists():
            if not self.network:
                folder.mkdir()
                raise urllib.error.URLError("no route to host")
            (Path(root) / self.filename).write_text("archive")
        if download:
            folder.mkdir()
            np.save(folder / "data.npy", np.full((20, 32, 32, 3), 6, np.uint8))
        if not (folder / "data.npy").exists():
            raise RuntimeError("Dataset not found or corrupted.")
        self.data = np.load(folder / "data.npy")
        self.targets = [i % 10 for i in range(20)]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeCIFAR]:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FakeCIFAR)
    monkeypatch.setattr(FakeCIFAR, "network", True)
    return FakeCIFAR


def test_download_leaves_the_data_and_a_cache(
    tmp_path: Path, fake: type[FakeCIFAR], monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = load(known("cifar10"), tmp_path / "root")
    assert splits.train.images.unique().tolist() == [6]
    assert splits.classes == tuple("abcdefghij")
    assert {path.name for path in (tmp_path / "root").iterdir()} == {"cache", fake.base_folder}
    monkeypatch.setattr(fake, "__init__", None)
    assert load(known("cifar10"), tmp_path / "root").fingerprint == splits.fingerprint


def test_no_network_says_what_to_put_where_and_leaves_nothing(
    tmp_path: Path, fake: type[FakeCIFAR], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "network", False)
    text = sentence(known("cifar10"), tmp_path)
    for part in ("no route to host", fake.filename, fake.url, str(tmp_path), "cifar10.npz"):
        assert part in text
    assert list(tmp_path.iterdir()) == []


def test_archive_brought_by_hand_needs_no_network(
    tmp_path: Path, fake: type[FakeCIFAR], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "network", False)
    (tmp_path / fake.filename).write_text("archive")
    assert len(load(known("cifar10"), tmp_path).train.labels) == 20


def test_damaged_download_says_what_to_delete(tmp_path: Path, fake: type[FakeCIFAR]) -> None:
    (tmp_path / fake.base_folder).mkdir()
    assert f"{tmp_path / fake.base_folder} is damaged" in sentence(known("cifar10"), tmp_path)
