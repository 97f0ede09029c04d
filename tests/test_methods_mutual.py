"""Deep mutual learning: two untrained networks, of which each moves by its own terms only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tiny
import torch
from known_logits import ce, kl, known, labelled, softmax
from planned import derived
from tiny_objectives import kept, moved
from torch import Tensor

from ekd.losses import kl_divergence
from ekd.methods import Method, Objective, architecture, frozen, mutual
from ekd.methods.mutual import Mutual
from ekd.models import CompNet, initialise
from ekd.plan import training_macs
from ekd.spec import Model, Parent, Run
from ekd.spec.resolve import FieldError
from ekd.store import Store
from ekd.trainer import build

STUDENT, PEER, LABEL = [1.0, -0.5, 0.25], [2.0, 3.0, -1.0], 2
S, P = np.array(STUDENT), np.array(PEER)
TERMS = {
    "ce_student": ce(S, LABEL),
    "kl_student": kl(P, S, 1),
    "ce_peer": ce(P, LABEL),
    "kl_peer": kl(S, P, 1),
}


def objective() -> Objective:
    return Mutual().objective(known(STUDENT), [known(PEER)]).train()


def gradients(step: Any, net: Any) -> Tensor:
    bias = net.branches[0].linear.bias
    if not bias.requires_grad:
        return torch.zeros_like(bias)
    (found,) = torch.autograd.grad(step, [bias], allow_unused=True, retain_graph=True)
    return torch.zeros_like(bias) if found is None else found


# The loss


def check() -> None:
    """The four terms and the gradients of both networks are as they should be."""
    trained = objective()
    step = trained(labelled(LABEL), 0.5)
    assert {n: t.item() for n, t in step.terms.items()} == pytest.approx(TERMS, rel=1e-4)
    student, peer = dict(trained.nets()).values()
    one_hot = np.eye(3)[LABEL]
    for net, own, other in ((student, S, P), (peer, P, S)):
        wanted = (softmax(own) - one_hot) + (softmax(own) - softmax(other))
        assert gradients(step.loss, net).numpy() == pytest.approx(wanted, rel=1e-4)


def test_the_loss_and_its_gradients_are_the_formulas() -> None:
    check()


def test_two_classes_by_hand() -> None:
    student, peer = known([np.log(3.0), 0.0]), known([np.log(4.0), 0.0])  # 3/4, 1/4 and 4/5, 1/5
    found = Mutual().objective(student, [peer])(labelled(1), 0.0).terms
    by_hand = {
        "ce_student": np.log(4),
        "kl_student": 0.8 * np.log(0.8 / 0.75) + 0.2 * np.log(0.2 / 0.25),
        "ce_peer": np.log(5),
        "kl_peer": 0.75 * np.log(0.75 / 0.8) + 0.25 * np.log(0.25 / 0.2),
    }
    assert {n: t.item() for n, t in found.items()} == pytest.approx(by_hand, rel=1e-3)


def test_no_term_of_one_network_moves_the_other() -> None:
    trained = objective()
    terms = trained(labelled(LABEL), 0.0).terms
    student, peer = dict(trained.nets()).values()
    for name, term in terms.items():
        own, other = (student, peer) if name.endswith("student") else (peer, student)
        assert gradients(term, own).abs().max() > 0, name
        assert gradients(term, other).abs().max() == 0, name


def test_both_networks_are_trained_with_their_statistics() -> None:
    trained = objective()
    before = [kept(net) for _, net in trained.nets()]
    adam = torch.optim.Adam([p for p in trained.parameters() if p.requires_grad], lr=0.01)
    trained(labelled(LABEL), 0.0).loss.backward()
    adam.step()
    for old, (_, net) in zip(before, trained.nets(), strict=True):
        assert moved(old, net)
        statistics = "branches.0.bn.running_mean"
        assert not torch.equal(net.state_dict()[statistics], old[statistics])


# The peer


def test_the_peer_is_a_field_and_teachers_of_the_row_are_ignored() -> None:
    cell = ("data.name=cifar10", "method.name=mutual")
    run = derived(*cell)
    assert run.teachers == ()
    assert cast(Method, run.method).peers(run) == (Model(arch="resnet26"),)
    assert derived(*cell, "teachers=resnet14").key == run.key
    assert derived(*cell, "method.peer=resnet14").key != run.key


def test_an_unknown_peer_is_refused_with_the_nearest() -> None:
    with pytest.raises(FieldError, match="nearest are resnet20 and resnet26") as caught:
        derived("data.name=cifar10", "method.name=mutual", "method.peer=resnet25")
    assert caught.value.path == "method.peer"


def a_run(path: Path, peer: str = "resnet14", **recipe: Any) -> Run:
    run = tiny.plain(tiny.data(path), **recipe)
    return run.model_copy(update={"method": Mutual(peer=peer)})


@pytest.mark.parametrize("init", ["kaiming", "gaussian"])
def test_the_peer_starts_as_the_recipe_says_from_a_stream_of_its_own(
    tiny_npz: Path, store: Store, init: Any
) -> None:
    run = a_run(tiny_npz, "resnet8", init=init)
    student, peer = (net for _, net in build(run, tiny.CLASSES, store).nets())
    expected = CompNet("resnet8", 1, tiny.CLASSES)
    initialise(expected, init, run.seed, "peer", 1)
    assert not moved(kept(expected), peer)
    assert moved(kept(student), peer)  # two equal networks would never teach each other
    initialise(expected, init, run.seed)
    assert not moved(kept(expected), student)


def test_the_peer_has_the_recipes_batchnorm(tiny_npz: Path, store: Store) -> None:
    nets = dict(build(a_run(tiny_npz, batchnorm_splits=2), tiny.CLASSES, store).nets())
    splits = {m.splits for m in nets["teacher-1"].modules() if hasattr(m, "splits")}
    assert splits == {2}


def test_a_finished_run_keeps_and_scores_the_peer(tiny_npz: Path, store: Store) -> None:
    run = a_run(tiny_npz)
    folder = tiny.trained(run, store)
    result = folder.result()
    assert [(net["net"], net["arch"]) for net in result["teachers"]] == [("teacher-1", "resnet14")]
    assert 0 <= result["teachers"][0]["accuracy"] <= 1
    assert result["parameters"] == sum(p.numel() for p in CompNet("resnet8", 1, 3).parameters())
    assert set(folder.history()[-1]["terms"]) == set(TERMS)
    assert json.loads((folder.path / "spec.json").read_text())["teachers"] == []


def test_another_run_can_be_taught_by_the_peer(tiny_npz: Path, store: Store) -> None:
    run = a_run(tiny_npz)
    tiny.trained(run, store)
    parent = Parent(run=run, net="teacher-1")
    assert architecture(parent) == Model(arch="resnet14")
    changes = {"method": tiny.ekd(run.data).method, "teachers": (parent,)}
    taught = tiny.plain(run.data).model_copy(update=changes)
    assert dict(build(taught, tiny.CLASSES, store).nets())["teacher-1"].arch == "resnet14"


def test_the_estimate_counts_the_training_of_the_peer(tiny_npz: Path, tmp_path: Path) -> None:
    source = tiny.data(tiny_npz)
    changes = {"student": Model(arch="resnet14")}
    alone, peer = tiny.plain(source), tiny.plain(source).model_copy(update=changes)
    evaluations = 3 * 24 * training_macs(peer, tmp_path) / (3 * (3 * 48 + 24))
    expected = training_macs(alone, tmp_path) + training_macs(peer, tmp_path) - evaluations
    assert training_macs(a_run(tiny_npz), tmp_path) == pytest.approx(expected)


def test_two_trainings_are_bit_equal(tiny_npz: Path, tmp_path: Path) -> None:
    run = a_run(tiny_npz).model_copy(update={"student": Model(branches=2)})
    first, second = (
        tiny.content(tiny.trained(run, Store(tmp_path / name).open())) for name in ("one", "two")
    )
    assert first == second


# Mutants


def kl_with(**changes: Any) -> Callable[..., Tensor]:
    def mutant(learner: Tensor, other: Tensor) -> Tensor:
        options: dict[str, Any] = {"temperature": 1.0, "reduction": "batchmean"} | changes
        return kl_divergence(learner, other.detach(), **options)

    return mutant


def both_log(learner: Tensor, other: Tensor) -> Tensor:
    target, log = other.detach().log_softmax(1), learner.log_softmax(1)
    return (target.exp().log_softmax(1).exp() * (target - log)).sum() / len(log)


MUTANTS: dict[str, tuple[str, Any]] = {
    "peers not detached": (
        "imitation",
        lambda learner, other: kl_divergence(learner, other, 1.0, reduction="batchmean"),
    ),
    "KL divided by the number of classes": ("imitation", kl_with(reduction="mean")),
    "a temperature": ("imitation", kl_with(temperature=4.0, form="softened")),
    "the KL the other way round": ("imitation", kl_with(form="reverse")),
    "log_softmax for both arguments": ("imitation", both_log),
    "the learner detached": (
        "imitation",
        lambda learner, other: kl_divergence(learner.detach(), other, 1.0, reduction="batchmean"),
    ),
    "a peer that is not trained": ("copied", frozen),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_check_fails_for_every_mutant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(mutual, attribute, mutant)
    with pytest.raises(AssertionError):
        check()
