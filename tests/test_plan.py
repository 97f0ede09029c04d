"""A request: unique trainings in order, filters and progress."""

from __future__ import annotations

from pathlib import Path

import pytest
from planned import NOWHERE, PAIR, asked, derived

from ekd.plan import flatten, generation, lineage, progress, sheets, without_sharing
from ekd.spec.fields import Condition, literal
from ekd.store import Store

# Requests


def test_every_run_stands_once_after_those_that_it_learns_from() -> None:
    plan = flatten(sheets(asked("table1", "fig4"), NOWHERE))
    keys = [entry.run.key for entry in plan]
    assert len(keys) == len(set(keys))
    for position, entry in enumerate(plan):
        for parent in entry.run.parents():
            assert keys.index(parent.run.key) < position
    assert [generation(entry.run) for entry in plan] == sorted(
        generation(entry.run) for entry in plan
    )


def test_a_run_names_who_asks_for_it() -> None:
    plan = {entry.run.key: entry for entry in flatten(sheets(asked(PAIR), NOWHERE))}
    student = derived("data.name=cifar10", "method.name=ekd", "teachers=T1")
    teacher = student.teachers[0].run
    assert plan[student.key].asked_by == ("pair: ekd | CIFAR-10",)
    assert not plan[student.key].is_teacher
    assert plan[teacher.key].asked_by == (f"run {student.key}",)
    assert plan[teacher.key].is_teacher


def test_a_teacher_that_a_cell_shows_is_not_only_a_teacher() -> None:
    found = sheets(asked("table2"), NOWHERE)
    assert not any(entry.is_teacher for entry in flatten(found))
    teachers = flatten(found, only_teachers=True)
    assert len(teachers) == 21
    assert {entry.run.method.name() for entry in teachers} == {"plain"}


def test_seeds_multiply_the_runs_and_the_exhibits_own_are_the_default() -> None:
    found = sheets(asked(PAIR, seeds=None), NOWHERE)[0]
    assert found.seeds == (0, 1, 2)
    assert [run.seed for run in found.runs[0, 0]] == [0, 1, 2]
    assert len(flatten([found])) == 9
    assert sheets(asked("fig2", seeds=None), NOWHERE)[0].seeds == (0,)


def test_an_exhibit_named_twice_is_planned_once() -> None:
    assert len(sheets(asked(PAIR, PAIR), NOWHERE)) == 1


def test_an_override_touches_the_cells_that_have_the_field() -> None:
    before = sheets(asked(PAIR), NOWHERE)[0]
    after = sheets(asked(PAIR, overrides=("method.alpha=1",)), NOWHERE)[0]
    plain, ekd = (0, 0), (1, 0)
    assert after.runs[plain] == before.runs[plain]
    assert after.runs[ekd][0].key != before.runs[ekd][0].key
    assert after.runs[ekd][0].method.model_dump()["alpha"] == 1


def test_overrides_come_after_the_scale_and_in_order() -> None:
    overrides = ("recipe.epochs=1", "recipe.epochs=2")
    found = sheets(asked(PAIR, scale="smoke", overrides=overrides), NOWHERE)[0]
    runs = [run for runs in found.runs.values() for run in runs]
    assert {ancestor.recipe.epochs for run in runs for ancestor in lineage(run)} == {2}


def test_where_filters_cells_on_written_and_on_default_fields() -> None:
    for where, cells in (
        (("student.branches<=2",), 12),
        (("student.branches<=2", "method.name=ekd"), 6),
        (("data.name!=cifar10",), 28),
        (("recipe.epochs=500",), 42),
        (("method.temperature=10",), 21),
        (("teachers=T1",), 6),
        (("data.fraction>=1",), 42),
    ):
        assert len(sheets(asked("table1", where=where), NOWHERE)[0].asked) == cells, where


def test_filtered_cells_bring_their_teachers_and_no_others() -> None:
    where = ("student.branches=2", "method.name=ekd", "data.name=cifar10")
    plan = flatten(sheets(asked("table1", where=where), NOWHERE))
    assert [entry.run.student.arch for entry in plan] == ["resnet14", "resnet20", "resnet8"]


def test_without_sharing_counts_every_cells_own_trainings() -> None:
    found = sheets(asked(PAIR), NOWHERE)
    assert without_sharing(found) == 1 + 2
    assert without_sharing(found * 2) == 6


def test_progress_tells_each_run_and_what_a_failure_blocks(tmp_path: Path) -> None:
    plan = flatten(sheets(asked(PAIR), NOWHERE))
    store = Store(tmp_path).open()
    assert set(progress(plan, store).values()) == {"missing"}
    teacher = next(entry.run for entry in plan if entry.is_teacher)
    student = next(entry.run for entry in plan if entry.run.teachers)
    store.folder(teacher).write_failure("failed", "no", "trace")
    found = progress(plan, store)
    assert found.pop(teacher.key) == "failed"
    assert found.pop(student.key) == "blocked"
    assert set(found.values()) == {"missing"}
    store.folder(teacher).write_failure("diverged", "no", "trace")
    found = progress(plan, store)
    assert (found[teacher.key], found[student.key]) == ("diverged", "blocked")


# Fields on the command line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.0", 3.0),
        ("true", True),
        ("[0.5, 1]", [0.5, 1]),
        ("resnet8", "resnet8"),
        ('"3"', "3"),
        ("2020-01-01", "2020-01-01"),
        ("", ""),
    ],
)
def test_a_value_is_read_as_toml_or_else_as_text(text: str, value: object) -> None:
    assert literal(text) == value
    assert type(literal(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "holds"),
    [("a.b=2", True), ("a.b!=2", False), ("a.b<3", True), ("a.b<=1", False), ("a.b > 1", True),
     ("a.b>=3", False), ("a.c=2", False), ("a.b.c=2", False)],
)  # fmt: skip
def test_a_condition_compares_and_a_missing_field_never_matches(text: str, holds: bool) -> None:
    assert Condition.parse(text).holds({"a": {"b": 2}}) is holds
