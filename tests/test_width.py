"""Students of other widths than the paper's."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from ekd.cost import network_cost, parameters
from ekd.methods import discover
from ekd.models import CompNet
from ekd.spec import Model, Parent
from ekd.spec.resolve import FieldError
from ekd.store import Store
from ekd.sweep.asked import Options, ask
from ekd.sweep.point import beyond_limits, trial_run


def convolution(inputs: int, outputs: int, kernel: int) -> int:
    return inputs * outputs * kernel**2 + 2 * outputs  # with its BatchNorm


def test_width_scales_every_stage() -> None:
    width, classes = 12, 10
    stages = [width, 2 * width, 4 * width]
    expected = convolution(3, width, 3) + 4 * width * classes + classes
    for inputs, outputs in zip([width, *stages], stages, strict=False):
        expected += convolution(inputs, outputs, 3) + convolution(outputs, outputs, 3)
        expected += convolution(inputs, outputs, 1) if inputs != outputs else 0
    assert parameters(CompNet("resnet8", 1, classes, width=width)) == expected
    assert network_cost("resnet8", 2, classes, 16, width).parameters == 2 * expected
    assert network_cost("resnet8", 1, classes, 16) == network_cost("resnet8", 1, classes, 16, 16)


def test_the_usual_width_is_in_no_key(tiny_npz: Path) -> None:
    run = tiny.plain(tiny.data(tiny_npz))
    changed = [run.model_copy(update={"student": Model(width=width)}).key for width in (16, 8)]
    assert changed[0] == run.key != changed[1]


@pytest.mark.parametrize("method", ["ekd", "fitnet", "attention", "hinton"])
def test_a_student_of_another_width_learns_from_the_usual_teacher(
    tiny_npz: Path, store: Store, method: str
) -> None:
    source = tiny.data(tiny_npz)
    teacher = tiny.plain(source, 100, epochs=1)
    run = tiny.plain(source, epochs=1).model_copy(
        update={
            "student": Model(width=8),
            "method": discover()[method](),
            "teachers": (Parent(run=teacher),),
        }
    )
    run = discover()[method]().chain(run)
    found = tiny.trained(run, store).result()
    assert found["parameters"] == network_cost("resnet8", 1, 3, 8, 8).parameters


def test_a_method_that_compares_channels_refuses_another_width() -> None:
    overrides = ("student.width=8", "student.branches=1", "teachers=T1")
    options = Options("capacity", method="fsp", overrides=overrides)
    with pytest.raises(Exception, match=r"student\.width is 16"):
        ask(options, Path("nowhere"))


def test_capacity_is_searched_under_a_limit() -> None:
    study = ask(Options("capacity"), Path("nowhere")).attributes
    assert study["directions"] == ["maximize", "minimize"]
    small = {"student.branches": 3, "student.arch": "resnet8", "student.width": 16}
    run = trial_run(study, small, 0, Path("nowhere"))
    assert len(run.teachers) == 3
    assert beyond_limits(study, run, Path("nowhere")) is None
    large = {"student.branches": 7, "student.arch": "resnet20", "student.width": 24}
    run = trial_run(study, large, 0, Path("nowhere"))
    assert str(beyond_limits(study, run, Path("nowhere"))).endswith("the limit is 400,000")
    with pytest.raises(FieldError, match="nearest are resnet8"):
        trial_run(study, {**small, "student.arch": "resnet9"}, 0, Path("nowhere"))
