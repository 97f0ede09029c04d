"""Comparisons over seeds on the page, in Markdown, LaTeX and CSV; groups of columns."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

from compared_rows import FOUR, HEAD, THREE, fair, filled, gains
from latex_reader import checked
from test_report_page import visible

from ekd.report import write
from ekd.report.comparison_table import verdict
from ekd.report.latex import latex
from ekd.report.markdown import markdown
from ekd.report.page import page
from ekd.report.spreadsheet import comparisons_spreadsheet
from ekd.report.wording import p_value


def test_the_same_comparisons_stand_in_every_format(tmp_path: Path) -> None:
    report = filled(tmp_path, THREE)
    text, said = visible(page(report)), verdict(fair(report))
    (gain,) = gains(report, 1)
    assert gain.interval is not None
    assert gain.p_holm is not None
    p, half = p_value(gain.p_holm), f"{gain.interval.half_width:.2f}"
    low = f"{gain.interval.low:+.2f}".replace("-", "\N{MINUS SIGN}")
    assert f"+2.00 ± {half} over a" in text
    assert f"b 82.00 3 1 to 3 +2.00 {low} to +{gain.interval.high:.2f} {p}" in text
    between = f"{low} to +{gain.interval.high:.2f}"
    row = f"| **b** | 82.00 | 3 | 1 to 3 | +2.00 | {between} | {p} | \N{EN DASH} |"
    assert row in re.sub(" +", " ", markdown(report))
    compact = checked(latex(report))[1]
    assert compact.head[0] == ["method", "", "", "", "over a", "over b"]
    assert compact.rows[0][:6] == ["b", "82.00", "3", "1 to 3", f"+2.00 $\\pm$ {half}", p]
    for shown in (text, markdown(report), latex(report)):
        assert said in shown
        assert "comparisons with a and b" in shown
        assert "neither the test images nor the subset" in shown


def test_the_comparisons_have_a_csv_of_their_own(tmp_path: Path) -> None:
    report = filled(tmp_path, THREE)
    path = write(report, tmp_path / "out").comparisons
    assert path == tmp_path / "out" / "methods-comparisons.csv"
    lines = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [(line["row"], line["over"]) for line in lines] == [
        ("b", "a"), ("c", "a"), ("c", "b"), ("a", "b")
    ]  # fmt: skip
    (gain,) = gains(report, 1)
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)
    assert lines[0] == {
        "exhibit": "methods", "scale": "paper", "overrides": "", "column": "fair / accuracy",
        "row": "b", "over": "a", "points": "2.00", "n": "3", "low": f"{2 - half:.2f}",
        "high": f"{2 + half:.2f}", "p": f"{1 - math.sqrt(12 / 14):.4g}",
        "p_holm": f"{gain.p_holm:.4g}", "ranks": "1 to 3",
    }  # fmt: skip


def test_a_row_that_is_compared_with_none_stands_in_the_csv_with_its_ranks(tmp_path: Path) -> None:
    report = filled(tmp_path, FOUR, HEAD.replace('["a", "b"]', '["a"]'))
    lines = list(csv.DictReader(io.StringIO(comparisons_spreadsheet(report) or "")))
    assert [(line["row"], line["over"], line["points"]) for line in lines if not line["over"]] == [
        ("a", "", "")
    ]


def test_groups_of_columns_and_quotes_are_marked(tmp_path: Path) -> None:
    text = page(filled(tmp_path, THREE))
    body = re.search(r'<table class="exhibit">(.*?)</table>', text, re.DOTALL)
    assert body is not None
    spans = r'(?: scope="\w+" colspan="\d" rowspan="\d")?'
    classes = re.findall(rf'<(th|td){spans}(?: class="([^"]*)")?>', body[1])
    cells = [name for tag, name in classes if tag == "td"]
    assert cells == ["elsewhere", "begins", "begins", ""] * 3
    heads = [name for tag, name in classes if tag == "th" and name]
    assert heads == ["elsewhere", "begins", "group begins", "elsewhere", "begins", "begins"]


def test_without_rows_to_compare_with_nothing_is_added(tmp_path: Path) -> None:
    report = filled(tmp_path, THREE, HEAD.replace('compare = ["a", "b"]', ""))
    text = page(report).partition("</style>")[2]
    for mark in ("begins", "elsewhere", "Compared over", "comparisons", "gain"):
        assert mark not in text
    assert "over seeds" not in markdown(report)
    assert len(checked(latex(report))) == 1
    assert comparisons_spreadsheet(report) is None


def test_small_p_are_bounded_and_not_rounded_to_nothing() -> None:
    assert [p_value(p) for p in (0.0004, 0.001, 0.0123, 1.0)] == [
        "< 0.001", "0.001", "0.012", "1.000"
    ]  # fmt: skip
