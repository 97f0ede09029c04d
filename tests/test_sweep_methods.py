"""Searching another method by name: its own bounded fields, cut to what it accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekd.methods import discover
from ekd.spec import SpecError
from ekd.sweep.asked import Asked, Options, ask
from ekd.sweep.point import trial_run

NOWHERE = Path("no-such-data-root")
WITHOUT = {"mutual": "no number with bounds", "plain": "no number with bounds"}


def asked(method: str, *overrides: str) -> Asked:
    return ask(Options("hparams", method=method, overrides=overrides), NOWHERE)


@pytest.mark.parametrize("method", sorted(set(discover()) - {"ekd"}))
def test_hparams_searches_any_method_that_has_something_to_search(method: str) -> None:
    branches = "student.branches=1"  # FSP takes no more
    if method in WITHOUT:
        with pytest.raises(SpecError, match=WITHOUT[method]):
            asked(method, branches)
        return
    found = asked(method, branches)
    space = found.attributes["space"]
    assert all(field.startswith("method.") for field in space)
    for end in ("low", "high"):
        point = {f: int(d[end]) if d.get("integer") else d[end] for f, d in space.items()}
        run = trial_run(found.attributes, point, 0, NOWHERE)
        assert run.method.name() == method


def test_a_range_ends_where_the_method_refuses_to_go_on() -> None:
    assert asked("hinton").attributes["space"]["method.weight"] == {"low": 0.0, "high": 1.0}
    free = asked("hinton", "method.label_weight=one").attributes["space"]["method.weight"]
    assert free == {"low": 0.0, "high": 100.0}
