"""The page: escaped, self-contained, and what a real browser makes of it."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from filled_store import fail, finish, measured, own_spec, requested

from ekd.report import collect
from ekd.report.page import page
from ekd.report.wording import Head, heads, signed
from ekd.spec import Parent
from ekd.spec.exhibit import Column
from ekd.spec.grid import Heading
from ekd.store import Store

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
                 if p), None)  # fmt: skip
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Outline(HTMLParser):
    """Count tags and collect every attribute that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]


def headings(*lines: tuple[str, ...]) -> tuple[Heading, ...]:
    return tuple(Heading(line, Column(label=line)) for line in lines)


def rendered(root: Path, name: str) -> str:
    (report,) = collect(Store(root), [name], None, root)
    return page(report)


def visible(text: str) -> str:
    """Give a page's text with all tags and runs of space taken out."""
    text = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("store")
    sheet = requested(root, "table1", seeds=(0, 1))
    finish(root, sheet.runs[0, 0][0], 90.0)
    finish(root, sheet.runs[0, 0][1], 92.0).write_provenance(
        [{"host": "the-host", "threads": 2, "revision": None, "versions": {"torch": "9.9"}}]
    )
    ensemble = {"accuracy": 0.9177}
    teachers = [{"net": "teacher-1", "arch": "resnet14", "accuracy": 0.9123}]
    taught = sheet.runs[0, 1][0]
    finish(root, taught, 93.0, teachers=teachers, teacher_ensemble=ensemble)
    fail(root, sheet.runs[1, 0][0], "diverged", "the loss was not finite in epoch 3")
    return rendered(root, "table1")


def test_equal_first_lines_of_neighbours_are_one_heading() -> None:
    columns = headings(("A", "x"), ("A", "y"), ("size",), ("A", "z"), ("B", "u", "v"))
    assert heads(columns) == [
        [Head(("A",), 2, 1), Head(("size",), 1, 2), Head(("A",), 1, 1), Head(("B",), 1, 1)],
        [Head(("x",), 1, 1), Head(("y",), 1, 1), Head(("z",), 1, 1), Head(("u", "v"), 1, 1)],
    ]


def test_single_lines_are_one_row_of_headings() -> None:
    assert heads(headings(("a",), ("a2",))) == [[Head(("a",), 1, 1), Head(("a2",), 1, 1)]]


def test_differences_have_a_sign() -> None:
    assert [signed(value) for value in (0.314, -1.5)] == ["+0.31", "\N{MINUS SIGN}1.50"]


def test_what_a_spec_says_stays_text(tmp_path: Path) -> None:
    spec = own_spec(tmp_path)
    requested(tmp_path, str(spec), scale="paper", overrides=("recipe.epochs=2",))
    text = rendered(tmp_path, str(spec))
    tags = Outline(text).tags
    assert "script" not in tags
    assert "i" not in tags
    assert "&lt;script&gt;alert(&#39;row&#39;)&lt;/script&gt;" in text
    assert "A &amp; B" in text
    assert "&lt;b&gt;bold&lt;/b&gt; is text here" in text


def test_a_page_loads_nothing(table: str) -> None:
    assert all(link.startswith(("#", "data:")) for link in Outline(table).links)
    assert "@import" not in table
    assert "url(" not in table
    assert "http" not in table


def test_a_number_never_stands_alone(table: str) -> None:
    text = visible(table)
    assert "91.00 ± 12.71 n = 2 paper 87.51" in text
    assert "93.00 n = 1 · 1 missing paper 89.66" in text
    assert "scale smoke" in text
    assert "digits in place of CIFAR-10" in text
    assert "missing 1 diverged paper 86.60" in text
    assert "38.25 ✓ paper 38.25" in text


def test_the_details_tell_where_a_number_comes_from(table: str) -> None:
    text = visible(table)
    for said in (
        "over 2 seeds: 78.29 to 103.71, as computed: seeds so few and so different tell little.",
        "95 % Wilson interval over its 1000 test images alone",
        "teacher-1 (resnet14) 91.23; their ensemble 91.77",
        "diverged: the loss was not finite in epoch 3",
        "temperature 10.0",
        "host the-host",
        "revision unknown",
        "versions torch 9.9",
    ):
        assert said in text


