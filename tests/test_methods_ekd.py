"""EKD: its teachers, its gradients, and every reading against its formula (Eq. 5 and 8)."""

from __future__ import annotations

import copy
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_objectives import (
    BATCH,
    METHODS,
    a_batch,
    an_objective,
    ekd,
    kept,
    moved,
    two_adam_steps,
)
from torch import Tensor

from ekd.methods import Objective

Array = NDArray[np.float64]


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_joint_teachers_are_trained_in_either_mode(mode: str) -> None:
    objective, teachers = an_objective(ekd(teacher_mode=mode))
    before = [kept(net) for name, net in objective.nets() if name != "student"]
    two_adam_steps(objective)
    after = [net for name, net in objective.nets() if name != "student"]
    assert len(after) == len(teachers)
    for old, new in zip(before, after, strict=True):
        weights = {n: v for n, v in old.items() if "running" not in n and "num_batches" not in n}
        state = new.state_dict()
        assert all(not torch.equal(state[name], value) for name, value in weights.items())
        statistics = "branches.0.bn.running_mean"
        assert torch.equal(state[statistics], old[statistics]) is (mode == "eval")


def test_frozen_teachers_stay_bit_equal_with_their_buffers() -> None:
    objective, teachers = an_objective(ekd(alpha=0.0))
    two_adam_steps(objective)
    nets = [net for name, net in objective.nets() if name != "student"]
    for net, original in zip(nets, teachers, strict=True):
        assert not moved(kept(original), net)
    assert all(name.startswith("student.") for name, _ in objective.named_parameters())
    assert "ce_teachers" not in objective(a_batch(), 0.0).terms


def test_the_whole_objective_is_in_its_state() -> None:
    for fields in ({}, {"alpha": 0.0}):
        objective, _ = an_objective(ekd(**fields))
        state = copy.deepcopy(objective.state_dict())
        two_adam_steps(objective)
        objective.load_state_dict(state)
        assert not moved(state, objective)
        assert any("teachers" in name for name in state)


# EKD's gradients


def teacher_gradients(loss: Tensor, objective: Objective) -> list[Tensor]:
    parameters = list(objective.teachers.parameters())
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]


def test_teachers_learn_from_their_own_cross_entropy_alone_by_default() -> None:
    objective, _ = an_objective(ekd())
    batch = a_batch()
    found = teacher_gradients(objective(batch, 0.0).loss, objective)
    logits = torch.stack([net(batch.x).logits for net in objective.teachers.nets]).sum(0)
    by_hand = -0.5 * logits.log_softmax(-1)[torch.arange(BATCH), batch.y].mean()
    expected = teacher_gradients(by_hand, objective)
    assert any(gradient.abs().max() > 0 for gradient in expected)
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_the_distillation_reaches_the_teachers_where_it_may_flow() -> None:
    objective, _ = an_objective(ekd(teacher_gradient="flow", alpha=0.0))
    terms = objective(a_batch(), 0.0).terms
    for name in ("kl_ensemble", "mse_ensemble", "kl_branches", "mse_branches"):
        gradients = teacher_gradients(terms[name], objective)
        assert any(gradient.abs().max() > 0 for gradient in gradients), name


def test_the_student_gets_no_gradient_from_the_teachers_cross_entropy() -> None:
    objective, _ = an_objective(ekd())
    term = objective(a_batch(), 0.0).terms["ce_teachers"]
    student = list(objective.student.parameters())
    assert torch.autograd.grad(term, student, allow_unused=True) == (None,) * len(student)


# EKD's loss against NumPy


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def numpy_kl(s: Array, t: Array, fields: dict[str, Any]) -> float:
    temperature = fields["temperature"]
    p, q = softmax(s), softmax(t / temperature)
    soft = softmax(s / temperature)
    total = {
        "torch": (q * np.log(q / p)).sum(),
        "softened": (q * np.log(q / soft)).sum(),
        "reverse": (p * np.log(p / q)).sum(),
        "literal": (p * (np.log(p) - q)).sum(),
    }[fields["kl_form"]]
    total = total / (s.size if fields["kl_reduction"] == "mean" else len(s))
    return float(total * (temperature**2 if fields["kl_scale"] == "temperature_squared" else 1))


def numpy_mse(s: Array, t: Array, fields: dict[str, Any]) -> float:
    if fields["mse_space"] == "probabilities":
        s, t = softmax(s), softmax(t)
    return float(((s - t) ** 2).sum() / (s.size if fields["mse_reduction"] == "mean" else len(s)))


def numpy_ce(z: Array, y: NDArray[np.int64]) -> float:
    return float(-np.log(softmax(z)[np.arange(len(y)), y]).mean())


