"""Rows compared over seeds: paired tests, Holm, possible ranks, and what is said of them."""

from __future__ import annotations

import math
import re
from itertools import combinations
from pathlib import Path

import pytest
from compared_rows import FAIR, FOUR, HEAD, OWN, THREE, fair, filled, gains
from latex_reader import checked
from scipy import stats
from test_report_page import visible

from ekd.report import Report, write
from ekd.report.comparison_table import verdict
from ekd.report.comparisons import Gain
from ekd.report.latex import latex
from ekd.report.markdown import markdown
from ekd.report.page import page
from ekd.report.spreadsheet import comparisons_spreadsheet


def possible(report: Report) -> dict[int, tuple[int, int]]:
    return {s.row: (s.best, s.worst) for s in fair(report).standings}


def test_a_gain_has_the_interval_and_p_of_the_paired_test(tmp_path: Path) -> None:
    report = filled(tmp_path, THREE)
    (gain,) = gains(report, 1)  # b over a: 1, 2, 3
    assert (gain.over, gain.n, gain.points) == ("a", 3, pytest.approx(2.0))
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)  # t(2) in closed form, s = 1
    assert gain.interval is not None
    assert (gain.interval.low, gain.interval.high) == pytest.approx((2 - half, 2 + half))
    assert gain.p == pytest.approx(1 - math.sqrt(12 / 14))


def test_holm_takes_every_pair_with_the_compared_rows_once(tmp_path: Path) -> None:
    report = filled(tmp_path, THREE)
    p = {
        (i, j): stats.ttest_rel(list(THREE.values())[i], list(THREE.values())[j]).pvalue
        for i, j in combinations(range(3), 2)
    }
    first, second, third = sorted(p, key=lambda pair: p[pair])
    holm = {first: 3 * p[first], second: max(3 * p[first], 2 * p[second])}
    holm[third] = max(holm[second], p[third])
    (b_over_a,), (a_over_b,) = gains(report, 1), gains(report, 0)
    assert b_over_a.p_holm == a_over_b.p_holm == pytest.approx(holm[0, 1])
    assert a_over_b.points == -b_over_a.points
    c_over_a, c_over_b = gains(report, 2)
    assert (c_over_a.over, c_over_b.over) == ("a", "b")
    assert (c_over_a.p_holm, c_over_b.p_holm) == pytest.approx((holm[0, 2], holm[1, 2]))


def test_ranks_are_those_that_the_pairs_told_apart_leave(tmp_path: Path) -> None:
    report = filled(tmp_path, FOUR)
    comparison = fair(report)
    assert (comparison.told, comparison.pairs) == (5, 6)
    assert possible(report) == {1: (1, 1), 2: (2, 3), 3: (2, 3), 0: (4, 4)}
    assert [s.row for s in comparison.standings] == [1, 3, 2, 0]
    said = "At n = 4, 5 of 6 pairs can be told apart: the ranking can be told in part."
    assert verdict(comparison) == said
    (tmp_path / "less").mkdir()
    three = fair(filled(tmp_path / "less", {label: FOUR[label] for label in "abc"}))
    assert verdict(three) == "At n = 4, 3 of 3 pairs can be told apart: the ranking can be told."


def test_ranks_are_after_holm_over_all_pairs(tmp_path: Path) -> None:
    # p is under 0.05 alone and above it three times; the other two are above it by themselves.
    rows = {"a": [80.0, 80.0, 80.0], "b": [81.2, 82.0, 82.3], "c": [79.0, 83.0, 80.0]}
    report = filled(tmp_path, rows)
    (gain,) = gains(report, 1)
    assert gain.p is not None
    assert 0.05 / 3 < gain.p < 0.05
    assert fair(report).told == 0
    assert set(possible(report).values()) == {(1, 3)}
    assert verdict(fair(report)).endswith(
        "0 of 3 pairs can be told apart: the ranking cannot be told."
    )


def test_gains_and_ranks_are_families_of_their_own(tmp_path: Path) -> None:
    # Three comparisons with a; the ranks are over all six pairs, and take 6 p where gains take 3 p.
    rows = {"a": [80.0, 80.0, 80.0], "b": [81.0, 81.3, 81.45], "c": [78.0, 84.0, 80.0],
            "d": [80.0, 86.0, 75.0]}  # fmt: skip
    report = filled(tmp_path, rows, HEAD.replace('["a", "b"]', '["a"]'))
    (gain,) = gains(report, 1)
    assert gain.p is not None
    assert gain.p_holm == pytest.approx(3 * gain.p)
    assert 3 * gain.p < 0.05 < 6 * gain.p
    assert (fair(report).told, fair(report).pairs) == (0, 6)


