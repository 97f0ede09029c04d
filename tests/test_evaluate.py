"""Scores against numpy, and an evaluation that leaves no trace in what it evaluates."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from ekd.data import Split
from ekd.models import CompNet
from ekd.store import Store
from ekd.trainer import Diverged, build, evaluate, evaluation_epochs, infer, score

BINS = 15
Found = tuple[CompNet, tuple[Split, Tensor, Tensor]]


def logits_and_labels() -> tuple[Tensor, Tensor]:
    noise = np.random.default_rng(1)
    logits = noise.normal(0, 2, (200, 5)).astype(np.float32)
    logits[:20] *= 20  # confidences of 1 belong to the last bin
    return torch.from_numpy(logits), torch.from_numpy(noise.integers(0, 5, 200))


def probabilities(logits: Tensor) -> np.ndarray:
    exact = logits.numpy().astype(np.float64)
    shifted = np.exp(exact - exact.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def test_accuracy_is_the_share_of_right_answers() -> None:
    logits, labels = logits_and_labels()
    branches = torch.stack([logits, -logits, logits])
    scores = score(logits, branches, labels)
    right = [np.mean(x.numpy().argmax(1) == labels.numpy()) for x in branches]
    assert scores.accuracy == pytest.approx(right[0], abs=1e-12)
    assert scores.branch_accuracy == pytest.approx(right, abs=1e-12)
    assert right[0] != right[1]


def test_nll_is_the_mean_negative_logarithm_of_the_labels_probability() -> None:
    logits, labels = logits_and_labels()
    chosen = probabilities(logits)[np.arange(200), labels.numpy()]
    found = score(logits, logits[None], labels).nll
    assert found == pytest.approx(-np.log(chosen).mean(), rel=1e-9)


def test_ece_is_the_gap_of_each_bin_weighted_by_its_images() -> None:
    logits, labels = logits_and_labels()
    found = probabilities(logits)
    confidence, right = found.max(1), found.argmax(1) == labels.numpy()
    expected = 0.0
    for low in np.arange(BINS) / BINS:
        inside = (confidence > low) & (confidence <= low + 1 / BINS)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert score(logits, logits[None], labels).ece == pytest.approx(expected, abs=1e-9)


def test_gaps_of_two_bins_do_not_cancel_out() -> None:
    shy, bold = np.log([0.6, 0.4]), np.log([0.9, 0.1])  # always right, and always wrong
    logits = torch.from_numpy(np.stack([shy, shy, bold, bold]).astype(np.float32))
    labels = torch.tensor([0, 0, 1, 1])
    assert score(logits, logits[None], labels).ece == pytest.approx((0.4 + 0.9) / 2, abs=1e-6)


def test_outputs_that_are_not_finite_have_no_score() -> None:
    logits, labels = logits_and_labels()
    logits[3, 2] = float("inf")
    with pytest.raises(Diverged, match="not finite"):
        score(logits, logits[None], labels)


@pytest.fixture
def net_and_split(tiny_npz: Path, tmp_path: Path) -> Found:
    run = tiny.plain(tiny.data(tiny_npz), branches=2)
    splits = tiny.task(run, Store(tmp_path)).splits
    student = build(run, tiny.CLASSES, Store(tmp_path)).student
    return student, (splits.test, splits.mean, splits.std)


def test_evaluation_leaves_mode_and_buffers_as_they_were(net_and_split: Found) -> None:
    net, inputs = net_and_split
    for mode in (True, False):
        net.train(mode)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        evaluate(net, *inputs)
        assert all(module.training == mode for module in net.modules())
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_evaluation_uses_the_stored_statistics(net_and_split: Found) -> None:
    net, inputs = net_and_split
    net.train()
    in_train_mode = infer(net, *inputs).logits
    net.eval()
    assert torch.equal(infer(net, *inputs).logits, in_train_mode)


@pytest.mark.parametrize("size", [1, 7, 24])
def test_scores_do_not_depend_on_the_batch(
    net_and_split: Found,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, inputs = net_and_split
    whole = infer(net, *inputs)
    # The package's function of the same name hides the module.
    monkeypatch.setattr(sys.modules["ekd.trainer.evaluate"], "EVALUATION_BATCH", size)
    parts = infer(net, *inputs)
    torch.testing.assert_close(parts.logits, whole.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts.branches, whole.branches, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts.features, whole.features, rtol=1e-4, atol=1e-5)
    assert parts.branches.shape == (2, 24, tiny.CLASSES)
    assert parts.features.shape == (24, 2 * 64)
    one = score(whole.logits, whole.branches, inputs[0].labels).accuracy
    assert evaluate(net, *inputs).accuracy == one


@pytest.mark.parametrize(
    ("epochs", "evaluations", "expected"),
    [
        (10, 5, {2, 4, 6, 8, 10}),
        (3, 2, {2, 3}),
        (7, 3, {3, 5, 7}),
        (4, 1, {4}),
        (4, 20, {1, 2, 3, 4}),
        (1, 1, {1}),
        (500, 20, set(range(25, 501, 25))),
    ],
)
def test_evaluations_are_spread_evenly_and_end_with_the_last_epoch(
    epochs: int, evaluations: int, expected: set[int]
) -> None:
    assert evaluation_epochs(epochs, evaluations) == expected
