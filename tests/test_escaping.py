"""Any text shows as it is in Markdown and LaTeX, and the tests' own reader of LaTeX is strict."""

from __future__ import annotations

import re

import pytest
from latex_reader import checked

from ekd.report.markdown import escaped as in_markdown
from ekd.report.tex import escaped as in_latex

SPECIAL = r"""A & B 50 % $x$ #1 a_b {c} ~ ^ \ <i> | `q` "said" *[x]* --seed"""


def test_markdown_shows_special_characters_as_they_are() -> None:
    text = in_markdown(SPECIAL)
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text) == SPECIAL
    bare = re.sub(r"\\.", "", text)
    assert not set("&$#_{}~\\<>|`*[]") & set(bare)
    assert in_markdown("a\n| b") == r"a \| b"
    assert [in_markdown(t) for t in ("1. x", "2) x", "- x", "+ x", "12.75", "-0.3", "-s x=1")] == [
        r"1\. x", r"2\) x", r"\- x", r"\+ x", "12.75", "-0.3", "-s x=1"
    ]  # fmt: skip


def test_latex_shows_special_characters_as_they_are() -> None:
    assert in_latex("50 % & $x$ #1 a_b {c}") == r"50 \% \& \$x\$ \#1 a\_b \{c\}"
    assert in_latex("~^\\") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert in_latex("<i>|`") == r"\textless{}i\textgreater{}\textbar{}\textasciigrave{}"
    assert in_latex('"a" ("b")') == (
        r"\textquotedblleft{}a\textquotedblright{} "
        r"(\textquotedblleft{}b\textquotedblright{})"
    )
    assert in_latex("[1]* --seeds") == r"{[}1{]}{*} -{}-seeds"
    symbols = "\N{PLUS-MINUS SIGN}\N{MULTIPLICATION SIGN}\N{EN DASH}\N{MINUS SIGN}\N{NOT EQUAL TO}"
    assert in_latex(symbols) == r"$\pm$$\times$\textendash{}$-$$\neq$"
    assert in_latex("\N{GREEK SMALL LETTER ALPHA}") == r"$\alpha$"
    assert in_latex("Müller, Čech") == r"M\"{u}ller, \v {C}ech"
    assert in_latex("\N{CJK UNIFIED IDEOGRAPH-4E2D}") == "{[}U+4E2D{]}"
    assert in_latex("a\n%\\end{table}") == r"a \%\textbackslash{}end\{table\}"


def test_the_reader_refuses_what_latex_would_stumble_over() -> None:
    good = "\\begin{tabular}{lr}\n\\toprule\na & b \\\\\n\\midrule\n1 & 2 \\\\\n\\bottomrule\n"
    end = "\\end{tabular}\n"
    assert checked(good + end)[0].rows == [["1", "2"]]
    for wrong in (
        good,
        good.replace("1 & 2", "1") + end,
        good.replace("1 & 2", "1 & 2 & 3") + end,
        good.replace("1 & 2", "1 & a_b") + end,
        good.replace("1 & 2", "1 & 50 %") + end,
        good.replace("1 & 2", "[1] & 2") + end,
        good.replace("1 & 2", "1 & {2") + end,
        good.replace("1 & 2", "1 & $2") + end,
        good.replace("1 & 2", "1 & \\unknown") + end,
        good.replace("1 & 2", "1 & \N{PLUS-MINUS SIGN}") + end,
    ):
        with pytest.raises((AssertionError, IndexError)):
            checked(wrong)
