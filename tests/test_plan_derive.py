"""From a cell to its run: teachers, what a method settles or refuses, custom data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from planned import TAUGHT, asked, derived, npz

from ekd.methods import discover
from ekd.plan import sheets
from ekd.spec import EnvironmentProblem
from ekd.spec.fields import merged
from ekd.spec.resolve import FieldError

# Teachers


def test_teachers_are_plain_runs_with_the_cells_data_recipe_and_seed() -> None:
    run = derived(*TAUGHT, "recipe.epochs=7", "data.fraction=0.5", seed=5)
    assert [parent.run.student.arch for parent in run.teachers] == ["resnet14", "resnet20"]
    for parent in run.teachers:
        assert parent.net == "student"
        assert parent.run.student.branches == 1
        assert parent.run.method == discover()["plain"]()
        assert (parent.run.data, parent.run.recipe, parent.run.seed) == (run.data, run.recipe, 5)
        assert parent.run.teachers == ()


def test_a_teacher_is_the_same_run_as_the_plain_network_of_another_cell() -> None:
    alone = derived("data.name=cifar10", "student.arch=resnet14")
    assert derived(*TAUGHT).teachers[0].run.key == alone.key


def test_teachers_can_see_the_full_data() -> None:
    full = ("data.fraction=0.1", "data.teacher_data=full")
    run = derived(*TAUGHT, *full)
    assert run.data.fraction == 0.1
    assert {parent.run.data.fraction for parent in run.teachers} == {1.0}
    whole = derived("data.name=cifar10", "student.arch=resnet14")
    assert run.teachers[0].run.key == whole.key
    assert run.key != derived(*TAUGHT, "data.fraction=0.1").key


def test_what_teachers_see_is_no_question_without_teachers_or_with_all_data() -> None:
    plain = ("data.name=cifar10", "data.fraction=0.1")
    assert derived(*plain, "data.teacher_data=full").key == derived(*plain).key
    assert derived(*TAUGHT, "data.teacher_data=full").key == derived(*TAUGHT).key


def test_the_holdout_stays_hidden_from_teachers_on_the_full_data() -> None:
    full = ("data.fraction=0.1", "data.teacher_data=full", "data.holdout=0.1")
    assert {parent.run.data.holdout for parent in derived(*TAUGHT, *full).teachers} == {0.1}


def test_a_method_without_teachers_ignores_those_of_the_row() -> None:
    taught = derived("data.name=cifar10", "teachers=T1-T3")
    assert taught.teachers == ()
    assert taught.key == derived("data.name=cifar10").key


@pytest.mark.parametrize(("branches", "given", "count"), [(3, "T1-T2", 2), (1, "T1-T7", 7)])
def test_another_number_of_teachers_is_refused_with_both_numbers(
    branches: int, given: str, count: int
) -> None:
    with pytest.raises(FieldError, match=f"takes {branches}, not {count}") as caught:
        derived("data.name=cifar10", "method.name=ekd", f"student.branches={branches}",
                f"teachers={given}")  # fmt: skip
    assert caught.value.path == "teachers"


def test_all_pairing_takes_any_number_of_teachers_but_none() -> None:
    pairing = ("data.name=cifar10", "method.name=ekd", "method.pairing=all")
    assert len(derived(*pairing, "teachers=T1-T5").teachers) == 5
    with pytest.raises(FieldError, match="needs teachers"):
        derived(*pairing)


@pytest.mark.parametrize(
    ("written", "archs"),
    [
        ("T2", ["resnet20"]),
        ("T6-T7", ["resnet56", "resnet110"]),
        ("resnet14, T3", ["resnet14", "resnet26"]),
        ('["T7", "resnet8"]', ["resnet110", "resnet8"]),
    ],
)
def test_teachers_are_named_by_range_architecture_or_list(written: str, archs: list[str]) -> None:
    run = derived("data.name=cifar10", "method.name=ekd", "method.pairing=all",
                  f"teachers={written}")  # fmt: skip
    assert [parent.run.student.arch for parent in run.teachers] == archs


def test_a_teacher_named_twice_is_refused() -> None:
    with pytest.raises(FieldError, match="resnet14 stands twice"):
        derived("data.name=cifar10", "method.name=ekd", "method.pairing=all", "teachers=T1,T1")


# What a method settles or refuses


def test_alpha_0_means_frozen_teachers() -> None:
    run = derived(*TAUGHT, "method.alpha=0")
    fields = run.method.model_dump()
    assert (fields["teacher_update"], fields["teacher_mode"]) == ("frozen", "eval")
    frozen = derived(*TAUGHT, "method.teacher_update=frozen")
    assert frozen.method.model_dump()["alpha"] == 0
    assert frozen.key == run.key


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (("method.beta=0", "method.gamma=0"), "beta = gamma = 0"),
        (("method.teacher_update=frozen", "method.alpha=0.5"), "frozen teachers take alpha = 0"),
        (("method.alpha=0", "method.teacher_mode=train"), "frozen teachers take teacher_mode"),
        (("method.alpha=0", "method.teacher_update=joint"), "weight decay destroys them"),
        (("method.teacher_update=frozen", "method.teacher_gradient=flow"), "take no gradient"),
    ],
)
def test_ekd_refuses_what_would_train_nothing_or_destroy_teachers(
    fields: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(FieldError, match=reason):
        derived(*TAUGHT, *fields)


@pytest.mark.parametrize("weights", [("method.beta=0",), ("method.gamma=0",)])
def test_ekd_takes_one_zero_weight(weights: tuple[str, ...]) -> None:
    assert derived(*TAUGHT, *weights).teachers


def test_one_plain_branch_has_one_key_whatever_its_branches_would_do() -> None:
    plain = ("data.name=cifar10", "student.branches=1")
    independent = derived(*plain, "method.branches=independent")
    assert independent.key == derived(*plain).key
    three = ("data.name=cifar10", "student.branches=3")
    assert derived(*three, "method.branches=independent").key != derived(*three).key


@pytest.mark.parametrize("combine", ["sum", "mean", "probability"])
def test_independent_branches_average_their_probabilities(combine: str) -> None:
    three = ("data.name=cifar10", "student.branches=3", "method.branches=independent")
    run = derived(*three, f"student.combine={combine}")
    assert run.student.combine == "probability"
    assert run.key == derived(*three).key


# Custom data


def test_custom_data_enter_by_content_not_by_path(tmp_path: Path) -> None:
    first = npz(tmp_path / "a" / "x.npz", 1)
    second = shutil.copy(first, tmp_path / "y.npz")
    other = npz(tmp_path / "z.npz", 2)
    keys = [derived(f"data.path={path}").key for path in (first, second, other)]
    assert keys[0] == keys[1] != keys[2]


def test_a_named_fingerprint_must_be_the_datas(tmp_path: Path) -> None:
    path = npz(tmp_path / "x.npz", 1)
    found = derived(f"data.path={path}").data.fingerprint
    assert derived(f"data.path={path}", f"data.fingerprint='{found}'").data.fingerprint == found
    with pytest.raises(EnvironmentProblem, match=f"fingerprint {found}, the spec names 0000"):
        derived(f"data.path={path}", "data.fingerprint='0000'")


def test_a_path_in_a_spec_is_taken_from_the_specs_folder(tmp_path: Path) -> None:
    npz(tmp_path / "sub" / "x.npz", 1)
    spec = tmp_path / "sub" / "my.toml"
    spec.write_text(
        'title = "A"\nkind = "table"\n[run]\ndata.path = "x.npz"\n'
        '[[rows]]\nlabel = "r"\n[[columns]]\nlabel = "c"\n'
    )
    (run,) = sheets(asked(str(spec)), tmp_path)[0].runs[0, 0]
    assert Path(run.data.path) == tmp_path / "sub" / "x.npz"


def test_the_later_of_data_name_and_path_wins() -> None:
    path = {"data": {"path": "x", "fingerprint": "0"}}
    assert merged(path, {"data": {"name": "digits"}}) == {"data": {"name": "digits"}}
    assert merged({"data": {"name": "digits"}}, path) == path
