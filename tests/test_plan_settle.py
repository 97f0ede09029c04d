"""Fields that cannot matter do not split a key, and do where they matter."""

from __future__ import annotations

import pytest
from planned import derived

WITHOUT_EFFECT = [
    "student.combine=mean",
    "data.teacher_data=full",
    "data.sampling=iid",
    "data.subset_seed=5",
    "recipe.budget=steps",
    "recipe.momentum=0.5",
    "recipe.nesterov=true",
    "method.pairing=reversed",
]


@pytest.mark.parametrize("text", WITHOUT_EFFECT)
def test_a_field_without_effect_does_not_split_a_key(text: str) -> None:
    cell = ("data.name=cifar10", "method.name=ekd", "teachers=T1")
    assert derived(*cell, text).key == derived(*cell).key


def test_the_same_fields_make_a_key_where_they_have_an_effect() -> None:
    cell = ("data.name=cifar10", "method.name=ekd", "teachers=T1-T2", "student.branches=2",
            "data.fraction=0.1", "recipe.optimizer=sgd")  # fmt: skip
    assert len({derived(*cell, text).key for text in [*WITHOUT_EFFECT, cell[0]]}) == 9


def test_one_branch_with_several_teachers_still_combines_them() -> None:
    cell = ("data.name=cifar10", "method.name=ekd", "method.pairing=all", "teachers=T1-T3")
    assert derived(*cell, "student.combine=mean").student.combine == "mean"
    assert derived(*cell, "student.combine=mean").key != derived(*cell).key


def test_a_teacher_of_the_full_data_is_the_one_of_the_whole_set() -> None:
    part = derived("data.name=cifar10", "data.fraction=0.1", "data.sampling=iid",
                   "data.teacher_data=full", "method.name=ekd", "teachers=T1")  # fmt: skip
    assert part.teachers[0].run.key == derived("data.name=cifar10", "student.arch=resnet14").key