def test_rows_that_are_one_run_are_equal_and_not_tested(tmp_path: Path) -> None:
    report = filled(tmp_path, {"a": THREE["a"], "a'": [], "b": THREE["b"]})
    comparison = fair(report)
    assert (comparison.pairs, len(comparison.standings)) == (1, 3)
    same, over_b = gains(report, 1)
    assert (same.same, same.points, same.p, same.interval) == (True, 0.0, None, None)
    assert over_b.p_holm == over_b.p  # one test, though two rows are compared with b
    assert "the same run as a" in visible(page(report))
    assert "| same run |" in re.sub(" +", " ", markdown(report))


def test_one_seed_is_not_tested_and_it_is_said(tmp_path: Path) -> None:
    report = filled(tmp_path, {label: values[:1] for label, values in THREE.items()})
    (gain,) = gains(report, 1)
    assert gain == Gain("a", pytest.approx(1.0), n=1)
    comparison = fair(report)
    assert (comparison.told, comparison.pairs, comparison.outlook) == (0, 3, None)
    assert set(possible(report).values()) == {(1, 3)}
    said = "At n = 1 nothing is tested: one seed has no spread, and the ranking cannot be told."
    for text in (visible(page(report)), markdown(report), latex(report)):
        assert said in text
        assert "Paired t-tests" not in text
        assert "n = 3" not in text
    assert len(checked(latex(report))) == 1


def test_the_same_difference_on_every_seed_has_nothing_to_be_tested_against(tmp_path: Path) -> None:
    rows = {"a": [80.1, 81.2, 79.7], "b": [81.2, 82.3, 80.8], "c": [80.0, 80.5, 81.5]}
    report = filled(tmp_path, rows)
    (gain,) = gains(report, 1)
    assert (gain.points, gain.n) == (pytest.approx(1.1), 3)
    assert (gain.interval, gain.p, gain.p_holm) == (None, None, None)
    assert "is the same on every seed" in visible(page(report))
    assert "+1.10 over a " in visible(page(report))
    for text in (page(report), markdown(report), latex(report)):
        assert "nan" not in text.lower()


def test_a_pair_uses_the_seeds_that_both_have(tmp_path: Path) -> None:
    rows: dict[str, list[float | None]] = {
        "a": [80.0, 80.5, 80.2, None], "b": [81.0, 82.0, None, 70.0], "c": [79.0, 80.0, 80.0, None]
    }  # fmt: skip
    report = filled(tmp_path, rows)
    (gain,) = gains(report, 1)
    assert (gain.n, gain.points) == (2, pytest.approx(1.25))
    comparison = fair(report)
    assert (comparison.fewest, comparison.most) == (2, 3)
    assert verdict(comparison).startswith("At n = 2 to 3, ")
    assert "over a (n = 2)" in visible(page(report))
    assert "| +1.25 (2) |" in re.sub(" +", " ", markdown(report))


def test_rows_without_a_common_seed_are_not_compared(tmp_path: Path) -> None:
    report = filled(tmp_path, {"a": [80.0, None], "b": [None, 81.0]})
    assert gains(report, 1) == ()
    assert verdict(fair(report)) == (
        "At n = 0 nothing is tested: no two rows have a seed in common, and the ranking cannot be "
        "told."
    )


def test_columns_that_are_not_to_be_compared_are_not(tmp_path: Path) -> None:
    report = filled(tmp_path, THREE)
    section = report.sections[0]
    assert list(section.comparisons) == [FAIR]
    assert section.gains((1, OWN)) == ()
    assert len(re.findall("± [0-9.]+ over a ", visible(page(report)))) == 2


def test_a_column_with_one_measured_row_is_not_compared(tmp_path: Path) -> None:
    report = filled(tmp_path, {"a": [80.0, 81.0], "b": []})
    assert report.sections[0].comparisons == {}
    assert comparisons_spreadsheet(report) is None
    assert write(report, tmp_path / "out").comparisons is None
    assert not (tmp_path / "out" / "methods-comparisons.csv").exists()


def test_what_it_would_take_is_said_of_the_best_row_and_the_first_compared(tmp_path: Path) -> None:
    report = filled(tmp_path, THREE)
    outlook = fair(report).outlook
    assert outlook is not None
    assert (outlook.row, outlook.over) == (1, "a")
    assert outlook.seeds == 5  # effect 2: G*Power has 5 for the two-sided test at 0.05, power 0.8
    assert "it would take n = 5 to tell b from a" in visible(page(report))
    best = filled(tmp_path, {"a": [90.0, 91.0], "b": [80.0, 82.0]})
    assert fair(best).outlook is None
