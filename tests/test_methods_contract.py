"""Every method keeps the contract: loss, randomness, and what it does with its teachers."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch
from tiny_objectives import (
    BATCH,
    CLASSES,
    METHODS,
    a_batch,
    a_net,
    a_run,
    an_objective,
    kept,
    moved,
    two_adam_steps,
)

from ekd.methods import InEval, Method, copied, frozen
from ekd.models import CompNet, initialise
from ekd.spec import Parent
from ekd.store import Store
from ekd.trainer.build import build

BUILDER = importlib.import_module("ekd.trainer.build")

# Every method


@pytest.fixture(params=sorted(METHODS))
def kind(request: pytest.FixtureRequest) -> type[Method]:
    return METHODS[request.param]


def test_methods_are_named_after_their_files() -> None:
    assert {"plain", "ekd"} <= set(METHODS)
    for name, found in METHODS.items():
        assert found.name() == name
        assert Path(inspect.getfile(found)).stem == name


def test_a_method_says_where_it_comes_from(kind: type[Method]) -> None:
    text = inspect.getdoc(kind) or ""
    assert re.search(r"arXiv \d{4}\.\d{4,5}|doi|Table \d", text)


def test_every_field_is_explained_and_has_a_default(kind: type[Method]) -> None:
    for field, info in kind.model_fields.items():
        assert info.description, f"{field} has no docstring under it"
        assert not info.is_required(), f"{field} has no default"


def test_fields_survive_json(kind: type[Method]) -> None:
    method = kind()
    assert kind.model_validate_json(method.model_dump_json(), strict=True) == method


def test_named_readings_are_valid_fields(kind: type[Method]) -> None:
    for fields in kind.readings.values():
        assert kind.model_validate(dict(fields)).model_dump().items() >= fields.items()


def test_the_default_method_accepts_its_own_run(kind: type[Method]) -> None:
    method = kind()
    assert method.refuses(a_run(method)) is None
    assert method.teacher_passes() >= 1


def test_the_loss_is_the_sum_of_its_terms(kind: type[Method]) -> None:
    objective, _ = an_objective(kind())
    step = objective(a_batch(), 0.5)
    assert step.loss.item() == pytest.approx(sum(t.item() for t in step.terms.values()), rel=1e-6)
    assert step.logits.shape == (BATCH, CLASSES)
    assert step.loss.requires_grad
    assert all(term.ndim == 0 for term in step.terms.values())


def test_the_same_seed_gives_the_same_loss(kind: type[Method]) -> None:
    losses = [an_objective(kind())[0](a_batch(), 0.25).loss.item() for _ in range(2)]
    assert losses[0] == losses[1]


def test_a_step_leaves_the_global_random_state_alone(kind: type[Method]) -> None:
    before = torch.get_rng_state()
    objective, _ = an_objective(kind())
    objective(a_batch(), 0.0).loss.backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_teachers_handed_over_stay_bit_equal_and_the_student_moves(kind: type[Method]) -> None:
    objective, teachers = an_objective(kind())
    before, student = [kept(t) for t in teachers], kept(objective.student)
    two_adam_steps(objective)
    assert not any(moved(b, t) for b, t in zip(before, teachers, strict=True))
    assert moved(student, objective.student)


def test_every_net_of_a_finished_run_is_named(kind: type[Method]) -> None:
    objective, teachers = an_objective(kind())
    names = [name for name, _ in objective.nets()]
    assert names == ["student", *(f"teacher-{i + 1}" for i in range(len(teachers)))]
    plain = set(a_net(0).state_dict())
    for name, net in objective.nets():
        assert isinstance(net, CompNet)
        assert name == "student" or set(net.state_dict()) == plain


def test_the_student_starts_alike_under_every_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BUILDER, "load_net", lambda net, parent, store: None)
    starts = []
    for kind in METHODS.values():
        run = a_run(kind())
        starts.append(kept(build(run, CLASSES, Store(Path("nowhere"))).student))
    expected = CompNet("resnet8", 2, CLASSES)
    initialise(expected, "kaiming", 0)
    for start in starts:
        assert not moved(start, expected)


def test_a_run_that_starts_from_another_takes_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[CompNet, Parent]] = []
    monkeypatch.setattr(
        BUILDER, "load_net", lambda net, parent, store: loaded.append((net, parent))
    )
    parent = Parent(run=a_run(METHODS["plain"]()))
    run = a_run(METHODS["plain"]()).model_copy(update={"start": parent})
    objective = build(run, CLASSES, Store(Path("nowhere")))
    assert loaded == [(objective.student, parent)]


# What a method does with its teachers


def test_frozen_gives_no_parameters_and_stays_in_eval() -> None:
    net = a_net(1)
    still = frozen(net)
    assert list(still.parameters()) == []
    assert set(still.net.state_dict()) == set(net.state_dict())
    still.train()
    assert not any(module.training for module in still.modules())
    x = a_batch().x
    assert torch.equal(still(x).logits, net.eval()(x).logits)
    assert not still(x).logits.requires_grad


def test_copied_gives_a_trainable_copy() -> None:
    net = a_net(1).requires_grad_(False)
    copy_of = copied(net)
    assert all(parameter.requires_grad for parameter in copy_of.parameters())
    assert not any(parameter.requires_grad for parameter in net.parameters())
    still = copied(net, always_eval=True)
    assert isinstance(still, InEval)
    assert not still.train().net.training
