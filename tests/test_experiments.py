"""The seven exhibits of the paper: every printed number, and which trainings they share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ekd.plan import Sheet, flatten, lineage, sheets, without_sharing
from ekd.spec import depth_of
from ekd.spec.exhibit import Curves, Panels, Table
from ekd.spec.load import exhibit_names, exhibit_path, load_exhibit, scales
from ekd.store import Request

EXHIBITS = ("table1", "table2", "table3", "fig2", "fig3", "fig4", "fig5")
NOWHERE = Path("no-such-data-root")

# Typed from the paper (arXiv 1909.08097v3), not from experiments/.
TABLE1 = """
1  87.51 89.66  60.03 60.57  34.98 36.84  0.08 12.75
2  86.60 91.11  60.58 62.79  37.85 40.36  0.16 25.50
3  87.41 91.40  62.78 64.09  37.99 41.58  0.23 38.25
4  87.74 91.72  63.25 65.45  38.00 41.86  0.31 51.01
5  87.81 92.15  64.24 66.54  38.16 42.63  0.39 63.76
6  88.14 92.24  60.75 67.36  39.45 42.59  0.47 76.51
7  88.05 92.33  60.83 67.78  39.06 43.89  0.55 89.26
"""
TABLE2 = """
ResNet14            64.39 20.77 15.89  0.19  27.09   2
ResNet20            64.38 22.98 16.67  0.28  41.42   5
ResNet26            63.61 23.13 14.79  0.38  55.75   5
ResNet32            62.74 24.48 13.69  0.48  70.07   6
ResNet44            63.95 22.74 14.80  0.67  98.73   9
ResNet56            62.33 21.48 16.14  0.87 127.39  10
ResNet110           56.66 20.75 12.51  1.74 256.34  18
ResNet8_(ES=7)      69.65 31.98 17.49  0.55  89.26  11
ResNet8+EKD_(ES=7)  79.97 56.13 31.32  0.55  89.26  11
"""
TABLE3 = """
hinton     86.66
fitnet     86.73
attention  86.86
fsp        87.07
bss        87.32
mutual     87.71
takd       88.01
ekd        89.66
"""


def transcribed(text: str) -> dict[str, list[float]]:
    rows = [line.split() for line in text.strip().splitlines()]
    return {row[0].replace("_", " "): [float(value) for value in row[1:]] for row in rows}


def sheet(name: str, scale: str = "paper", seeds: tuple[int, ...] = (0,)) -> Sheet:
    return sheets(Request(exhibits=(name,), scale=scale, seeds=seeds), NOWHERE)[0]


def keys(*names: str, scale: str = "paper") -> set[str]:
    request = Request(exhibits=names, scale=scale, seeds=(0,))
    return {entry.run.key for entry in flatten(sheets(request, NOWHERE))}


def paper_by_row(found: Sheet) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = {}
    for (row, _), cell in sorted(found.grid.cells.items()):
        label = " / ".join(found.grid.rows[row].lines)
        rows.setdefault(label, []).extend([] if cell.paper is None else [cell.paper])
    return rows


def test_the_suite_has_the_papers_seven_exhibits() -> None:
    assert sorted(exhibit_names()) == sorted(EXHIBITS)
    assert exhibit_names()[:3] == ["table1", "table2", "table3"]


@pytest.mark.parametrize("scale", scales())
@pytest.mark.parametrize("name", EXHIBITS)
def test_every_exhibit_lays_out_at_every_scale(name: str, scale: str) -> None:
    found = sheet(name, scale)
    assert found.runs
    assert len(found.grid.cells) == len(found.grid.rows) * len(found.grid.columns)
    assert found.asked == set(found.runs)


@pytest.mark.parametrize("name", EXHIBITS)
def test_every_exhibit_fits_two_screens_and_states_its_assumptions(name: str) -> None:
    path, longest = exhibit_path(name), 200 if name == "table3" else 100  # its quotes
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest
    assert load_exhibit(path).assumptions


@pytest.mark.parametrize(("name", "printed"), [("table1", TABLE1), ("table2", TABLE2)])
def test_tables_carry_every_printed_number_beside_its_cell(name: str, printed: str) -> None:
    assert paper_by_row(sheet(name)) == transcribed(printed)


def test_columns_stand_in_the_order_of_the_printed_tables() -> None:
    found = sheet("table1")
    runs = {place: run[0] for place, run in found.runs.items()}
    order = [(runs[0, j].data.name, runs[0, j].method.name()) for j in range(6)]
    sets = ("cifar10", "cifar100", "tiny-imagenet")
    assert order == [(data, method) for data in sets for method in ("plain", "ekd")]
    assert [found.grid.cells[0, j].cost for j in (6, 7)] == ["params", "flops"]
    second = sheet("table2")
    assert [second.runs[0, j][0].data.name for j in range(3)] == list(sets)
    assert [second.grid.cells[0, j].cost for j in (3, 4, 5)] == ["params", "flops", "latency"]


def test_each_printed_number_stands_as_often_as_the_paper_prints_it() -> None:
    found: Counter[float] = Counter()
    for name in EXHIBITS:
        exhibit = load_exhibit(exhibit_path(name))
        if isinstance(exhibit, Table):
            found.update(v for row in exhibit.paper.values() for v in row if v != "")
            found.update(row.quote.value for row in exhibit.rows if row.quote)
    expected: Counter[float] = Counter()
    for text in (TABLE1, TABLE2, TABLE3):
        expected.update(value for row in transcribed(text).values() for value in row)
    assert found == expected


def test_the_papers_oddities_stay_as_printed() -> None:
    first, second = paper_by_row(sheet("table1")), paper_by_row(sheet("table2"))
    assert first["6"][2] < first["5"][2]  # CIFAR-100 without EKD falls by 3.5 at ES 6
    assert first["6"][5] < first["5"][5]  # Tiny ImageNet with EKD falls at ES 6
    assert second["ResNet110"][0] < second["ResNet14"][0]
    assert second["ResNet20"][5] == second["ResNet26"][5]  # 5 ms each


def test_costs_take_a_head_of_200_classes_for_teachers_and_of_10_for_students() -> None:
    found = sheet("table2")
    classes = {row: found.grid.cells[row, 3].cost_classes for row in range(9)}
    assert classes == {**dict.fromkeys(range(7), 200), 7: 10, 8: 10}
    assert {c.cost_classes for c in sheet("table1").grid.cells.values() if c.cost == "macs"} == {
        None
    }


def test_a_tenth_of_the_data_is_what_student_and_teachers_of_table2_see() -> None:
    for runs in sheet("table2").runs.values():
        assert {ancestor.data.fraction for run in runs for ancestor in lineage(run)} == {0.1}


def test_table1_teaches_branch_i_by_teacher_i() -> None:
    depths = [14, 20, 26, 32, 44, 56, 110]
    found = sheet("table1")
    for row in range(7):
        run = found.runs[row, 1][0]
        assert run.student.branches == row + 1
        taught = [parent.run.student.arch for parent in run.teachers]
        assert taught == [f"resnet{depth}" for depth in depths[: row + 1]]


def test_figure3_has_three_lines_over_five_sizes_in_three_panels() -> None:
    exhibit = load_exhibit(exhibit_path("fig3"))
    assert isinstance(exhibit, Curves)
    assert exhibit.x.field == "data.fraction"
    assert exhibit.x.values == (0.1, 0.25, 0.5, 0.75, 1.0)
    found = sheet("fig3")
    assert [h.lines for h in found.grid.rows] == [
        ("ResNet8 (ES=7)",),
        ("ResNet8+EKD (ES=7)",),
        ("ResNet110",),
    ]
    assert [h.lines[1] for h in found.grid.columns] == ["10 %", "25 %", "50 %", "75 %", "100 %"] * 3
    points = {run.data.fraction for runs in found.runs.values() for run in runs}
    assert points == set(exhibit.x.values)


def test_figure4_has_ekd_and_its_seven_teachers_trained_alone() -> None:
    found = sheet("fig4")
    lines = [found.runs[row, 0][0] for row in range(8)]
    assert [run.method.name() for run in lines] == ["ekd", *["plain"] * 7]
    assert [parent.run.key for parent in lines[0].teachers] == [run.key for run in lines[1:]]


@pytest.mark.parametrize(("name", "shape"), [("fig2", (2, 2)), ("fig5", (5, 3))])
def test_tsne_panels_stand_in_the_papers_order(name: str, shape: tuple[int, int]) -> None:
    found = sheet(name)
    assert isinstance(found.grid.exhibit, Panels)
    assert (len(found.grid.rows), len(found.grid.columns)) == shape
    first = [found.runs[place][0] for place in sorted(found.runs) if name == "fig2" or not place[1]]
    seen = [(run.student.arch, run.student.branches, run.method.name()) for run in first]
    ours = [("resnet8", 7, "ekd"), ("resnet8", 7, "plain")]
    assert (seen[:2] if name == "fig2" else seen[3:]) == ours
    if name == "fig2":
        assert seen[2:] == [("resnet8", 1, "ekd"), ("resnet8", 1, "plain")]


def test_figures_and_tables_share_their_trainings() -> None:
    needed = keys("table1", "fig3")
    assert len(keys("table1")) == 63
    assert len(keys("fig3")) == 135
    assert len(needed) == 171
    for name in ("fig2", "fig4", "fig5"):
        assert keys(name) <= needed
    assert keys("table2") <= keys("fig3")
    assert keys("fig5") <= keys("fig3")


def test_table3_has_trainings_of_its_own_but_those_of_the_papers_protocol() -> None:
    assert len(keys("table3")) == 45
    assert len(keys("table3") & keys("table1")) == 2  # EKD (ES=1), and its teacher


def test_all_seven_need_214_trainings_per_seed_in_place_of_597() -> None:
    found = sheets(Request(exhibits=EXHIBITS, scale="paper", seeds=(0,)), NOWHERE)
    assert len(flatten(found)) == 171 + 45 - 2
    assert without_sharing(found) == 525 - 3 + 75


@pytest.mark.parametrize(("scale", "count"), [("smoke", 14), ("reduced", 36)])
def test_sharing_survives_a_smaller_scale(scale: str, count: int) -> None:
    others = [name for name in EXHIBITS if name != "table3"]
    assert len(keys(*others, scale=scale)) == count
    assert keys(*others, scale=scale) == keys("table1", "fig3", scale=scale)
    assert len(keys(*EXHIBITS, scale=scale)) == count + 15


def test_the_smoke_table1_has_three_rows_five_columns_and_nine_trainings() -> None:
    found = sheet("table1", "smoke")
    assert [heading.lines for heading in found.grid.rows] == [("1",), ("2",), ("3",)]
    digits = "digits in place of CIFAR-10"
    assert [heading.lines for heading in found.grid.columns] == [
        (digits, "no EKD"),
        (digits, "with EKD"),
        ("params (M)",),
        ("FLOPs (M)",),
        (digits, "MACs (M)"),
    ]
    assert len(keys("table1", scale="smoke")) == 9
    for runs in found.runs.values():
        for run in lineage(runs[0]):
            assert (run.data.name, run.data.resolution, run.data.augment) == ("digits", 16, "crop")
            assert (run.recipe.epochs, run.data.fraction) == (4, 1.0)
            assert depth_of(run.student.arch) <= 26


def test_the_smoke_figures_say_what_stands_in_place_of_what() -> None:
    found = sheet("fig3", "smoke")
    assert [heading.lines[1] for heading in found.grid.columns] == ["10 %", "100 %"]
    assert found.grid.rows[0].lines == ("ResNet8 (ES=7)", "(3 in place of 7)")
    assert found.grid.rows[2].lines == ("ResNet26 in place of ResNet110",)
    assert sheet("fig2", "smoke").grid.replaced == ("digits in place of CIFAR-10",)


def test_the_reduced_scale_says_that_it_takes_a_tenth_of_the_data() -> None:
    found = sheet("table1", "reduced")
    assert [heading.lines for heading in found.grid.rows] == [("1",), ("3",)]
    assert found.grid.replaced == ("10 % in place of 100 %",)
    assert {run.data.fraction for runs in found.runs.values() for run in runs} == {0.1}
    columns = [heading.lines[1] for heading in sheet("fig3", "reduced").grid.columns]
    assert columns == ["5 %", "10 %"] * 3


def test_the_paper_value_keeps_its_cell_at_every_scale() -> None:
    found = sheet("table1", "reduced")
    assert paper_by_row(found)["3"][:2] == [87.41, 91.40]
    assert paper_by_row(sheet("table1", "smoke"))["3"] == [87.41, 91.40, 0.23, 38.25]


def test_the_paper_scale_is_what_section_4_2_says() -> None:
    for runs in sheet("table1").runs.values():
        recipe = runs[0].recipe
        assert (recipe.epochs, recipe.batch_size, recipe.optimizer, recipe.lr) == (
            500,
            128,
            "adam",
            0.01,
        )
        assert (recipe.weight_decay, recipe.milestones, recipe.lr_factor) == (
            5e-4,
            (0.5, 0.75),
            0.1,
        )
        assert (recipe.init, recipe.decay_norm_and_bias, recipe.selection) == (
            "gaussian",
            True,
            "last",
        )
        assert (runs[0].data.resolution, runs[0].data.augment, runs[0].data.holdout) == (
            32,
            "crop-flip",
            0.0,
        )
