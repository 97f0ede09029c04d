"""Every method keeps the contract: the battery of `ekd.testing`, and what it builds on."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_objectives import CLASSES, METHODS, a_batch, a_net, a_run

from ekd.methods import FORWARD, FORWARD_AND_BACKWARD, InEval, Method, copied, frozen
from ekd.models import CompNet
from ekd.spec import Parent
from ekd.store import Store
from ekd.testing import CHECKS
from ekd.trainer.build import build

BUILDER = importlib.import_module("ekd.trainer.build")

# Every method


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_keeps_its_promises(name: str, check: Callable[[Method], None]) -> None:
    check(METHODS[name]())


def test_methods_are_named_after_their_files() -> None:
    assert {"plain", "ekd"} <= set(METHODS)
    for name, found in METHODS.items():
        assert found.name() == name
        assert Path(inspect.getfile(found)).stem == name


def test_a_pass_through_a_teacher_costs_something_and_the_student_is_trained() -> None:
    for kind in METHODS.values():
        run = a_run(kind())
        assert kind().teacher_passes(run) >= FORWARD
        assert kind().student_passes(run) >= FORWARD_AND_BACKWARD


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