OWN_SPEC = """
title = "Mine"
kind = "table"
compare = ["one"]
run.data.name = "digits"
[[rows]]
label = "one"
[[rows]]
label = "two"
set = { student.branches = 2 }
[[columns]]
label = "accuracy"
"""


def test_a_page_explains_only_what_it_shows(table: str, tmp_path: Path) -> None:
    spec = tmp_path / "own.toml"
    spec.write_text(OWN_SPEC, encoding="utf-8")
    sheet = requested(tmp_path, str(spec), scale="paper", seeds=(0, 1))
    for row, accuracies in enumerate(([90.0], [91.0, 93.0])):
        for run, accuracy in zip(sheet.runs[row, 0], accuracies, strict=False):
            finish(tmp_path, run, accuracy)
    text = visible(rendered(tmp_path, str(spec)))
    assert "measured : mean test accuracy" in text
    assert "92.00 ± 12.71 n = 2 +1.00 over one (n = 1)" in text
    assert "arXiv" not in text
    legend = text.partition("scale paper")[0]
    for other in ("the paper", "quoted", "computed", "reproduced", "timed"):
        assert other not in legend
    text = visible(table)
    assert "paper : as printed there" in text
    assert "ours minus the paper" not in text  # digits stand in place of the paper's data
    assert "computed from the network's layers" in text
    assert "arXiv 1909.08097" in text
    assert "quoted" not in text
    assert "our interval widened" not in text


def test_a_single_seed_has_no_interval_and_no_verdict_beside_it(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1", scale="paper", seeds=(0,))
    finish(tmp_path, sheet.runs[0, 0][0], 87.61)
    text = rendered(tmp_path, "table1")
    assert "87.61 n = 1 paper 87.51 +0.10 missing" in visible(text)
    assert "verdict" not in text.partition("<tbody>")[2]


def test_the_details_name_the_network_that_is_learnt_from(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1")
    teachers = sheet.runs[1, 1][0]  # two branches with EKD: ResNet14 and ResNet20 beside them
    (report,) = collect(Store(tmp_path), [], None, tmp_path)
    cell = measured(report.sections[0], 0, 0)
    taught = cell.seeds[0].run.model_copy(
        update={"teachers": (Parent(run=teachers, net="teacher-2"),)}
    )
    seed = dataclasses.replace(cell.seeds[0], run=taught)
    report.sections[0].cells[0, 0] = dataclasses.replace(cell, seeds=(seed,))
    assert f"{teachers.key} resnet20, its teacher-2" in visible(page(report))


def test_an_interval_of_possible_accuracies_needs_no_remark(tmp_path: Path) -> None:
    sheet = requested(tmp_path, "table1", seeds=(0, 1))
    for run, accuracy in zip(sheet.runs[0, 0], (90.0, 90.2), strict=True):
        finish(tmp_path, run, accuracy)
    text = visible(rendered(tmp_path, "table1"))
    assert "over 2 seeds: 88.83 to 91.37." in text
    assert "as computed" not in text


def test_assumptions_are_listed(table: str) -> None:
    assert "<li>The paper names no seeds" in table


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_shows_every_row_and_opens_the_details_of_a_number(
    table: str, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(table, encoding="utf-8")
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
               f"{path.as_uri()}#s1-r2-c1"]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    body = re.search(r'<table class="exhibit">.*?<tbody>(.*?)</tbody>', dom, re.DOTALL)
    assert body is not None
    assert body[1].count("<tr>") == 3
    assert body[1].count("<td>") == 3 * 5
    assert dom.count("<details") > 6
    assert len(re.findall(r'<details class="(?:runs|cell)" open', dom)) == 2
    assert all(link.startswith(("#", "data:")) for link in Outline(dom).links)
