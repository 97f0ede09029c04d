"""Markdown and LaTeX: the CSV's numbers, everything escaped, the same bytes every time."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from filled_store import fail, finish, own_spec, requested
from latex_reader import checked
from test_escaping import SPECIAL
from tiny import write_npz

from ekd.report import Report, Timed, collect, write
from ekd.report.latex import latex, parts
from ekd.report.markdown import markdown
from ekd.report.spreadsheet import spreadsheet
from ekd.report.tex import escaped as in_latex
from ekd.report.text_table import TextTable, whole
from ekd.store import Store

PDFLATEX = shutil.which("pdflatex")


def reported(root: Path, *names: str) -> Report:
    (report,) = collect(Store(root), names, None, root)
    cells = {
        place: dataclasses.replace(cell, median=1.83) if isinstance(cell, Timed) else cell
        for section in report.sections
        for place, cell in section.cells.items()
    }
    sections = tuple(dataclasses.replace(section, cells=cells) for section in report.sections)
    return dataclasses.replace(report, sections=sections) if len(sections) == 1 else report


@pytest.fixture(scope="module")
def table1(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Table 1 at scale paper: CIFAR-10 finished, but for a seed, a cell, and one without runs."""
    root = tmp_path_factory.mktemp("store")
    sheet = requested(root, "table1", scale="paper")
    for place, runs in sheet.runs.items():
        paper = sheet.grid.cells[place].paper
        assert paper is not None
        for run, points in zip(runs, (-0.4, 0.1, 0.3), strict=True):
            if place == (2, 0) or (place == (1, 0) and run is runs[0]):
                fail(root, run, "diverged", "the loss is nan in epoch 3")
            elif place[1] < 2 and place != (6, 1):
                finish(root, run, paper + points)
    return reported(root, "table1")


