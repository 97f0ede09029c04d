"""Small, lopsided and odd data: trained right, or refused in one sentence before any training."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from command_line import Run as Command
from PIL import Image

from ekd.data import describe, load
from ekd.spec import Data, EkdError, EnvironmentProblem, Run, SpecError
from ekd.store import RunFolder, Store


def write_npz(path: Path, train: list[int], test: list[int]) -> Path:
    """Write images of 8 x 8; `train` and `test` are the labels."""
    noise = np.random.default_rng(0)
    arrays = {}
    for split, labels in (("train", train), ("test", test)):
        size = (len(labels), 8, 8, 3)
        arrays[f"{split}_images"] = noise.integers(0, 256, size, dtype=np.uint8)
        arrays[f"{split}_labels"] = np.array(labels)
    np.savez(path, **arrays)
    return path


def write_folder(root: Path, train: dict[str, int], test: dict[str, int]) -> Path:
    """Write so many images of each class, each of another size."""
    for split, counts in (("train", train), ("test", test)):
        for name, count in counts.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                side = (9 + 7 * i, 30 - 2 * i)
                Image.new("RGB", side, (40 * i, 9, 9)).save(root / split / name / f"{i}.png")
    return root


def images_seen(run: Run, store: Store) -> float:
    """Train a run; give the images of an epoch, from the history and from the result."""
    folder: RunFolder = tiny.trained(run, store)
    result, lines = folder.result(), folder.history()
    assert len(lines) == run.epochs
    for line in lines:
        assert math.isfinite(line["loss"])
    assert 0 <= result["accuracy"] <= 1
    images = result["train_images"]
    assert isinstance(images, int)
    return images


# batches


@pytest.mark.parametrize(
    ("images", "batch_size", "steps"),
    [
        (5, 128, 1),  # the set is smaller than a batch
        (2, 128, 1),
        (3, 2, 1),  # one image remains, and is left out
        (9, 8, 1),
        (10, 8, 2),  # two remain
        (16, 8, 2),  # none remains
    ],
)
def test_batches_of_any_size_train(
    tmp_path: Path, store: Store, images: int, batch_size: int, steps: int
) -> None:
    path = write_npz(tmp_path / "few.npz", [i % 2 for i in range(images)], [0, 1])
    run = tiny.run_of(path, epochs=2, batch_size=batch_size)
    assert tiny.task(run, store).steps == steps
    assert images_seen(run, store) == images


def test_a_method_with_teachers_trains_on_two_images(tmp_path: Path, store: Store) -> None:
    path = write_npz(tmp_path / "two.npz", [0, 1], [0])
    run = tiny.ekd(tiny.data(path), teachers=2, epochs=1, batch_size=2)
    assert images_seen(run, store) == 2


def test_batchnorm_in_more_parts_than_a_batch_has_images_trains(
    tmp_path: Path, store: Store
) -> None:
    path = write_npz(tmp_path / "few.npz", [0, 1, 0, 1, 0], [0, 1])
    run = tiny.run_of(path, epochs=1, batch_size=3, batchnorm_splits=8)
    assert images_seen(run, store) == 5


# classes


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ([0] * 9 + [1], [0, 1]),  # a class with one image
        ([0] * 20 + [1] * 3 + [2] * 7, [0, 1, 2]),  # unequal classes
        ([0, 1, 2, 0, 1, 2], [1]),  # one test image
        ([0, 1, 2, 0, 1, 2], [0, 2]),  # a class that test lacks
    ],
)
def test_lopsided_sets_train(
    tmp_path: Path, store: Store, train: list[int], test: list[int]
) -> None:
    path = write_npz(tmp_path / "odd.npz", train, test)
    assert images_seen(tiny.run_of(path, epochs=1, batch_size=4), store) == len(train)


def test_one_test_image_is_scored_by_itself(tmp_path: Path, store: Store) -> None:
    path = write_npz(tmp_path / "one.npz", [0, 1, 0, 1], [1])
    folder = tiny.trained(tiny.run_of(path, epochs=1), store)
    with np.load(io.BytesIO(folder.read_output("test_outputs.npz"))) as outputs:
        assert outputs["labels"].tolist() == [1]
    result = folder.result()
    assert result["accuracy"] in (0.0, 1.0)
    assert result["nll"] > 0


def test_an_image_folder_of_differing_sizes_trains(tmp_path: Path, store: Store) -> None:
    counts = {"cat": 5, "dog": 1}
    folder = write_folder(tmp_path / "pets", counts, {"dog": 1})
    assert images_seen(tiny.run_of(folder, epochs=1, batch_size=4), store) == 6


def test_the_smallest_fraction_trains_on_one_image_of_each_class(
    tmp_path: Path, store: Store
) -> None:
    path = write_npz(tmp_path / "own.npz", [0] * 40 + [1] * 3 + [2] * 20, [0, 1, 2])
    run = tiny.run_of(path, {"fraction": 1e-6}, epochs=1)
    assert images_seen(run, store) == 3
    assert sorted(load(run.data, tmp_path).train.labels.tolist()) == [0, 1, 2]


def test_holdout_and_fraction_together_leave_two_images_at_least(tmp_path: Path) -> None:
    """Every class keeps an image and there are two classes, whatever is asked for."""
    path = write_npz(tmp_path / "own.npz", [0, 0, 1, 1], [0, 1])
    for holdout in (0.0, 0.01, 0.25, 0.5):
        for fraction in (1e-9, 0.5, 1.0):
            for seed in range(5):
                fields = {"holdout": holdout, "fraction": fraction, "subset_seed": seed}
                data = tiny.data(path, **fields)
                try:
                    splits = load(data, tmp_path)
                except SpecError:
                    continue
                assert sorted(set(splits.train.labels.tolist())) == [0, 1]
                assert describe(data, tmp_path).train == len(splits.train.labels)


# refusals


def refused(look: Any, data: Data, root: Path) -> EkdError:
    with pytest.raises(EkdError) as caught:
        look(data, root)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("look", [load, describe])
@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ([0, 0, 0], [0], "only one class"),
        ([0, 2, 0, 2], [0, 2], "class '1' has no training image"),
        ([0, 1], [0, 2], "test_labels has the label 2"),
        ([0, 1], [], "test_labels has shape"),
        ([], [0], "train_labels has shape"),
    ],
)
def test_files_of_arrays_that_lack_a_class_are_refused(
    tmp_path: Path, look: Any, train: list[int], test: list[int], words: str
) -> None:
    path = tmp_path / "odd.npz"
    images = np.zeros((4, 8, 8, 3), np.uint8)
    labels = {"train_labels": np.array(train, int), "test_labels": np.array(test, int)}
    np.savez(path, train_images=images[: len(train)], test_images=images[: len(test)], **labels)
    error = refused(look, tiny.data(path), tmp_path)
    assert isinstance(error, EnvironmentProblem)
    assert words in str(error)


@pytest.mark.parametrize("look", [load, describe])
@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ({"cat": 3}, {"cat": 1}, "only one class"),
        ({"cat": 3, "dog": 0}, {"cat": 1}, "dog has no image"),
        ({"cat": 3, "dog": 1}, {"cat": 1, "dog": 0}, "dog has no image"),
        ({"cat": 3, "dog": 1}, {}, "is missing"),
    ],
)
def test_folders_that_lack_images_are_refused(
    tmp_path: Path, look: Any, train: dict[str, int], test: dict[str, int], words: str
) -> None:
    folder = write_folder(tmp_path / "pets", train, test)
    error = refused(look, tiny.data(folder), tmp_path)
    assert isinstance(error, EnvironmentProblem)
    assert words in str(error)


@pytest.mark.parametrize("look", [load, describe])
@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"holdout": 0.5}, "a hold-out of 0.5 leaves no training image of class"),
        ({"fraction": 0.1, "sampling": "iid"}, "an iid fraction of 0.1 has no image of class"),
    ],
)
def test_a_subset_without_a_class_is_a_wrong_spec_known_from_the_labels_alone(
    tmp_path: Path, look: Any, kind: str, fields: dict[str, Any], words: str
) -> None:
    if kind == "file":
        path = write_npz(tmp_path / "rare.npz", [0] * 10 + [1, 2], [0, 1])
    else:
        path = write_folder(tmp_path / "rare", {"cat": 10, "dog": 1, "emu": 1}, {"cat": 1})
    error = refused(look, tiny.data(path, **fields), tmp_path)
    assert isinstance(error, SpecError)
    assert words in str(error)
    assert look is load or not (tmp_path / "cache").exists()


def test_nothing_is_trained_of_a_plan_whose_data_lack_a_class(
    tmp_path: Path, ekd_run: Command
) -> None:
    path = write_npz(tmp_path / "one.npz", [0, 0, 0, 0], [0])
    spec = tiny.write_spec(tmp_path, path, epochs=1)
    ended = ekd_run(str(spec))
    assert ended.code == 4
    assert "only one class" in ended.err
    assert not (tmp_path / "runs").exists()


def test_labels_that_are_numbers_of_something_else_fill_no_memory(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "ids.npz", [0, 10**15, 2 * 10**15], [0])
    with pytest.raises(EnvironmentProblem, match=r"goes up to 2000000000000000, .* only 3 "):
        load(tiny.data(path), tmp_path)
