"""A known data set is read from an .npz of its name, where the data root has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ekd.data import load
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
