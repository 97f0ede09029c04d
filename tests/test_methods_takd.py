"""TAKD: its chain from teacher to assistant to student, and the loss of each link."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import tiny
from known_logits import ce, kl, known, labelled
from planned import asked, derived

from ekd.methods import Method
from ekd.methods.hinton import Hinton
from ekd.methods.takd import Takd
from ekd.plan import flatten, sheets
from ekd.plan.plan import lineage
from ekd.spec import Model, Parent, Run, SpecError
from ekd.spec.resolve import FieldError
from ekd.store import Store
from ekd.trainer import starting_nets

CELL = ("data.name=cifar10", "method.name=takd")
STUDENT, ASSISTANT, LABEL = [1.0, -0.5, 0.25], [2.0, 3.0, -1.0], 2
S, A = np.array(STUDENT), np.array(ASSISTANT)


def taught(teachers: str = "resnet26", *more: str, seed: int = 0) -> Run:
    return derived(*CELL, f"teachers={teachers}", *more, seed=seed)


def archs(run: Run) -> list[str]:
    return [f"{link.method.name()} {link.student.arch}" for link in lineage(run)]


# The chain


def test_the_chain_is_teacher_then_assistant_then_student() -> None:
    run = taught(seed=3)
    assert archs(run) == ["plain resnet26", "hinton resnet14", "takd resnet8"]
    assert {link.seed for link in lineage(run)} == {3}
    assert len({link.recipe for link in lineage(run)}) == 1


def test_each_link_has_its_own_weight_and_temperature() -> None:
    fields = ("method.assistant_weight=0.4", "method.assistant_temperature=10",
              "method.weight=0.2", "method.temperature=2")  # fmt: skip
    run = taught("resnet26", *fields)
    assert run.teachers[0].run.method == Hinton(weight=0.4, temperature=10.0)
    found = cast(Method, run.method).objective(known(STUDENT), [known(ASSISTANT)])
    terms = {name: term.item() for name, term in found(labelled(LABEL), 0.9).terms.items()}
    expected = {"ce_student": 0.8 * ce(S, LABEL), "kd": 0.2 * 4 * kl(A, S, 2)}
    assert terms == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("reading", "classes"), [("paper", 1), ("code", 3)])
def test_the_code_divides_the_kl_of_both_links_by_the_number_of_classes(
    reading: str, classes: int
) -> None:
    run = taught("resnet26", f"readings.name={reading}")
    reductions = [link.method.model_dump()["reduction"] for link in (run.teachers[0].run, run)]
    assert reductions == [{"paper": "batchmean", "code": "mean"}[reading]] * 2
    found = cast(Method, run.method).objective(known(STUDENT), [known(ASSISTANT)])
    kd = found(labelled(LABEL), 0.0).terms["kd"].item()
    assert kd == pytest.approx(0.15 * 25 * kl(A, S, 5) / classes, rel=1e-4)


def test_the_assistant_is_the_run_that_a_row_of_the_same_distillation_shows() -> None:
    same = ("method.name=hinton", "method.weight=0.5", "method.temperature=5",
            "teachers=resnet26", "student.arch=resnet14")  # fmt: skip
    assert taught().teachers[0].run.key == derived("data.name=cifar10", *same).key


@pytest.mark.parametrize("teacher_data", ["subset", "full"])
def test_the_assistant_sees_what_the_teacher_sees(teacher_data: str) -> None:
    part = ("data.fraction=0.1", "data.holdout=0.1", f"data.teacher_data={teacher_data}")
    run = taught("resnet26", *part)
    assistant = run.teachers[0].run
    assert run.data.fraction == 0.1
    assert assistant.data == assistant.teachers[0].run.data
    assert assistant.data.fraction == {"subset": 0.1, "full": 1.0}[teacher_data]
    whole = derived("data.name=cifar10", "data.holdout=0.1", "teachers=resnet26",
                    "method.name=hinton", "method.weight=0.5", "method.temperature=5",
                    "student.arch=resnet14",
                    f"data.fraction={assistant.data.fraction}")  # fmt: skip
    assert assistant.key == whole.key


def test_the_chain_is_made_once() -> None:
    run = taught()
    assert cast(Method, run.method).chain(run) == run
    assert cast(Method, run.method).chain(run).key == run.key


def test_every_field_makes_another_key() -> None:
    changes = ["assistant=resnet20", "assistant_weight=0.1", "assistant_temperature=1",
               "weight=0.1", "temperature=1", "reduction=mean"]  # fmt: skip
    keys = {taught("resnet26", f"method.{change}").key for change in changes} | {taught().key}
    assert len(keys) == 7
    links = {taught("resnet26", f"method.{c}").teachers[0].run.key for c in changes}
    assert len(links) == 5  # the student's own weight and temperature leave the assistant alone


# What is refused


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (("teachers=resnet8",), "the assistant resnet14 is larger than its teacher resnet8"),
        (("teachers=resnet26", "method.assistant=resnet32"), "resnet32 is larger than its teacher"),
        (("teachers=resnet26", "method.assistant=resnet8"), "resnet8 is not larger than the stud"),
        (("teachers=resnet26", "student.arch=resnet14"), "not larger than the student resnet14"),
        (("teachers=resnet26", "student.arch=resnet20"), "not larger than the student resnet20"),
        (("teachers=T1-T2",), "takes 1, not 2"),
        (("teachers=[]",), "needs teachers"),
        (("teachers=T3", "method.assistant=resnet15"), "nearest are resnet14 and resnet20"),
    ],
)  # fmt: skip
def test_an_assistant_that_is_not_between_is_refused(fields: tuple[str, ...], told: str) -> None:
    with pytest.raises(FieldError, match=told):
        derived(*CELL, *fields)


def test_an_assistant_of_the_teachers_size_is_taken() -> None:
    run = taught("resnet14")
    assert archs(run) == ["plain resnet14", "hinton resnet14", "takd resnet8"]
    assert len({link.key for link in lineage(run)}) == 3


# The whole training


def tiny_chain(path: Path) -> Run:
    source = tiny.data(path)
    teacher = tiny.plain(source).model_copy(update={"student": Model(arch="resnet14")})
    method = Takd()
    changes = {"method": method, "teachers": (Parent(run=teacher),)}
    return method.chain(tiny.plain(source).model_copy(update=changes))


def test_two_chains_are_bit_equal(tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny_chain(tiny_npz)
    kept = []
    for name in ("first", "second"):
        store = Store(tmp_path / name).open()
        tiny.trained(run, store)
        kept.append([tiny.content(store.folder(link)) for link in lineage(run)])
        assert [store.folder(link).status() for link in lineage(run)] == ["done"] * 3
    assert kept[0] == kept[1]


def test_the_student_learns_from_the_assistant_not_from_the_teacher(
    tiny_npz: Path, tmp_path: Path
) -> None:
    store, run = Store(tmp_path).open(), tiny_chain(tiny_npz)
    tiny.trained(run, store)
    _, (held,) = starting_nets(run, tiny.CLASSES, store)
    assert held.arch == "resnet14"
    assistant, teacher = (
        store.folder(link).read_output("weights.safetensors")
        for link in (run.teachers[0].run, run.teachers[0].run.teachers[0].run)
    )
    weight = held.state_dict()["branches.0.linear.weight"].numpy().tobytes()
    assert weight in assistant
    assert weight not in teacher


def test_the_plan_trains_the_chain_in_order(tmp_path: Path, tiny_npz: Path) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz)
    column = '[[columns]]\nlabel = "takd"\nset = { method.name = "takd", teachers = "resnet26" }\n'
    spec.write_text(spec.read_text() + column)
    plan = flatten(sheets(asked(str(spec)), tmp_path))
    chain = [entry for entry in plan if entry.run.method.name() in ("hinton", "takd")]
    assert [entry.run.method.name() for entry in chain] == ["hinton", "takd"]
    assert [entry.is_teacher for entry in chain] == [True, False]


# Mutants


def check() -> None:
    """Both links of a chain are as they should be."""
    run = taught("resnet26", "method.assistant_temperature=2", "method.temperature=3")
    assert archs(run) == ["plain resnet26", "hinton resnet14", "takd resnet8"]
    assert cast(Method, run.method).chain(run) == run
    assert cast(Method, run.method).refuses(run) is None
    for link, weight, temperature in ((run.teachers[0].run, 0.5, 2), (run, 0.15, 3)):
        found = cast(Method, link.method).objective(known(STUDENT), [known(ASSISTANT)])
        terms = {name: term.item() for name, term in found(labelled(LABEL), 0.5).terms.items()}
        kd = weight * temperature**2 * kl(A, S, temperature)
        expected = {"ce_student": (1 - weight) * ce(S, LABEL), "kd": kd}
        assert terms == pytest.approx(expected, rel=1e-4)


ORIGINAL_CHAIN, ORIGINAL_LINK = Takd.chain, Takd._link


def again(self: Takd, run: Run) -> Run:
    teacher = run.teachers[0]
    changes = {"student": Model(arch=self.assistant), "method": Hinton(), "teachers": (teacher,)}
    assistant = Parent(run=teacher.run.model_copy(update=changes))
    return run.model_copy(update={"teachers": (assistant,)})


def link_with(**changes: Any) -> Callable[..., Hinton]:
    def mutant(self: Takd, weight: float, temperature: float) -> Hinton:
        made = ORIGINAL_LINK(self, weight, temperature)
        return made.model_copy(update=changes)

    return mutant


def complement(self: Takd, weight: float, temperature: float) -> Hinton:
    return ORIGINAL_LINK(self, 1 - weight, temperature)


def same_link(self: Takd, run: Run) -> Run:
    like_student = {"assistant_weight": self.weight, "assistant_temperature": self.temperature}
    return ORIGINAL_CHAIN(self.model_copy(update=like_student), run)


MUTANTS: dict[str, tuple[str, Any]] = {
    "no assistant": ("chain", lambda self, run: run),
    "an assistant of the assistant": ("chain", again),
    "one weight and temperature for both links": ("chain", same_link),
    "lambda on the labels": ("_link", complement),
    "KL divided by the number of classes": ("_link", link_with(reduction="mean")),
    "no T^2": ("_link", link_with(scale="none")),
    "a temperature that is never applied": ("_link", link_with(temperature=4.0)),
    "a weight that falls": ("_link", link_with(weight_at_end=0.0)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_check_fails_for_every_mutant(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check()
    attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(Takd, attribute, mutant)
    with pytest.raises((AssertionError, SpecError)):
        check()
