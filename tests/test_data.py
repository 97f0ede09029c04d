"""What a run sees: the split, the hold-out, the nested fraction, and the scaling of inputs."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from ekd.data import Description, describe, fingerprint, load
from ekd.spec.errors import EnvironmentProblem, SpecError
from ekd.spec.values import Data

COUNTS = [40, 13, 95, 7]  # images of each class


def digits(**fields: object) -> Data:
    return Data.model_validate({"name": "digits"} | fields)


def custom(path: Path, **fields: object) -> Data:
    return Data.model_validate({"path": str(path), "resolution": 8, "augment": "none"} | fields)


def write_npz(path: Path, counts: list[int] = COUNTS, **more: np.ndarray) -> Path:
    labels = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(0)
    content = {
        "train_images": noise.integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8),
        "train_labels": labels,
        "test_images": noise.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8),
        "test_labels": np.array([0, 1, 1, 0, 1, 0]),
    }
    np.savez(path, **(content | more))
    return path


@pytest.fixture
def unequal(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "own.npz")


def test_digits_are_1000_and_797_square_colour_images_of_ten_even_classes(tmp_path: Path) -> None:
    splits = load(digits(), tmp_path)
    assert splits.train.images.shape == (1000, 16, 16, 3)
    assert splits.test.images.shape == (797, 16, 16, 3)
    assert splits.train.images.dtype == torch.uint8
    assert splits.train.images.is_contiguous()
    assert splits.train.labels.dtype == splits.train.index.dtype == torch.int64
    assert splits.classes == tuple("0123456789")
    assert splits.holdout is None
    whole = torch.cat([splits.train.labels, splits.test.labels]).bincount()
    share = splits.train.labels.bincount() - whole * 1000 / 1797
    assert share.abs().max() <= 0.5 + 1e-6  # in proportion, to within half an image


def test_digits_keep_the_grey_levels_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    splits = load(digits(resolution=8), tmp_path)
    images = torch.cat([splits.train.images, splits.test.images])
    assert (images[..., 0] == images[..., 2]).all()
    levels = sorted(set(images.flatten().tolist()))
    assert levels == [round(level * 255 / 16) for level in range(17)]
    ours = sorted(image.sum().item() for image in images[..., 0].long())
    grey = load_digits().images
    theirs = sorted(int(np.rint(image * 255 / 16).sum()) for image in grey)
    assert ours == theirs


def test_split_and_subsets_never_change(tmp_path: Path) -> None:
    def pin(splits_index: torch.Tensor, labels: torch.Tensor) -> str:
        content = splits_index.numpy().tobytes() + labels.numpy().tobytes()
        return hashlib.sha256(content).hexdigest()[:12]

    whole = load(digits(), tmp_path)
    part = load(digits(holdout=0.1, fraction=0.25), tmp_path)
    drawn = load(digits(fraction=0.1, sampling="iid", subset_seed=3), tmp_path)
    assert part.holdout is not None
    assert [
        whole.fingerprint,
        pin(part.train.index, part.train.labels),
        pin(part.holdout.index, part.holdout.labels),
        pin(drawn.train.index, drawn.train.labels),
    ] == PINNED


PINNED = ["6ce34d4e26c3fbe0", "e591e2ebb74d", "b4d6880e6a51", "4e77e67edb7b"]


@pytest.mark.parametrize("sampling", ["stratified", "iid"])
def test_fractions_are_nested_and_apart_from_the_holdout(tmp_path: Path, sampling: str) -> None:
    taken = []
    for fraction in (0.1, 0.25, 0.5, 1.0):
        splits = load(digits(holdout=0.1, fraction=fraction, sampling=sampling), tmp_path)
        assert splits.holdout is not None
        held_out = set(splits.holdout.index.tolist())
        taken.append(set(splits.train.index.tolist()))
        assert len(held_out) == 100
        assert not held_out & taken[-1]
        assert len(taken[-1]) == round(900 * fraction)
    assert all(smaller < larger for smaller, larger in pairwise(taken))
    assert taken[-1] | held_out == set(range(1000))


def test_index_names_the_same_image_in_every_subset(tmp_path: Path) -> None:
    whole = load(digits(), tmp_path)
    part = load(digits(holdout=0.2, fraction=0.3), tmp_path)
    assert part.holdout is not None
    for split in (part.train, part.holdout):
        assert torch.equal(whole.train.images[split.index], split.images)
        assert torch.equal(whole.train.labels[split.index], split.labels)


def test_fraction_keeps_unequal_classes_in_proportion(unequal: Path, tmp_path: Path) -> None:
    labels = load(custom(unequal, fraction=0.1), tmp_path).train.labels
    assert labels.bincount().tolist() == [4, 1, 10, 1]  # 15.5 images, one at least of each class


def test_holdout_keeps_unequal_classes_in_proportion(unequal: Path, tmp_path: Path) -> None:
    splits = load(custom(unequal, holdout=0.2), tmp_path)
    assert splits.holdout is not None
    assert splits.holdout.labels.bincount().tolist() == [8, 3, 19, 1]
    assert splits.train.labels.bincount().tolist() == [32, 10, 76, 6]


def test_smallest_fraction_keeps_one_image_of_each_class(unequal: Path, tmp_path: Path) -> None:
    labels = load(custom(unequal, fraction=0.001), tmp_path).train.labels
    assert labels.tolist() == [0, 1, 2, 3]


def test_iid_fraction_is_not_stratified_and_follows_its_seed(tmp_path: Path) -> None:
    def counts(sampling: str, seed: int) -> list[int]:
        data = digits(fraction=0.25, sampling=sampling, subset_seed=seed)
        return load(data, tmp_path).train.labels.bincount().tolist()

    assert max(counts("stratified", 0)) - min(counts("stratified", 0)) <= 2
    assert max(counts("iid", 0)) - min(counts("iid", 0)) > 2
    assert counts("iid", 0) != counts("iid", 1)


def test_subset_seed_moves_holdout_and_fraction(tmp_path: Path) -> None:
    one, two = (
        load(digits(holdout=0.1, fraction=0.5, subset_seed=seed), tmp_path) for seed in (0, 1)
    )
    assert one.holdout is not None
    assert two.holdout is not None
    assert not torch.equal(one.holdout.index, two.holdout.index)
    assert not torch.equal(one.train.index, two.train.index)


def test_moments_are_those_of_the_rest_before_the_fraction(tmp_path: Path) -> None:
    part = load(digits(holdout=0.1, fraction=0.1), tmp_path)
    rest = load(digits(holdout=0.1), tmp_path)
    pixels = rest.train.images.numpy().astype(np.float64).reshape(-1, 3) / 255
    np.testing.assert_allclose(part.mean.numpy(), pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(part.std.numpy(), pixels.std(0), rtol=1e-6)
    assert torch.equal(part.mean, rest.mean)
    assert not torch.equal(part.mean, load(digits(), tmp_path).mean)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"fraction": 0.1},
        {"holdout": 0.1, "fraction": 0.33},
        {"fraction": 0.003},
        {"fraction": 0.2, "sampling": "iid"},
    ],
)
def test_description_counts_what_is_loaded(
    unequal: Path, tmp_path: Path, fields: dict[str, object]
) -> None:
    for data in (digits(**fields), custom(unequal, **fields)):
        splits = load(data, tmp_path)
        found = Description(len(splits.classes), len(splits.train.labels), len(splits.test.labels))
        assert describe(data, tmp_path) == found


def test_known_data_are_described_without_opening_them(tmp_path: Path) -> None:
    data = Data.model_validate({"name": "cifar100", "holdout": 0.1, "fraction": 0.5})
    assert describe(data, tmp_path / "nowhere") == Description(100, 22_500, 10_000)


def test_fingerprint_follows_the_content_of_own_data(unequal: Path, tmp_path: Path) -> None:
    first = fingerprint(custom(unequal), tmp_path)
    splits = load(custom(unequal, resolution=16, fraction=0.5, fingerprint=first), tmp_path)
    assert splits.fingerprint == first
    assert len(first) == 16
    names = np.array(["a", "b", "c", "d"])
    write_npz(unequal, class_names=names)
    renamed = fingerprint(custom(unequal), tmp_path)
    write_npz(unequal, class_names=names, test_labels=np.array([0, 1, 1, 0, 1, 1]))
    assert len({first, renamed, fingerprint(custom(unequal), tmp_path)}) == 3
    with pytest.raises(EnvironmentProblem, match="has changed: its fingerprint is"):
        load(custom(unequal, fingerprint=first), tmp_path)


def test_holdout_that_takes_a_whole_class_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "rare.npz", [10, 1, 1])
    for look in (load, describe):
        with pytest.raises(SpecError, match="leaves no training image of class '1'"):
            look(custom(path, holdout=0.5), tmp_path)


def test_iid_draw_without_a_class_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "rare.npz", [200, 1])
    for look in (load, describe):
        with pytest.raises(SpecError, match=r"no image of class '1'.*'stratified'"):
            look(custom(path, fraction=0.05, sampling="iid"), tmp_path)


def test_resize_of_a_constant_keeps_it_and_of_halves_averages(tmp_path: Path) -> None:
    halves = np.zeros((2, 16, 32, 3), dtype=np.uint8)
    halves[0] = 77
    halves[1, :, 16:] = 200
    path = write_npz(tmp_path / "wide.npz", train_images=halves, train_labels=np.array([0, 1]))
    images = load(custom(path), tmp_path).train.images
    assert images.shape == (2, 8, 8, 3)
    assert (images[0] == 77).all()
    assert (images[1, :, :3] == 0).all()
    assert (images[1, :, 5:] == 200).all()


def test_smaller_images_average_over_all_pixels(tmp_path: Path) -> None:
    """Every fourth column is white: the triangle filter of width 8 gives 255 / 4, so 64."""
    stripes = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    stripes[:, :, ::4] = 255
    path = write_npz(tmp_path / "s.npz", train_images=stripes, train_labels=np.array([0, 1]))
    assert (load(custom(path), tmp_path).train.images[:, :, 1:-1] == 64).all()


def test_real_cifar10_has_its_known_moments() -> None:
    root = os.environ.get("EKD_TEST_DATA")
    if not root or not (Path(root) / "cifar10.npz").exists():
        pytest.skip("set EKD_TEST_DATA to a folder with cifar10.npz")
    splits = load(Data.model_validate({"name": "cifar10", "fraction": 0.1}), Path(root))
    assert splits.train.labels.bincount().tolist() == [500] * 10
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    assert splits.mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
    assert splits.std.tolist() == pytest.approx([0.2470, 0.2435, 0.2616], abs=1e-4)