def numpy_loss(q_s: Array, q_t: Array, y: NDArray[np.int64], fields: dict[str, Any]) -> float:
    """Eq. 5 with Eq. 8 for branches and teachers [N, B, K], written as the paper writes it."""
    n, p_s, p_t = len(q_s), q_s.sum(0), q_t.sum(0)
    distilled = numpy_kl(p_s, p_t, fields) + numpy_mse(p_s, p_t, fields)
    for i in range(n):
        chosen = {"aligned": [i], "reversed": [n - 1 - i], "all": range(len(q_t))}[
            fields["pairing"]
        ]
        distilled += float(
            np.mean([numpy_kl(q_s[i], q_t[j], fields) + numpy_mse(q_s[i], q_t[j], fields)
                     for j in chosen])
        )  # fmt: skip
    loss = fields["beta"] * numpy_ce(p_s, y) + fields["gamma"] * distilled
    if fields["teacher_update"] == "joint":
        loss += fields["alpha"] * numpy_ce(p_t, y)
    if fields["branch_ce"] == "each":
        loss += fields["beta"] * sum(numpy_ce(branch, y) for branch in q_s)
    return float(loss)


def readings() -> list[dict[str, Any]]:
    """Give every alternative of every named choice, one at a time, and the named sets."""
    found: list[dict[str, Any]] = [{}, {"alpha": 0.0}, {"beta": 0.0}, {"temperature": 2.5}]
    for field, info in METHODS["ekd"].model_fields.items():
        options = [option for option in get_args(info.annotation) if isinstance(option, str)]
        found += [{field: option} for option in options if option != info.default]
    found += [dict(fields) for fields in METHODS["ekd"].readings.values()]
    return found


@pytest.mark.parametrize("branches", [1, 3])
@pytest.mark.parametrize("reading", readings(), ids=str)
def test_every_reading_of_ekd_is_its_formula(reading: dict[str, Any], branches: int) -> None:
    method = ekd(**reading)
    objective, _ = an_objective(method, branches)
    objective.train()
    batch = a_batch()
    with torch.no_grad():
        q_s = objective.student(batch.x).branches.double().numpy()
        q_t = objective.teachers(batch.x).branches.double().numpy()
    expected = numpy_loss(q_s, q_t, batch.y.numpy(), method.model_dump())
    assert objective(batch, 0.0).loss.item() == pytest.approx(expected, rel=2e-4)


def test_batchnorm_of_teachers_follows_the_reading() -> None:
    for fields, equal in (({}, False), ({"teacher_mode": "eval"}, True), ({"alpha": 0.0}, True)):
        objective, teachers = an_objective(ekd(**fields))
        objective.train()
        x = a_batch().x
        stored = torch.stack([teacher.eval()(x).logits for teacher in teachers])
        assert torch.allclose(objective.teachers(x).branches, stored, atol=1e-5) is equal


def test_es_1_counts_kl_and_mse_twice() -> None:
    objective, _ = an_objective(ekd(), branches=1)
    terms = objective(a_batch(), 0.0).terms
    assert terms["kl_branches"].item() == pytest.approx(terms["kl_ensemble"].item(), rel=1e-6)
    assert terms["mse_branches"].item() == pytest.approx(terms["mse_ensemble"].item(), rel=1e-6)


def test_the_weights_of_the_paper_are_the_defaults() -> None:
    fields = ekd().model_dump()
    assert [fields[name] for name in ("alpha", "beta", "gamma", "temperature")] == [
        0.5,
        0.5,
        0.6,
        10,
    ]


# Plain


def test_plain_is_the_cross_entropy_of_the_summed_branches() -> None:
    objective, _ = an_objective(METHODS["plain"](), branches=3)
    batch = a_batch()
    with torch.no_grad():
        q = objective.student(batch.x).branches.double().numpy()
    assert objective(batch, 0.0).loss.item() == pytest.approx(
        numpy_ce(q.sum(0), batch.y.numpy()), rel=1e-5
    )


def test_independent_branches_get_the_gradient_that_each_would_get_alone() -> None:
    method = METHODS["plain"].model_validate({"branches": "independent"})
    objective, _ = an_objective(method, branches=2)
    batch = a_batch()
    objective(batch, 0.0).loss.backward()
    for branch in objective.student.branches:
        alone = copy.deepcopy(branch)
        alone.zero_grad()
        logits, _ = alone(batch.x)
        (-logits.log_softmax(-1)[torch.arange(BATCH), batch.y].mean()).backward()
        for found, expected in zip(branch.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-6)
