"""Methods of two runs: how they share the epochs, what the second starts from, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from planned import asked, derived
from staged import both, hint_of, stage

from ekd.methods import discover
from ekd.plan import flatten, sheets
from ekd.plan.plan import lineage
from ekd.spec import Run
from ekd.spec.resolve import FieldError

CELL = ("data.name=cifar10", "teachers=T3", "recipe.epochs=50", "recipe.milestones=[0.5]")


def planned(name: str, *texts: str) -> Run:
    return derived(*CELL, f"method.name={name}", *texts)


# The chain


@both
@pytest.mark.parametrize(
    ("epochs", "share", "expected"),
    [(50, 0.4, (20, 30)), (4, 0.4, (2, 2)), (2, 0.01, (1, 1)), (3, 0.99, (2, 1)), (7, 0.5, (4, 3))],
)
def test_the_hint_run_takes_its_share_of_the_epochs(
    name: str, epochs: int, share: float, expected: tuple[int, int]
) -> None:
    run = planned(name, f"recipe.epochs={epochs}", f"method.hint_share={share}")
    assert (hint_of(run).epochs, run.epochs) == expected


@both
def test_the_hint_run_is_the_same_run_before_the_labels_come_in(name: str) -> None:
    run = planned(name, "method.hint_lr=0.003", "data.holdout=0.1", 'recipe.selection="best"')
    hint = hint_of(run)
    assert hint.method == discover()[name].model_validate({"stage": "hint"})
    assert (hint.student, hint.data, hint.seed) == (run.student, run.data, run.seed)
    changed = {"epochs": 20, "lr": 0.003, "selection": "last", "evaluations": 1}
    assert hint.recipe == run.recipe.model_copy(update=changed)
    assert (run.recipe.epochs, run.recipe.lr, run.recipe.selection) == (30, 0.01, "best")
    assert [parent.run.student.arch for parent in hint.teachers] == ["resnet26"]
    assert hint.teachers[0].run.recipe.epochs == 50
    assert hint.start is None


def test_fitnet_needs_its_teacher_in_both_runs_and_fsp_in_the_hint_run() -> None:
    fitnet, fsp = planned("fitnet"), planned("fsp")
    assert fitnet.teachers == hint_of(fitnet).teachers
    assert fsp.teachers == ()
    for run in (fitnet, fsp):
        archs = [(each.student.arch, each.method.name()) for each in lineage(run)]
        assert archs[0] == ("resnet26", "plain")
        assert archs[-2:] == [("resnet8", run.method.name())] * 2


@both
def test_the_chain_is_made_once_and_leaves_a_hint_run_alone(name: str) -> None:
    run = planned(name)
    method: Any = run.method
    assert method.chain(run) == run
    hint = hint_of(run)
    hint_method: Any = hint.method
    assert hint_method.chain(hint) == hint


@both
def test_fields_that_the_hint_run_does_not_see_do_not_split_it(name: str) -> None:
    first = hint_of(planned(name))
    same = ["student.combine=mean", "recipe.momentum=0.5", "data.sampling=iid",
            "data.teacher_data=full"]  # fmt: skip
    if name == "fitnet":
        same += ["method.temperature=5", "method.weight_at_end=2"]
    for text in same:
        assert hint_of(planned(name, text)).key == first.key, text
    different = ["method.hint_lr=0.5", "method.hint_share=0.2", "recipe.weight_decay=0"]
    keys = {hint_of(planned(name, text)).key for text in different}
    assert len(keys | {first.key}) == 4
    assert len({planned(name, text).key for text in different} | {planned(name).key}) == 4


@both
def test_the_budget_in_steps_gives_both_runs_more_epochs(name: str) -> None:
    run = planned(name, "data.fraction=0.1", 'recipe.budget="steps"')
    assert (hint_of(run).epochs, run.epochs) == (200, 300)


@both
def test_teachers_of_the_full_data_reach_the_hint_run(name: str) -> None:
    run = planned(name, "data.fraction=0.1", "data.teacher_data=full")
    assert hint_of(run).teachers[0].run.data.fraction == 1
    assert run.key != planned(name, "data.fraction=0.1").key


# Refusals


@both
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('method.stage="hint"', "a hint run has no accuracy"),
        ("recipe.epochs=1", "recipe.epochs is 2 or more"),
        ("teachers=T1-T2", "takes 1, not 2"),
        ("teachers=[]", "needs teachers"),
        ("method.hint_share=1.0", "hint_share"),
        ("method.hint_lr=0.0", "hint_lr"),
    ],
)
def test_what_cannot_be_trained_is_refused(name: str, text: str, reason: str) -> None:
    with pytest.raises(FieldError, match=reason):
        planned(name, text)


@both
def test_no_cell_shows_a_hint_run(name: str, tmp_path: Path, tiny_npz: Path) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz)
    spec.write_text(spec.read_text().replace('method.name = "ekd"', f'method.name = "{name}"'))
    (sheet,) = found = sheets(asked(str(spec)), tmp_path)
    (hint,) = [entry for entry in flatten(found) if stage(entry.run) == "hint"]
    assert hint.is_teacher
    assert [stage(run) for runs in sheet.runs.values() for run in runs] == [None, "main"]
