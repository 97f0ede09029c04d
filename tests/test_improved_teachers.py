"""Teachers as another method's run leaves them: `teachers_from`."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from planned import NOWHERE, PAIR, TAUGHT, asked, derived

from ekd.methods import architecture, discover
from ekd.plan import completed, flatten, lineage, sheets
from ekd.spec import SpecError
from ekd.spec.resolve import FieldError
from ekd.store import Store
from ekd.trainer import starting_nets

HINTON = ("data.name=cifar10", "method.name=hinton", "teachers=T1")
FROM_EKD = (*HINTON, "teachers_from.name=ekd")


def test_the_teacher_is_the_one_that_the_other_methods_run_leaves() -> None:
    run = derived(*FROM_EKD, seed=3)
    ekd = derived("data.name=cifar10", "method.name=ekd", "teachers=T1", seed=3)
    (teacher,) = run.teachers
    assert (teacher.run, teacher.net) == (ekd, "teacher-1")
    assert architecture(teacher).arch == "resnet14"
    assert [one.key for one in lineage(run)] == [ekd.teachers[0].run.key, ekd.key, run.key]
    assert run.key != derived(*HINTON, seed=3).key


def test_several_teachers_keep_their_order() -> None:
    run = derived(*TAUGHT, "teachers_from.name=ekd", "teachers_from.gamma=0.3")
    assert [parent.net for parent in run.teachers] == ["teacher-1", "teacher-2"]
    assert [architecture(parent).arch for parent in run.teachers] == ["resnet14", "resnet20"]
    (donor,) = {parent.run.key: parent.run for parent in run.teachers}.values()
    assert donor == derived(*TAUGHT, "method.gamma=0.3")


def test_a_method_without_teachers_takes_none_from_elsewhere_either() -> None:
    plain = ("data.name=cifar10", "teachers=T1")
    assert derived(*plain, "teachers_from.name=ekd").key == derived(*plain).key


def test_an_assistant_learns_from_the_improved_teacher() -> None:
    run = derived("data.name=cifar10", "method.name=takd", "teachers=resnet20",
                  "teachers_from.name=ekd")  # fmt: skip
    (assistant,) = run.teachers
    (teacher,) = assistant.run.teachers
    assert (assistant.net, assistant.run.student.arch) == ("student", "resnet14")
    assert (teacher.net, teacher.run.method.name()) == ("teacher-1", "ekd")
    assert architecture(teacher).arch == "resnet20"


@pytest.mark.parametrize("name", sorted(set(discover()) - {"ekd"}))
def test_a_method_that_trains_no_teacher_improves_none(name: str) -> None:
    with pytest.raises(FieldError, match=f"{name} leaves its teachers as they are") as error:
        derived(*HINTON, f"teachers_from.name={name}")
    assert error.value.path == "teachers_from.name"


def test_neither_does_one_whose_fields_keep_them_frozen() -> None:
    with pytest.raises(FieldError, match="ekd leaves its teachers as they are"):
        derived(*FROM_EKD, "teachers_from.teacher_update=frozen")


def test_wrong_fields_are_told_with_their_place() -> None:
    for text, said in (
        (
            "teachers_from.name=edk",
            "-s teachers_from.name=edk: no method 'edk' (did you mean 'ekd'",
        ),
        ("teachers_from=3", "-s teachers_from=3: no cell has the field 'teachers_from'"),
        ("teachers_from.gama=0.3", "no cell has the field 'teachers_from.gama'"),
    ):
        with pytest.raises(SpecError) as error:
            sheets(asked(PAIR, overrides=(text,)), NOWHERE)
        assert said in str(error.value)


def test_its_fields_can_be_set_once_it_is_named() -> None:
    both = ("teachers_from.name=ekd", "teachers_from.gamma=0.3")
    plan = flatten(sheets(asked(PAIR, overrides=both), NOWHERE))
    gammas = [e.run.method.model_dump().get("gamma") for e in plan]
    assert gammas == [None, None, 0.3, 0.6]


def test_the_student_really_gets_the_improved_weights(tiny_npz: Path, tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    ekd = tiny.ekd(tiny.data(tiny_npz))
    tiny.trained(ekd, store)
    hinton = derived(*HINTON).method
    alone = ekd.model_copy(update={"method": hinton})
    improved = completed(alone.model_copy(update={"teachers": ()}), ("resnet8",), ekd.method)
    tiny.trained(improved.teachers[0].run, store)
    _, (given,) = starting_nets(improved, tiny.CLASSES, store)
    (donor,) = {parent.run.key: parent.run for parent in improved.teachers}.values()
    _, (before,) = starting_nets(donor, tiny.CLASSES, store)
    weights = store.folder(donor).read_output("weights.safetensors")
    for name, value in given.state_dict().items():
        assert value.numpy().tobytes() in weights, name
    first = "branches.0.linear.weight"
    assert not torch.equal(given.state_dict()[first], before.state_dict()[first])
    assert tiny.trained(improved, store).status() == "done"


def test_fields_of_a_method_that_is_not_named_are_refused() -> None:
    with pytest.raises(FieldError, match="whose teachers"):
        derived(*HINTON, "teachers_from.gamma=0.3")
