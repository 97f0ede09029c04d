"""Augmentation, order and scaling are pure functions of seed, epoch and sample."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from ekd.data import augment, normalise, order
from ekd.data.augment import splitmix64

SIZE = 12


def batch(size: int, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    shape = (size, SIZE, SIZE, 3)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=stream)


def windows(image: np.ndarray) -> dict[bytes, tuple[int, int, bool]]:
    """Cut all 162 crops of an image, one after the other."""
    found = {}
    for flip in (False, True):
        padded = np.zeros((SIZE + 8, SIZE + 8, 3), dtype=np.uint8)
        for row in range(SIZE):
            for column in range(SIZE):
                source = SIZE - 1 - column if flip else column
                padded[row + 4, column + 4] = image[row, source]
        for top in range(9):
            for left in range(9):
                window = padded[top : top + SIZE, left : left + SIZE]
                found[window.tobytes()] = (top, left, flip)
    return found


def draws(
    kind: Literal["flip", "crop", "crop-flip"], epoch: int = 1
) -> list[tuple[int, int, bool]]:
    """Find offsets and flips of 64 different images by comparison with all their crops."""
    images = batch(64)
    result = augment(images, torch.arange(64), kind, seed=0, epoch=epoch).numpy()
    return [windows(old)[new.tobytes()] for old, new in zip(images.numpy(), result, strict=True)]


def test_crops_and_flips_are_windows_of_the_padded_image() -> None:
    found = draws("crop-flip")
    assert len({(top, left) for top, left, _ in found}) > 30
    assert {flip for _, _, flip in found} == {False, True}
    assert any((top, left) == (4, 4) for top, left, _ in draws("flip"))


def test_each_kind_does_only_what_it_says() -> None:
    images = batch(64)
    assert torch.equal(augment(images, torch.arange(64), "none", 0, 1), images)
    assert {(top, left) for top, left, _ in draws("flip")} == {(4, 4)}
    assert {flip for _, _, flip in draws("crop")} == {False}
    both = draws("crop-flip")
    assert [(top, left) for top, left, _ in both] == [(t, x) for t, x, _ in draws("crop")]
    assert [flip for _, _, flip in both] == [flip for _, _, flip in draws("flip")]


def test_draw_does_not_depend_on_the_batch() -> None:
    images, index = batch(40), torch.arange(100, 140)
    whole = augment(images, index, "crop-flip", 3, 7)
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    assert torch.equal(
        augment(images[shuffled], index[shuffled], "crop-flip", 3, 7), whole[shuffled]
    )
    parts = [
        augment(images[i : i + 7], index[i : i + 7], "crop-flip", 3, 7) for i in range(0, 40, 7)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_epochs_seeds_and_samples_draw_differently() -> None:
    images = batch(1).expand(200, -1, -1, -1).contiguous()
    index = torch.arange(200)
    first = augment(images, index, "crop-flip", 0, 1)
    for other in (
        augment(images, index, "crop-flip", 0, 2),
        augment(images, index, "crop-flip", 1, 1),
        augment(images, index + 200, "crop-flip", 0, 1),
    ):
        same = (first == other).flatten(1).all(1).float().mean()
        assert same < 0.05  # 1 in 162 by chance


def test_global_random_state_and_the_images_are_left_alone() -> None:
    images, state = batch(8), torch.get_rng_state()
    before = images.clone()
    augment(images, torch.arange(8), "crop-flip", 0, 1)
    order(0, 1, 10)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, before)


def test_offsets_are_uniform_and_flips_are_half() -> None:
    """Of an image whose pixels say where they are, crop and flip can be read off its middle."""
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    image = torch.stack([rows, columns, columns * 0], 2).to(torch.uint8)
    count = 40_000
    result = augment(image.expand(count, -1, -1, -1), torch.arange(count), "crop-flip", 5, 9)
    top = result[:, 8, 8, 0].long() - 4
    flipped = result[:, 8, 9, 1] < result[:, 8, 8, 1]
    column = result[:, 8, 8, 1].long()
    left = torch.where(flipped, 15 - column, column) - 4
    cells = (flipped.long() * 9 + top) * 9 + left
    observed = cells.bincount(minlength=162).double()
    expected = count / 162
    chi_square = ((observed - expected) ** 2 / expected).sum().item()
    assert observed.numel() == 162
    assert 161 - 5 * 18 < chi_square < 161 + 5 * 18  # deviation sqrt(2 * 161) = 18
    assert abs(flipped.float().mean() - 0.5) < 0.0125  # five standard errors


def test_hash_is_splitmix64() -> None:
    """The first outputs from seed 1234567, as published with the reference implementation."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    signed = [value - 2**64 if value >= 2**63 else value for value in expected]
    assert splitmix64(torch.arange(3), 1234567).tolist() == signed


def test_images_need_not_be_square_or_contiguous() -> None:
    wide = batch(6)[:, :5].flip(0)[::2]
    index = torch.arange(3)
    result = augment(wide, index, "crop-flip", 0, 1)
    assert torch.equal(result, augment(wide.contiguous(), index, "crop-flip", 0, 1))
    assert result.shape == wide.shape


def test_order_is_a_permutation_for_each_seed_and_epoch() -> None:
    orders = [order(seed, epoch, 500) for seed in (0, 1) for epoch in (1, 2)]
    for one in orders:
        assert torch.equal(one.sort().values, torch.arange(500))
    assert len({tuple(one.tolist()) for one in orders}) == 4
    assert torch.equal(order(1, 2, 500), orders[-1])


def test_normalise_scales_each_channel_without_transposing() -> None:
    images = batch(5)
    mean, std = torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.2, 0.3, 0.4])
    result = normalise(images, mean, std)
    expected = images.numpy().astype(np.float64) / 255
    expected = (expected - mean.numpy()) / std.numpy()
    assert result.dtype == torch.float32
    assert result.shape == (5, 3, SIZE, SIZE)
    assert result.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(result.numpy(), expected.transpose(0, 3, 1, 2), atol=2e-6)


@pytest.mark.parametrize("kind", ["flip", "crop", "crop-flip"])
def test_augmentation_changes_most_images(kind: Literal["flip", "crop", "crop-flip"]) -> None:
    images = batch(200)
    changed = augment(images, torch.arange(200), kind, 0, 1) != images
    assert changed.flatten(1).any(1).float().mean() > (0.35 if kind == "flip" else 0.9)
