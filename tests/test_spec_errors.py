"""What is wrong in a spec, a scale or a recipe keeps its place; the table is in spec_mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from wrong_specs import TABLE, error_of, one_sentence

from ekd.plan import sheets
from ekd.spec import EnvironmentProblem, SpecError, nearest
from ekd.spec import load as loading
from ekd.spec.load import exhibit_path, load_exhibit, recipes, scales
from ekd.store import Request


def test_wrong_teachers_keep_their_place_at_a_scale_that_cuts_them(tmp_path: Path) -> None:
    said = error_of(tmp_path, TABLE.replace('"T1-T3"', '"T9"'), scale="smoke")
    assert said.startswith("my.toml, line 15: [[rows]] 2: teachers: 'T9'")


def test_the_nearest_scale_and_exhibit_are_named() -> None:
    for request, help_given in (
        (Request(exhibits=("table1",), scale="smok"), "no scale 'smok' (did you mean 'smoke'?)"),
        (Request(exhibits=("tabel1",), scale="smoke"), "'tabel1' (did you mean 'table1'?)"),
        (Request(exhibits=("gone.toml",), scale="smoke"), "there is no file gone.toml"),
    ):
        with pytest.raises(SpecError) as caught:
            sheets(request, Path())
        assert help_given in one_sentence(str(caught.value))


def test_a_spec_that_is_not_text_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "binary.toml"
    spec.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"binary\.toml: not valid TOML"):
        load_exhibit(spec)


def test_missing_custom_data_are_a_problem_of_the_environment(tmp_path: Path) -> None:
    spec = tmp_path / "my.toml"
    spec.write_text(TABLE.replace('data.name = "digits"', 'data.path = "gone.npz"'))
    with pytest.raises(EnvironmentProblem, match=r"gone\.npz.* is missing") as caught:
        sheets(Request(exhibits=(str(spec),), scale="paper"), tmp_path)
    assert caught.value.exit_code == 4


SCALES = [
    ('description = "s"\nbranch = [1]', "line 3: [tiny] branch", "did you mean 'branches'?"),
    ('description = "s"\nmax_depth = 3', "line 3: [tiny] max_depth", "8, not 3"),
    ('description = "s"\nbranches = [1, "2"]', "line 3: [tiny] branches, value 2", "not '2'"),
    ("branches = [1]", "line 1: [tiny] description", "a value is needed"),
    (
        'description = "s"\nexhibits = { table1 = { group = ["a"] } }',
        "line 3: [tiny] exhibits.table1.group",
        "did you mean 'groups'?",
    ),
]


@pytest.mark.parametrize(("text", "where", "help_given"), SCALES)
def test_a_wrong_scale_names_its_table(
    text: str, where: str, help_given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scales.toml").write_text(f"[tiny]\n{text}\n")
    monkeypatch.setattr(loading, "folder", lambda name: tmp_path)
    with pytest.raises(SpecError) as caught:
        scales.__wrapped__()
    said = one_sentence(str(caught.value))
    assert said.startswith(f"{tmp_path / 'scales.toml'}, {where}: ")
    assert help_given in said


def test_a_wrong_field_of_a_named_recipe_blames_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = 'fast = { epochs = 1, batchsize = 2, optimizer = "adam", lr = 1, weight_decay = 0 }'
    (tmp_path / "recipes.toml").write_text(fast)
    monkeypatch.setattr(loading, "folder", lambda name: tmp_path)
    found = recipes.__wrapped__()
    monkeypatch.setattr("ekd.spec.resolve.recipes", lambda: found)
    said = error_of(tmp_path, TABLE.replace('recipe.name = "paper"', 'recipe.name = "fast"'))
    assert said.startswith("my.toml, line 8: [run]: recipe.name: 'fast' of recipes.toml: ")
    (tmp_path / "recipes.toml").write_text("fast = 3")
    with pytest.raises(SpecError, match=r"recipes\.toml, line 1: fast: expected a table"):
        recipes.__wrapped__()


def test_a_wrong_exhibit_is_refused_before_any_look_at_the_data(tmp_path: Path) -> None:
    said = error_of(tmp_path, TABLE.replace('arch = "resnet8"', 'arch = "resnet9"'))
    assert not list(tmp_path.glob("*.npz"))
    assert "resnet9" in said


@pytest.mark.parametrize(
    ("word", "hint"),
    [("tabel1", " (did you mean 'table1'?)"), ("TABLE1", " (did you mean 'table1'?)"), ("xyz", "")],
)
def test_nearest_names_the_nearest_or_nothing(word: str, hint: str) -> None:
    assert nearest(word, ["table1", "fig2"]) == hint


def test_the_suites_own_exhibits_are_found_by_name() -> None:
    assert exhibit_path("table1").name == "table1.toml"
