"""Whatever is wrong in a spec or an option: one sentence with file, line, place, field and help."""

from __future__ import annotations

from pathlib import Path

import pytest
from wrong_specs import CURVES, TABLE, error_of, one_sentence

from ekd.plan import sheets
from ekd.spec import EnvironmentProblem, SpecError, nearest
from ekd.spec import load as loading
from ekd.spec.load import exhibit_path, load_exhibit, recipes, scales
from ekd.store import Request

# What stands in the spec, what is written in its place, and what the error begins with and says.
Wrong = tuple[str, str, str, str]
IN_TABLES: list[Wrong] = [
    ('kind = "table"', 'kind = "tabel"', "line 2: kind", "did you mean 'table'?"),
    ('kind = "table"', "", "kind", "table, panels, curves"),
    ('kind = "table"', 'kind = ["table"]', "line 2: kind", "table, panels, curves"),
    ('title = "Mine"', "", "title", "a value is needed"),
    ('title = "Mine"', "title = 3", "line 1: title", "a string, not 3"),
    ('title = "Mine"', 'titel = "Mine"', "line 1: titel", "did you mean 'title'?"),
    ('title = "Mine"', "title = 2020-01-01", "line 1: title", "2020-01-01"),
    ('title = "Mine"', 'title = "Mine', "not valid TOML", "line 1"),
    ('title = "Mine"', 'title = "a"\ntitle = "b"', "not valid TOML", "line 2"),
    ('title = "Mine"', 'title = "a"\nseeds = []', "line 2: seeds", "at least 1 value"),
    ('title = "Mine"', 'title = "a"\nseeds = [0, -1]', "line 2: seeds, value 2", "not -1"),
    ('compare = ["one"]', 'compare = ["oen"]', "line 3: compare", "no row has the label 'oen'"),
    ('compare = ["one"]', 'compare = "one"', "line 3: compare", "a list, not 'one'"),
    ('arch = "resnet8"', 'arch = "resnet9"', "line 6: [run]: student.arch", "resnet8 and resnet14"),
    ('arch = "resnet8"', 'arch = "resnet08"', "line 6: [run]: student.arch", "resnet8 and"),
    ('arch = "resnet8"', "arch = 8", "line 6: [run]: student.arch", "a string, not 8"),
    ('arch = "resnet8"', 'archt = "resnet8"', "line 6: [run]: student.archt", "mean 'arch'?"),
    ("student.arch", "studnet.arch", "line 6: [run]: studnet", "did you mean 'student'?"),
    ('student.arch = "resnet8"', 'student = "a"', "line 6: [run]: student", "student.arch = ..."),
    ('name = "digits"', 'name = "digit"', "line 7: [run]: data.name", "did you mean 'digits'?"),
    ('name = "digits"', 'name = ["digits"]', "line 7: [run]: data.name", "known are digits"),
    ('data.name = "digits"', "", "line 10: [[rows]] 1, [[columns]] 1: data.name", "`path`"),
    ('name = "digits"', 'name = "digits"\ndata.path = "x"', "line 7: [run]: data.name", "one of"),
    (
        'data.name = "digits"',
        'data = { name = "digits", augment = "flips" }',
        "line 7: [run]: data.augment",
        "did you mean 'flip'?",
    ),
    (
        '"digits"',
        '"digits"\ndata.fraction = 2',
        "line 8: [run]: data.fraction",
        "equal to 1, not 2",
    ),
    ('"digits"', '"digits"\ndata.fraction = "all"', "line 8: [run]: data.fraction", "not 'all'"),
    ('"digits"', '"digits"\ndata.fraction = nan', "line 8: run.data.fraction", "nan"),
    ('recipe.name = "paper"', 'recipe.name = "papre"', "line 8: [run]: recipe.name", "'paper'?"),
    ('recipe.name = "paper"', "recipe.name = [1]", "line 8: [run]: recipe.name", "there are paper"),
    ('recipe.name = "paper"', "recipe.epoch = 5", "line 8: [run]: recipe.epoch", "'epochs'?"),
    ('recipe.name = "paper"', "recipe.epochs = 2.5", "line 8: [run]: recipe.epochs", "not 2.5"),
    ('recipe.name = "paper"', "recipe.epochs = true", "line 8: [run]: recipe.epochs", "whole"),
    (
        'recipe.name = "paper"',
        "recipe.milestones = [0.5, 1.5]",
        "line 8: [run]: recipe.milestones: value 2",
        "less than 1, not 1.5",
    ),
    ('recipe.name = "paper"', 'readings.name = "eq9"', "line 8: [run]: readings.name", "'eq8'?"),
    ('recipe.name = "paper"', 'readings.nam = "eq8"', "line 8: [run]: readings.nam", ".name"),
    ("branches = 3,", "branches = 0,", "line 15: [[rows]] 2: student.branches", "1, not 0"),
    ("branches = 3,", 'branches = "3",', "line 15: [[rows]] 2: student.branches", "not '3'"),
    ("branches = 3,", "branch = 3,", "line 15: [[rows]] 2: student.branch", "'branches'?"),
    ("branches = 3,", "branches = 2,", "line 15: [[rows]] 2: teachers", "takes 2, not 3 (resnet14"),
    ('"T1-T3"', '"T1-T9"', "line 15: [[rows]] 2: teachers", "T1 to T7"),
    ('"T1-T3"', '"T3-T1"', "line 15: [[rows]] 2: teachers", "such as T1-T3"),
    ('"T1-T3"', '["T1", "T2", "ResNet20"]', "line 15: [[rows]] 2: teachers", "'resnet20'?"),
    ('"T1-T3"', "3", "line 15: [[rows]] 2: teachers", "'T1-T3' or 'resnet14', not 3"),
    ('"T1-T3"', '["T1", 2]', "line 15: [[rows]] 2: teachers", "2 is neither"),
    (', teachers = "T1-T3"', "", "line 13: [[rows]] 2, [[columns]] 2: teachers", "ekd needs"),
    ('label = "three"', 'label = "one"', "line 14: rows", "'one' stands twice"),
    ('label = "three"', "label = 3", "line 14: [[rows]] 2: label", "a string, not 3"),
    ('label = "three"', 'lable = "three"', "line 14: [[rows]] 2: lable", "'label'?"),
    ('label = "three"', "", "line 13: [[rows]] 2: label", "a value is needed"),
    (
        'label = "three"',
        'label = "three"\nquote = { value = "x", source = "s", protocol = "p" }',
        "line 15: [[rows]] 2: quote.value",
        "a number, not 'x'",
    ),
    ('"three"', '"three"\ncost_classes = 1', "line 15: [[rows]] 2: cost_classes", "2, not 1"),
    ('"ekd" }', '"edk" }', "line 22: [[columns]] 2: method.name", "did you mean 'ekd'?"),
    ('"ekd" }', '["ekd"] }', "line 22: [[columns]] 2: method.name", "there are"),
    ('"ekd" }', '"ekd", method.alhpa = 1 }', "line 22: [[columns]] 2: method.alhpa", "'alpha'?"),
    (
        '"ekd" }',
        '"ekd", method.kl_form = "torhc" }',
        "line 22: [[columns]] 2: method.kl_form",
        "did you mean 'torch'?",
    ),
    (
        '"ekd" }',
        '"ekd", method.beta = 0, method.gamma = 0 }',
        "line 22: [[columns]] 2: method",
        "beta = gamma = 0",
    ),
    ('"ekd"\n', '"ekd"\ncost = "param"\n', "line 22: [[columns]] 2: cost", "'params'?"),
    ('"ekd"\n', '"ekd"\nquoted = "yes"\n', "line 22: [[columns]] 2: quoted", "true or false"),
    ("one = [87.5, 89.6]", 'one = [87.5, "x"]', "line 25: paper.one, value 2", "not 'x'"),
    ("one = [87.5, 89.6]", "two = [87.5]", "line 25: [paper] 'two'", "no row"),
    ("one = [87.5, 89.6]", "one = [1, 2, 3]", "line 25: [paper] 'one'", "3 values for 2 columns"),
    ("one = [87.5, 89.6]", "one = 3", "line 25: paper.one", "a list, not 3"),
    (
        "one = [87.5, 89.6]",
        '[[cells]]\nrow = "two"\ncolumn = "ekd"\nset = {}',
        "line 25: [[cells]] 1",
        "no row has the label 'two'",
    ),
    (
        "one = [87.5, 89.6]",
        '[[cells]]\nrow = "one"\ncolumn = "ekd"\nset = { method.alpha = -1 }',
        "line 28: [[cells]] 1: method.alpha",
        "not -1",
    ),
]
IN_CURVES: list[Wrong] = [
    ("data.fraction", "data.fractoin", "line 7: [x]: data.fractoin", "did you mean 'fraction'?"),
    ("[0.1, 1.0]", "[0.1, 2.0]", "line 7: [x]: data.fraction", "not 2.0"),
    ("[0.1, 1.0]", "[]", "line 9: x.values", "at least 1 value"),
    ("[0.1, 1.0]", '["a"]', "line 9: x.values, value 1", "not 'a'"),
    ("values =", "value =", "line 9: x.value", "did you mean 'values'?"),
    ('[x]\nfield = "data.fraction"\nvalues = [0.1, 1.0]\n', "", "x", "a value is needed"),
    ('"resnet14"', '"resnet15"', "line 15: [[panels]] 2: student.arch", "resnet14 and resnet20"),
    (
        'label = "plain"',
        'label = "plain"\nset = { method.name = "ekd" }',
        "line 17: [[lines]] 1, [[panels]] 1: teachers",
        "ekd needs teachers",
    ),
]
ALL = [(TABLE, wrong) for wrong in IN_TABLES] + [(CURVES, wrong) for wrong in IN_CURVES]


@pytest.mark.parametrize(("base", "wrong"), ALL, ids=lambda value: repr(value)[:60])
def test_a_wrong_spec_is_one_sentence_with_file_line_place_and_help(
    base: str, wrong: Wrong, tmp_path: Path
) -> None:
    old, new, where, help_given = wrong
    assert base.count(old) == 1, "the spec under test has changed"
    said = error_of(tmp_path, base.replace(old, new))
    separator = ", " if where.startswith("line") else ": "
    assert said.startswith(f"my.toml{separator}{where}: ")
    assert help_given in said


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
