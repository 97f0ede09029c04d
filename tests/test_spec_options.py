"""A wrong -s or --where is one sentence that names the option and helps."""

from __future__ import annotations

from pathlib import Path

import pytest
from wrong_specs import TABLE, error_of

OPTIONS = [
    ("recipe.epochs", "-s 'recipe.epochs'", "expected field=value"),
    ("=3", "-s '=3'", "expected field=value"),
    ("recipe.epoch=3", "-s recipe.epoch=3", "did you mean 'recipe.epochs'?"),
    ("recipe.epochs=x", "-s recipe.epochs=x", "a whole number, not 'x'"),
    ("recipe.epochs=", "-s recipe.epochs=", "a whole number, not ''"),
    ("recipe.lr=-1", "-s recipe.lr=-1", "greater than 0, not -1"),
    ("data.name=cifar", "-s data.name=cifar", "did you mean 'cifar10'?"),
    ("data.name=2020-01-01", "-s data.name=2020-01-01", "unknown data set '2020-01-01'"),
    ("student.arch=resnet10", "-s student.arch=resnet10", "resnet8 and resnet14"),
    ("teachers=T8", "-s teachers=T8", "T1 to T7"),
    ("teachers=T1-T2", "-s teachers=T1-T2", "takes 1, not 2"),
    ("method.kl_form=torch2", "-s method.kl_form=torch2", "did you mean 'torch'?"),
    ("method.alpha=nan", "-s method.alpha=nan", "finite"),
    ("method.alpah=1", "-s method.alpah=1", "did you mean 'method.alpha'?"),
    ("recipe.milestones=[0.5", "-s recipe.milestones=[0.5", "a list"),
    ("method.name=ekkd", "-s method.name=ekkd", "did you mean 'ekd'?"),
    ("student=3", "-s student=3", "did you mean 'student.arch'?"),
    ("seed=3", "-s seed=3", "no cell has the field 'seed'"),
]
CONDITIONS = [
    ("student.branches", "--where 'student.branches'", "one of = != < <= > >="),
    ("=3", "--where '=3'", "expected a field"),
    ("student.brunches=3", "--where student.brunches", "did you mean 'student.branches'?"),
    ("student.branches=9", "--where student.branches=9", "student.branches is 1, 3"),
    ("method.name=edk", "--where method.name=edk", "did you mean 'ekd'?"),
    ("method.name<3", "--where method.name<3", "cannot be compared with 3"),
    ("method.alpha>=0.9", "--where method.alpha>=0.9", "method.alpha is 0.5"),
]


@pytest.mark.parametrize(("option", "start", "help_given"), OPTIONS)
def test_a_wrong_override_names_the_option(
    option: str, start: str, help_given: str, tmp_path: Path
) -> None:
    said = error_of(tmp_path, TABLE, overrides=(option,))
    assert said.startswith(f"{start}: ")
    assert help_given in said


@pytest.mark.parametrize(("condition", "start", "help_given"), CONDITIONS)
def test_a_condition_that_nothing_meets_names_the_option(
    condition: str, start: str, help_given: str, tmp_path: Path
) -> None:
    said = error_of(tmp_path, TABLE, where=(condition,))
    assert said.startswith(f"{start}: ")
    assert help_given in said


def test_conditions_that_only_fail_together_are_all_named(tmp_path: Path) -> None:
    text = TABLE + '[[cells]]\nrow = "one"\ncolumn = "ekd"\nset = { recipe.epochs = 3 }\n'
    said = error_of(tmp_path, text, where=("recipe.epochs=3", "student.branches=3"))
    assert "--where recipe.epochs=3 --where student.branches=3 together" in said


def test_an_override_that_breaks_a_row_names_the_row(tmp_path: Path) -> None:
    said = error_of(tmp_path, TABLE, overrides=("student.branches=5",))
    assert said.startswith("my.toml, line 12: [[rows]] 1: teachers: ")
    assert "takes 5, not 1" in said
