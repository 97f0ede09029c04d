"""A strict reader of the LaTeX that a report writes: it refuses what LaTeX would stumble over."""

from __future__ import annotations

import re
from dataclasses import dataclass

ENVIRONMENT = re.compile(r"\\(begin|end)\{(\w+)\}")
SPAN = re.compile(r"\\multicolumn\{(\d+)\}\{[clr]\}\{(.*)\}", re.DOTALL)
RULES = ("\\toprule", "\\midrule", "\\bottomrule", "\\addlinespace", "\\cmidrule")
COMMANDS = {
    "begin", "end", "centering", "caption", "label", "footnotesize", "scriptsize", "setlength",
    "tabcolsep", "resizebox", "ifdim", "width", "linewidth", "else", "fi", "toprule", "midrule",
    "cmidrule", "addlinespace", "bottomrule", "multicolumn", "textit", "quad", "par", "medskip",
    "raggedright", "pm", "neq", "dag", "times", "alpha", "textless", "textgreater", "textbar",
    "textbackslash", "textasciitilde", "textasciicircum", "textasciigrave", "textendash",
    "textquotedblleft", "textquotedblright",
}  # fmt: skip


@dataclass(frozen=True)
class Tabular:
    """The rows between \\midrule and \\bottomrule, their cells as text; and the rows above."""

    head: list[list[str]]
    rows: list[list[str]]


def checked(source: str) -> list[Tabular]:
    """Give the tabulars of a document's part; AssertionError where LaTeX would not take it."""
    assert source.isascii()
    code = "\n".join(_code(line) for line in source.splitlines())
    _balanced(code)
    _known(code)
    bodies = re.findall(r"\\begin\{tabular\}\{(l r*|lr*)\}(.*?)\\end\{tabular\}", code, re.DOTALL)
    assert len(bodies) == code.count("\\begin{tabular}")
    outside = re.sub(r"\\begin\{tabular\}.*?\\end\{tabular\}", "", code, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)&", outside)
    return [_tabular(len(columns), body) for columns, body in bodies]


def _code(line: str) -> str:
    """Cut a comment off: a % that no backslash, or an even number of them, stands before."""
    match = re.match(r"(?:[^%\\]|\\.)*", line)
    assert match is not None
    return match[0]


def _balanced(code: str) -> None:
    open_now: list[str] = []
    for kind, name in ENVIRONMENT.findall(code):
        if kind == "begin":
            open_now.append(name)
        else:
            assert open_now.pop() == name
    assert not open_now
    plain = re.sub(r"\\.", "", code, flags=re.DOTALL)
    depth = 0
    for character in plain:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert plain.count("$") % 2 == 0


def _known(code: str) -> None:
    assert set(re.findall(r"\\([A-Za-z]+)", code)) <= COMMANDS
    outside_math = re.sub(r"\$[^$]*\$", "", re.sub(r"\\[^A-Za-z]", "", code))
    assert not set('#_^~<>|`"') & set(outside_math.replace(r"\ifdim\width>", ""))


def _tabular(columns: int, body: str) -> Tabular:
    head: list[list[str]] = []
    rows: list[list[str]] = []
    lines = [line for line in body.strip().splitlines() if line]
    assert lines[0] == "\\toprule"
    assert lines[-1] == "\\bottomrule"
    now = head
    for line in lines:
        if line.startswith(RULES):
            now = rows if line == "\\midrule" else now
            continue
        assert line.endswith(" \\\\"), line
        cells = re.split(r"(?<!\\) ?& ?", line.removesuffix(" \\\\"))
        assert not re.match(r"\s*[\[*]", cells[0]), "it would belong to the line break before it"
        spans = [SPAN.fullmatch(cell) for cell in cells]
        assert sum(int(span[1]) if span else 1 for span in spans) == columns, line
        now.append([span[2] if span else cell for span, cell in zip(spans, cells, strict=True)])
    return Tabular(head, rows)
