"""What the report makes of a cell's runs: means, intervals, differences, verdicts, kinds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from filled_store import fail, finish, measured, own_spec, requested, sections

from ekd.report import Computed, Measured, Quoted, Timed
from ekd.store import Store

CIFAR_SPEC = """
title = "One cell"
kind = "table"
seeds = [0, 1, 2]
[run]
data.name = "cifar10"
[[rows]]
label = "ResNet8"
[[columns]]
label = "accuracy"
[paper]
ResNet8 = [87.51]
"""

CURVES_SPEC = """
title = "A figure"
kind = "curves"
run.student.branches = 2
x = { field = "data.fraction", values = [0.5, 1.0] }
[[panels]]
label = "CIFAR-10"
set = { data.name = "cifar10" }
[[lines]]
label = "no EKD"
set = { method.name = "plain" }
"""


TAUGHT_SPEC = """
title = "Taught"
kind = "table"
run.data.name = "digits"
run.recipe.epochs = 1
[[rows]]
label = "ours"
set = { method.name = "ekd" }
[[columns]]
label = "accuracy"
[paper]
ours = [90.0]
"""


def one_cell(root: Path, accuracies: list[float], **request: Any) -> Measured:
    """Request a one-cell table at scale paper with as many finished seeds as accuracies."""
    spec = root / "one.toml"
    spec.write_text(CIFAR_SPEC, encoding="utf-8")
    sheet = requested(root, str(spec), scale="paper", **request)
    for run, accuracy in zip(sheet.runs[0, 0], accuracies, strict=False):
        finish(root, run, accuracy)
    return measured(sections(root, str(spec))[0], 0, 0)


def test_a_cell_shows_the_mean_and_students_interval_over_its_seeds(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1", seeds=(0, 1, 2))
    for run, accuracy in zip(sheet.runs[0, 0], (90.0, 91.0, 92.0), strict=True):
        finish(tmp_path, run, accuracy)
    cell = measured(sections(tmp_path, "table1")[0], 0, 0)
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)  # t(2) in closed form, s = 1
    assert (cell.mean, cell.n) == (pytest.approx(91.0), 3)
    assert cell.interval is not None
    assert cell.interval.half_width == pytest.approx(half)
    assert cell.over_images is None


def test_one_seed_has_no_interval_over_seeds_but_one_over_images(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1")
    finish(tmp_path, sheet.runs[0, 0][0], 90.0)
    cell = measured(sections(tmp_path, "table1")[0], 0, 0)
    assert cell.interval is None
    assert cell.over_images is not None
    bound, share = cell.over_images.low / 100, 0.9  # the score equation over 1000 images
    assert (share - bound) ** 2 == pytest.approx(1.959963984540054**2 * bound * (1 - bound) / 1000)


def test_unfinished_seeds_are_counted_and_never_averaged(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1", seeds=(0, 1, 2, 3))
    runs = sheet.runs[0, 0]
    finish(tmp_path, runs[0], 80.0)
    fail(tmp_path, runs[1], message="the disk was full")
    Store(tmp_path).folder(runs[2]).write_checkpoint(b"half way")
    section = sections(tmp_path, "table1")[0]
    cell = measured(section, 0, 0)
    assert (cell.mean, cell.n) == (80.0, 1)
    assert cell.unfinished == {"failed": 1, "partial": 1, "missing": 1}
    assert cell.seeds[1].failure == "the disk was full"
    missing = measured(section, 2, 1)
    assert missing.mean is None
    assert missing.unfinished == {"missing": 4}


def test_runs_whose_teacher_failed_are_blocked(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1")
    fail(tmp_path, sheet.runs[0, 1][0].teachers[0].run, "diverged")
    cell = measured(sections(tmp_path, "table1")[0], 0, 1)
    assert cell.unfinished == {"blocked": 1}


def test_replaced_data_have_the_papers_value_but_no_difference(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1", seeds=(0, 1, 2))
    for run in sheet.runs[0, 0]:
        finish(tmp_path, run, 87.5)
    section = sections(tmp_path, "table1")[0]
    cell = measured(section, 0, 0)
    assert cell.paper == 87.51
    assert cell.difference is None
    assert cell.reproduced is None
    assert "digits in place of CIFAR-10" in section.replaced


def test_the_papers_data_have_a_difference_and_a_verdict(tmp_path: Path) -> None:
    cell = one_cell(tmp_path, [87.0, 87.1, 87.2])
    # half width t(2) s / sqrt(3) = 4.3027 * 0.1 / 1.7321 = 0.248: 87.51 < 87.1 + 0.248 + 0.5
    assert cell.difference == pytest.approx(-0.41)
    assert cell.reproduced is True


def test_a_value_outside_the_widened_interval_is_not_reproduced(tmp_path: Path) -> None:
    cell = one_cell(tmp_path, [86.6, 86.7, 86.8])  # 86.7 + 0.248 + 0.5 = 87.448 < 87.51
    assert cell.reproduced is False


def test_two_seeds_have_no_verdict(tmp_path: Path) -> None:
    cell = one_cell(tmp_path, [87.5, 87.6])
    assert cell.difference == pytest.approx(0.04)
    assert cell.reproduced is None


def test_an_override_takes_the_verdict_away(tmp_path: Path) -> None:
    cell = one_cell(tmp_path, [87.4, 87.5, 87.6], overrides=("recipe.epochs=5",))
    assert cell.difference == pytest.approx(-0.01)
    assert cell.reproduced is None


@pytest.mark.parametrize(
    "override", ["data.fraction=0.5", "data.resolution=64", "data.holdout=0.1", "data.name=digits",
                 "student.branches=2"]
)  # fmt: skip
def test_other_data_or_another_student_take_the_difference_away(
    tmp_path: Path, override: str
) -> None:
    cell = one_cell(tmp_path, [87.4, 87.5, 87.6], overrides=(override,))
    assert cell.paper == 87.51
    assert cell.difference is None


def test_the_best_evaluation_on_test_is_flagged_as_leaky(tmp_path: Path) -> None:
    assert one_cell(tmp_path, [], overrides=('recipe.selection="best"',)).leaky
    held_out = ('recipe.selection="best"', "data.holdout=0.1")
    spec = str(tmp_path / "one.toml")
    requested(tmp_path, spec, scale="paper", overrides=held_out)
    found = {s.overrides: measured(s, 0, 0).leaky for s in sections(tmp_path, spec)}
    assert found == {(held_out[0],): True, held_out: False}


def test_a_spec_that_lacks_teachers_is_reported_with_those_that_were_given(tmp_path: Path) -> None:
    spec = tmp_path / "taught.toml"
    spec.write_text(TAUGHT_SPEC, encoding="utf-8")
    sheet = requested(tmp_path, str(spec), scale="paper", overrides=("teachers=T1",))
    finish(tmp_path, sheet.runs[0, 0][0], 91.0)
    cell = measured(sections(tmp_path, str(spec))[0], 0, 0)
    assert (cell.mean, cell.paper, cell.difference) == (91.0, 90.0, None)


def test_quotes_latencies_and_costs_keep_their_kind(tmp_path: Path) -> None:
    spec = own_spec(tmp_path)
    requested(tmp_path, str(spec), scale="paper")
    cells = sections(tmp_path, str(spec))[0].cells
    quoted, timed, flops = cells[0, 1], cells[1, 2], cells[1, 3]
    assert isinstance(quoted, Quoted)
    assert quoted.quote is not None
    assert quoted.quote.value == 78.1
    assert cells[1, 1] == Quoted(None)
    assert isinstance(timed, Timed)
    assert timed.median > 0
    assert timed.paper == 1.5
    assert isinstance(flops, Computed)
    assert flops.agrees is False  # 25.50 against 25.49


def test_a_figure_finds_its_printed_points_through_a_tables_runs(tmp_path: Path) -> None:
    spec = tmp_path / "figure.toml"
    spec.write_text(CURVES_SPEC, encoding="utf-8")
    sheet = requested(tmp_path, str(spec), scale="paper")
    finish(tmp_path, sheet.runs[0, 1][0], 86.0)
    section = sections(tmp_path, str(spec))[0]
    assert [head.lines for head in section.sheet.grid.columns] == [
        ("CIFAR-10", "50 %"), ("CIFAR-10", "100 %")
    ]  # fmt: skip
    assert measured(section, 0, 0).paper is None
    assert measured(section, 0, 1).difference == pytest.approx(-0.6)  # Table 1: 86.60


def test_rows_are_compared_over_the_seeds_that_both_have_finished(tmp_path: Path) -> None:
    spec = own_spec(tmp_path)  # compare = ["two"]
    sheet = requested(tmp_path, str(spec), seeds=(0, 1, 2))
    for row, accuracies in enumerate(([80.0, 81.0, 99.0], [78.0, 80.0])):
        for run, accuracy in zip(sheet.runs[row, 0], accuracies, strict=False):
            finish(tmp_path, run, accuracy)
    section = sections(tmp_path, str(spec))[0]
    (gain,) = section.gains((0, 0))
    assert (gain.over, gain.points, gain.n) == ("two", pytest.approx(1.5), 2)
    assert section.gains((1, 0)) == section.gains((0, 1)) == ()