def markdown_table(text: str) -> list[list[str]]:
    """Read the only table of a Markdown text, its cells as they are shown."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(re.fullmatch(r"-+:", cell) for cell in rows[1][1:])
    return [rows[0], *rows[2:]]


def test_the_markdown_says_what_the_csv_says(table1: Report) -> None:
    lines = list(csv.DictReader(io.StringIO(spreadsheet(table1))))
    head, *rows = markdown_table(markdown(table1))
    assert head[0] == "ensemble size, scale paper"
    blocks: dict[str, dict[str, list[str]]] = {}
    for label, *cells in rows:
        if label.startswith("**"):
            blocks[label.strip("*")] = block = {"": cells}
        else:
            block[label] = cells
    assert len(lines) == 7 * 11
    for line in lines:
        column = head.index(line["column"].replace(" / ", ", ")) - 1
        block = blocks[line["row"]]
        shown = block[""][column]
        if line["kind"] == "computed":
            assert shown == f"*{line['mean']}*"
        elif not line["mean"]:
            assert shown in ("missing", "diverged")
        else:
            mean, half, n = re.fullmatch(r"(\S+) ± (\S+) \((\d)\)", shown).groups()
            assert (mean, n) == (line["mean"], line["n"])
            width = float(line["high"]) - float(line["low"])
            assert float(half) == pytest.approx(width / 2, abs=0.0101)
        paper = block.get("paper", [""] * 11)[column]
        assert paper.partition(" ")[0] == line["paper"]
        if line["kind"] == "measured" and line["mean"]:
            points = re.fullmatch(r".* \((.*)\)", paper)[1].replace("\N{MINUS SIGN}", "-")
            assert float(points) == pytest.approx(float(line["mean"]) - float(line["paper"]))


def test_the_latex_says_what_the_markdown_says(table1: Report) -> None:
    _, *rows = markdown_table(markdown(table1))
    first, second = checked(latex(table1))
    shown = [[in_text(cell) for cell in row] for row in first.rows]
    plain = [[cell.strip("*") for cell in row] for row in rows]
    assert shown == [row[:7] for row in plain]
    assert [row[1:] for row in map(texts, second.rows)] == [
        row[7:] for row in plain if any(row[7:])
    ]


def in_text(cell: str) -> str:
    for command, symbol in (("$\\pm$", "±"), ("$-$", "\N{MINUS SIGN}"), ("$\\neq$", "≠")):
        cell = cell.replace(command, symbol)
    return re.sub(r"\\textit\{(.*)\}", r"\1", cell.removeprefix("\\quad "))


def texts(row: list[str]) -> list[str]:
    return [in_text(cell) for cell in row]


def test_a_diverged_cell_and_one_without_runs_show_as_such(table1: Report) -> None:
    rows = whole(table1.sections[0]).rows
    said = {
        (number, line.label): [text.words for text in line.texts]
        for number, lines in enumerate(rows)
        for line in lines
    }
    assert said[2, "3"][0] == "diverged"
    assert said[6, "7"][1] == said[0, "1"][2] == "missing"
    assert said[1, "2"][0].endswith("(2)")
    assert said[1, "unfinished"][0] == "1 diverged"
    assert "reproduced" in {label for _, label in said}
    assert said[1, "reproduced"][:2] == ["", "yes"]  # two seeds have no verdict


def test_a_store_in_which_nothing_ran_has_tables_without_numbers_of_its_own(tmp_path: Path) -> None:
    requested(tmp_path, "table1")
    report = reported(tmp_path, "table1")
    text = markdown(report)
    assert "0 of 6 runs finished, 6 missing" in text
    for row in markdown_table(text)[1:]:
        assert "missing" in row[1] if row[0].startswith("**") else row[0] == "paper"
    (tabular,) = checked(latex(report))
    assert [row[1] for row in tabular.rows[::2]] == ["missing"] * 3
    assert "\\pm" not in latex(report).partition("\\bottomrule")[0]


def test_computed_quoted_and_timed_numbers_are_told_apart(tmp_path: Path) -> None:
    spec = own_spec(tmp_path)
    sheet = requested(tmp_path, str(spec), scale="paper", seeds=(0, 1))
    finish(tmp_path, sheet.runs[0, 0][0], 91.0)
    finish(tmp_path, sheet.runs[1, 0][0], 90.5)
    report = reported(tmp_path, str(spec))
    _, *rows = markdown_table(markdown(report))
    assert rows[0][1:] == ["91.00 (1)", r"78.10 \[1\]", "1.83 †", "*12.75*"]
    assert rows[2][:2] == ["over two", "+0.50"]
    assert ["paper", "90.00 (+0.50)", "", "1.5", "25.49 ≠"] in rows
    for said in (
        r"- \[1\] quoted, not ours: Someone \& al., \<i\>Nature\</i\>; 200 epochs of SGD.",
        "- In italics: computed from the network's layers, not measured; = the paper prints",
        "- † timed: median milliseconds for one image, on the machine that made this table",
        "- \\<b\\>bold\\</b\\> is text here",
    ):
        assert said in markdown(report)
    (tabular,) = checked(latex(report))
    assert tabular.rows[0][1:] == ["91.00 (1)", "78.10 {[}1{]}", r"1.83 \dag{}", r"\textit{12.75}"]
    assert tabular.rows[0][0].startswith(r"\textless{}script\textgreater{}alert('row')")
    assert r"{[}1{]} quoted, not ours: Someone \& al." in latex(report)
    assert r"Assumed: \textless{}b\textgreater{}bold" in latex(report)


def test_every_table_carries_its_scale_and_what_was_set_by_hand(tmp_path: Path) -> None:
    requested(tmp_path, "table1", scale="smoke", overrides=("method.temperature=4.0",))
    requested(tmp_path, "table1", scale="paper")
    report = reported(tmp_path, "table1")
    text, code = markdown(report), latex(report)
    assert re.findall(r"^\| (.*?) +\|", text, re.MULTILINE)[0] == "ensemble size, scale paper"
    assert text.count("| ensemble size, scale ") == 2
    assert "## Scale smoke, method.temperature=4.0" in text
    assert code.count("\\begin{table}") == code.count("\\end{table}") >= 2
    captions = re.findall(r"\\caption\{(.*)\}", code)
    assert captions[0].startswith("Ensemble size, with and without EKD. Scale paper: ")
    assert "Scale smoke" in captions[-1]
    assert "method.temperature=4.0 set by hand" in captions[-1]
    assert "digits in place of CIFAR-10" in captions[-1]
    assert len(set(re.findall(r"\\label\{(.*)\}", code))) == 2
    assert "% Its runs: ekd-run table1 --scale smoke -s method.temperature=4.0\n" in code
    assert code.startswith("% Made by ekd ")
    assert "ekd-report table1\n% Needs \\usepackage{booktabs} and \\usepackage{graphicx}" in code


def test_wide_tables_go_on_below_with_groups_together(table1: Report) -> None:
    assert parts(table1.sections[0]) == [(0, 1, 2, 3, 4, 5), (6, 7, 8, 9, 10)]
    first, second = checked(latex(table1))
    assert first.head[0] == ["ensemble size", "CIFAR-10", "CIFAR-100", "Tiny ImageNet"]
    assert first.head[1] == ["", *["no EKD", "with EKD"] * 3]
    assert second.head[0] == ["ensemble size", "", "", "CIFAR-10", "CIFAR-100", "Tiny ImageNet"]
    assert second.head[1] == ["", "params (M)", "FLOPs (M)", *["MACs (M)"] * 3]
    rules = re.findall(r"\\cmidrule\(lr\)\{([\d-]+)\}", latex(table1))
    assert rules == ["2-3", "4-5", "6-7", "4-4", "5-5", "6-6"]


@pytest.mark.parametrize("name", ["table1", "table3", "fig2", "fig4", "fig5"])
@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_every_exhibit_has_tables_that_latex_takes(tmp_path: Path, name: str, scale: str) -> None:
    sheet = requested(tmp_path, name, scale=scale)
    for runs in sheet.runs.values():
        finish(tmp_path, runs[0], 61.0)
    report = reported(tmp_path, name)
    grid = report.sections[0].sheet.grid
    tabulars = checked(latex(report))
    assert sum(len(tabular.head[-1]) - 1 for tabular in tabulars) == len(grid.columns)
    labels = [row[0] for row in tabulars[0].rows if not row[0].startswith("\\quad ")]
    assert labels == [in_latex(", ".join(row.lines)) for row in grid.rows]
    assert len(markdown_table(markdown(report))[0]) == len(grid.columns) + 1


def test_the_same_store_gives_the_same_bytes_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for number, folder in enumerate(("a", "b")):
        root = tmp_path / folder
        root.mkdir()
        spec = root / "own.toml"
        spec.write_text(PLAIN, encoding="utf-8")
        sheet = requested(root, str(spec), scale="paper", seeds=(0, 1))
        for run, accuracy in zip(sheet.runs[0, 0], (90.0, 91.5), strict=True):
            finish(root, run, accuracy)
        monkeypatch.setattr("time.time", lambda number=number: 1e9 * (1 + number))
        done = write(reported(root, str(spec)), root / "report")
        written.append((done.markdown.read_bytes(), done.latex.read_bytes()))
        again = write(reported(root, str(spec)), root / "again")
        assert (again.markdown.read_bytes(), again.latex.read_bytes()) == written[-1]
    assert written[0] == written[1]
    assert str(tmp_path).encode() not in b"".join(written[0])
    assert b"ekd-report own.toml" in written[0][0]
    assert b"ekd-run own.toml" in written[0][1]


PLAIN = """
title = "Own"
kind = "table"
run.data.name = "digits"
[[rows]]
label = "ours"
[[columns]]
label = "accuracy"
"""


def test_an_override_of_the_data_names_no_folder(tmp_path: Path) -> None:
    spec = tmp_path / "own.toml"
    spec.write_text(PLAIN.replace('data.name = "digits"', 'data.path = "a.npz"'), encoding="utf-8")
    write_npz(tmp_path / "a.npz")
    source = write_npz(tmp_path / "b.npz")
    requested(tmp_path, str(spec), scale="paper", overrides=(f"data.path={source}",))
    report = reported(tmp_path, str(spec))
    for text in (markdown(report), latex(report)):
        assert "data.path=b.npz" in text
        assert str(tmp_path) not in text


def test_a_line_of_a_table_has_a_text_per_column(table1: Report) -> None:
    for columns in ((0,), (0, 6, 10), tuple(range(11))):
        table = TextTable(table1.sections[0], columns)
        assert {len(line.texts) for row in table.rows for line in row} == {len(columns)}
        assert all(any(text.words for text in line.texts) for row in table.rows for line in row)


@pytest.mark.skipif(PDFLATEX is None, reason="no LaTeX is installed")
@pytest.mark.slow
def test_latex_compiles_it_without_an_overfull_box(table1: Report, tmp_path: Path) -> None:
    spec = own_spec(tmp_path)
    text = spec.read_text(encoding="utf-8").replace('"two"]', '"two"]\nrows_are = ' + repr(SPECIAL))
    spec.write_text(text, encoding="utf-8")
    requested(tmp_path, str(spec), scale="paper")
    mine = reported(tmp_path, str(spec))
    body = latex(table1) + latex(mine)
    packages = "\\usepackage{booktabs}\\usepackage{graphicx}"
    (tmp_path / "all.tex").write_text(
        f"\\documentclass{{article}}{packages}\\begin{{document}}{body}\\end{{document}}",
        encoding="ascii",
    )
    command = [str(PDFLATEX), "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert "too large" not in done.stdout
