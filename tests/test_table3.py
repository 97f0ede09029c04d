"""Table 3: what each column compares, and under which protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planned import NOWHERE, asked, derived

from ekd.methods import architecture, discover
from ekd.plan import Sheet, flatten, lineage, sheets
from ekd.spec import Run
from ekd.spec.exhibit import Table
from ekd.spec.load import exhibit_path, load_exhibit, recipes

QUOTED, OWN, FAIR14, TRAINING14, EPOCH14, FAIR26, TRAINING26, EPOCH26 = range(8)
FAIR = (FAIR14, FAIR26)
EKD, FROZEN, IMPROVED = "ekd", "ekd / frozen teacher", "hinton / from ekd's teacher"
METHODS = ["plain", "hinton", "fitnet", "attention", "fsp", "bss", "mutual", "takd", EKD]


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return sheets(asked("table3"), NOWHERE)[0]


def rows(sheet: Sheet) -> list[str]:
    return [" / ".join(heading.lines) for heading in sheet.grid.rows]


def runs(sheet: Sheet, column: int) -> dict[str, Run]:
    return {row: sheet.runs[i, column][0] for i, row in enumerate(rows(sheet))}


def student_epochs(run: Run) -> int:
    """Its own epochs, and those of the runs that it starts from."""
    return run.epochs + (student_epochs(run.start.run) if run.start else 0)


def teacher(run: Run) -> str:
    """The deepest network that a run learns from, directly or not."""
    found = [architecture(parent).arch for one in lineage(run) for parent in one.teachers]
    peers = [peer.arch for peer in run.method.peers(run)]  # type: ignore[attr-defined]
    return max([*found, *peers], key=lambda arch: int(arch.removeprefix("resnet")), default="")


def shared_recipe(run: Run) -> dict[str, Any]:
    """The recipe without what a hint run has of its own."""
    return run.recipe.model_dump(exclude={"epochs", "lr", "evaluations"})


def test_every_method_and_two_controls_stand_in_it(sheet: Sheet) -> None:
    assert rows(sheet) == [*METHODS, FROZEN, IMPROVED]
    assert set(METHODS) == set(discover())


def test_its_columns_are_four_groups(sheet: Sheet) -> None:
    kinds = [(c.entry.group, sheet.grid.cells[1, j].cost) for j, c in enumerate(sheet.grid.columns)]
    assert kinds == [
        ("", None),
        ("own protocol", None),
        ("fair ResNet14", None),
        ("fair ResNet14", "training"),
        ("fair ResNet14", "epoch"),
        ("fair ResNet26", None),
        ("fair ResNet26", "training"),
        ("fair ResNet26", "epoch"),
    ]
    headings = [column.lines[0] for column in sheet.grid.columns]
    assert len(dict.fromkeys(headings)) == 4
    compared = [column.entry.compared for column in sheet.grid.columns]
    assert compared == [True, False, *[True] * 6]


def test_every_quote_says_who_measured_it_and_how() -> None:
    exhibit = load_exhibit(exhibit_path("table3"))
    assert isinstance(exhibit, Table)
    quotes = {row.label: row.quote for row in exhibit.rows if row.quote}
    assert list(quotes) == METHODS[1:]
    for label, quote in quotes.items():
        measured_by = {"mutual": "Mirzadeh", "takd": "Mirzadeh", "ekd": "this work"}
        assert measured_by.get(str(label), "Heo") in quote.source
        assert "1909.08097, Table 3" in quote.source
        assert ("500 epochs" if label == EKD else "80 epochs" if "Heo" in quote.source
                else "not verified") in quote.protocol  # fmt: skip


def test_a_quote_trains_nothing_and_a_cost_trains_nothing(sheet: Sheet) -> None:
    assert {column for _, column in sheet.runs} == {OWN, FAIR14, FAIR26}


def test_a_cost_is_that_of_the_very_runs_beside_it(sheet: Sheet) -> None:
    for accuracy, *costs in ((FAIR14, TRAINING14, EPOCH14), (FAIR26, TRAINING26, EPOCH26)):
        for row in range(len(rows(sheet))):
            trained = sheet.runs[row, accuracy]
            assert [sheet.costed[row, cost] for cost in costs] == [trained, trained]


def test_fair_means_all_but_the_method_is_the_same(sheet: Sheet) -> None:
    for column, arch in ((FAIR14, "resnet14"), (FAIR26, "resnet26")):
        found = runs(sheet, column)
        for row, run in found.items():
            assert student_epochs(run) == 200, row
            assert teacher(run) == ("" if row == "plain" else arch), row
            for one in lineage(run):
                assert (one.data, one.seed) == (found["plain"].data, 0)
                assert shared_recipe(one) == shared_recipe(found["plain"]), row
            assert run.recipe.lr == 0.1
            assert run.recipe.selection == "last"


def test_the_teachers_of_a_group_are_the_very_same_networks(sheet: Sheet) -> None:
    for column in FAIR:
        alone = {
            one.key
            for run in runs(sheet, column).values()
            for one in lineage(run)
            if one.method.name() == "plain" and one.student.arch != "resnet8"
        }
        assert len(alone) == 1


def test_the_fair_recipe_is_that_of_the_heading(sheet: Sheet) -> None:
    recipe = runs(sheet, FAIR14)["plain"].recipe
    assert (recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.nesterov, recipe.lr) == (
        200, 128, "sgd", True, 0.1,
    )  # fmt: skip
    drops = [part * recipe.epochs for part in recipe.milestones]
    assert (drops, recipe.lr_factor) == ([100, 150], 0.1)
    assert (recipe.weight_decay, recipe.init, recipe.momentum) == (5e-4, "kaiming", 0.9)


def test_hint_epochs_are_two_fifths_of_the_students(sheet: Sheet) -> None:
    for column in FAIR:
        for row in ("fitnet", "fsp"):
            run = runs(sheet, column)[row]
            assert run.start
            assert (run.start.run.epochs, run.epochs) == (80, 120)


def test_the_assistant_is_resnet14_in_both_groups(sheet: Sheet) -> None:
    for column in (OWN, *FAIR):
        (assistant,) = runs(sheet, column)["takd"].teachers
        assert assistant.run.student.arch == "resnet14"


def test_the_controls_take_ekd_apart(sheet: Sheet) -> None:
    for column in (OWN, *FAIR):
        found = runs(sheet, column)
        (improved,) = found[IMPROVED].teachers
        assert improved.run == found[EKD]
        assert improved.net == "teacher-1"
        assert found[IMPROVED].method == derived("data.name=cifar10", "teachers=T1",
                                                 "method.name=hinton").method  # fmt: skip
        assert found[FROZEN].method.model_dump()["teacher_update"] == "frozen"
        assert found[FROZEN].teachers == found[EKD].teachers


def test_each_number_is_measured_under_its_own_protocol(sheet: Sheet) -> None:
    found = runs(sheet, OWN)
    for row in METHODS[:-1]:
        recipe = found[row].recipe
        assert student_epochs(found[row]) == 80
        assert (recipe.batch_size, recipe.weight_decay, recipe.nesterov) == (256, 1e-4, False)
        assert (recipe.milestones, recipe.lr, recipe.momentum) == ((0.5, 0.75), 0.1, 0.9)
        assert teacher(found[row]) == ("" if row == "plain" else "resnet26")
    for row in (EKD, FROZEN, IMPROVED):
        assert found[row].epochs == 500
        assert teacher(found[row]) == "resnet14"
    assert found["hinton"].method.model_dump()["soft_loss"] == "cross_entropy"
    assert found["takd"].method.model_dump()["reduction"] == "mean"
    assert found["bss"].method.model_dump()["candidates"] == "teacher"


def test_the_named_protocols_are_recipes() -> None:
    assert {"paper", "heo", "fair", "quick"} <= set(recipes())


def test_smoke_is_the_fair_group_of_resnet14_with_two_seeds() -> None:
    sheet = sheets(asked("table3", scale="smoke", seeds=None), NOWHERE)[0]
    assert rows(sheet) == [*METHODS, FROZEN, IMPROVED]
    assert sheet.seeds == (0, 1)
    assert [column.entry.group for column in sheet.grid.columns] == ["", *["fair ResNet14"] * 3]
    assert len(flatten([sheet])) == 30
    assert {len(sheet.runs[row, 1]) for row in range(len(sheet.grid.rows))} == {2}


def test_readings_from_the_command_line_go_where_they_are_known() -> None:
    before = runs(sheets(asked("table3"), NOWHERE)[0], FAIR14)
    eq8 = asked("table3", overrides=("readings.name=eq8",))
    after = runs(sheets(eq8, NOWHERE)[0], FAIR14)
    changed = [row for row in before if before[row].key != after[row].key]
    assert changed == [EKD, FROZEN, IMPROVED]
    assert after[IMPROVED].teachers[0].run == after[EKD]


def test_a_scale_cuts_the_networks_that_a_method_names(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text("""
title = "Deep"
kind = "table"
run = { data.name = "cifar10", teachers = "resnet110" }
columns = [{ label = "accuracy" }]
[[rows]]
label = "mutual"
set = { method.name = "mutual", method.peer = "resnet110" }
[[rows]]
label = "takd"
set = { method.name = "takd", method.assistant = "resnet14" }
""")
    found = sheets(asked(str(path), scale="smoke"), NOWHERE)[0]
    mutual, takd = (found.runs[row, 0][0] for row in (0, 1))
    assert mutual.method.model_dump()["peer"] == "resnet26"
    assert [one.student.arch for one in lineage(takd)] == ["resnet26", "resnet14", "resnet8"]
