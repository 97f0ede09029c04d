"""Methods that are no methods, and reports of what is not there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clumsy import Command, Prepare, check, command, holding

import ekd.methods
from ekd.methods import discover
from ekd.plan import sheets
from ekd.store import Request, Store

__all__ = ["command"]

# Methods that are no methods


@pytest.fixture
def methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A second folder in which methods are found."""
    folder = tmp_path / "methods"
    folder.mkdir()
    monkeypatch.setattr(ekd.methods, "__path__", [*ekd.methods.__path__, str(folder)])
    discover.cache_clear()
    yield folder
    for file in folder.glob("*.py"):
        sys.modules.pop(f"ekd.methods.{file.stem}", None)
    discover.cache_clear()


BROKEN = [
    ("class", "line 1: cannot be imported, invalid syntax: mend it"),
    ("import nothing_of_this_name", "broken.py cannot be imported: ModuleNotFoundError"),
    ("raise RuntimeError('two\\nlines')", "broken.py cannot be imported: RuntimeError"),
    ("import sys; sys.exit()", "broken.py cannot be imported: SystemExit"),
    ("", "defines 0 methods"),
    ("\x00", "broken.py"),
]


@pytest.mark.parametrize(("text", "told"), BROKEN)
def test_a_broken_method_is_told_where_it_is_named_and_only_there(
    command: Command, spec: str, methods: Path, text: str, told: str
) -> None:
    (methods / "broken.py").write_text(text)
    check(command, 2, told, "ekd-run", spec, "-s", "method.name=broken", "-s", "teachers=[]")
    # A cell of `plain` is asked whether any method knows the readings: the broken one is passed.
    request = Request(exhibits=(spec,), scale="paper", overrides=("readings.name=eq8",))
    assert sheets(request, Path())


# Reports


def asked(folder: Path, **changes: Any) -> Path:
    """Ask for tiny.toml as ekd-run does."""
    given = {"exhibits": (str(Path("tiny.toml").resolve()),), "scale": "paper"}
    Store(folder / "runs").open().add_request(Request(**given | changes))
    return folder


def spec_now(content: str | None) -> Prepare:
    """Ask for tiny.toml, then change it or take it away."""

    def change(folder: Path) -> None:
        asked(folder)
        Path("tiny.toml").unlink() if content is None else Path("tiny.toml").write_text(content)

    return change


def request_of(**changes: Any) -> Prepare:
    return lambda folder: asked(folder, **changes)


STORE = "runs/store.json"
REPORTS: list[tuple[str, Prepare | None, int, str]] = [
    ("", None, 2, "nothing was requested in runs: start with"),
    ("table1", None, 2, "table1 was never requested in runs"),
    ("tabel1", None, 2, "did you mean 'table1'?"),
    ("nowhere.toml", None, 2, "nowhere.toml: give the path of a spec"),
    ("../table1", None, 2, "did you mean 'table1'?"),
    ("--root nowhere", None, 2, "nothing was requested in nowhere"),
    ("--root tiny.toml", None, 2, "Directory 'tiny.toml' is a file"),
    ("--root .", None, 2, "nothing was requested in ."),
    ("--nonsense", asked, 2, "--nonsense"),
    ("--scale smok", asked, 2, "did you mean 'smoke'?"),
    ("--scale ''", asked, 2, "no scale ''"),
    ("--scale smoke", asked, 2, "was never requested at scale smoke in runs, only at paper"),
    ("table2", asked, 2, "table2 was never requested in runs (requested: "),
    ("--out tiny.toml", asked, 2, "Directory 'tiny.toml' is a file"),
    ("--out tiny.toml/x", asked, 4, "cannot write to tiny.toml/x: Not a directory"),
    ("--out /proc/x", asked, 4, "cannot write to /proc/x"),
    ("", spec_now(None), 2, "tiny.toml was requested but is gone: put it back"),
    ("tiny.toml", spec_now(None), 2, "tiny.toml was requested but is gone: put it back"),
    ("", spec_now(""), 2, "tiny.toml: kind: a value is needed"),
    ("", spec_now("kind = "), 2, "tiny.toml: not valid TOML"),
    ("", holding(STORE, "hello"), 4, "store.json is damaged"),
    ("", holding(STORE, ""), 4, "store.json is damaged"),
    ("", holding(STORE, b"\xff"), 4, "store.json is damaged"),
    ("", holding(STORE, "{}"), 4, "store.json"),
    ("", holding(STORE, "[1]"), 4, "store.json"),
    ("", holding(STORE, '{"format": 99}'), 4, "written by a newer ekd"),
    ("", request_of(exhibits=("table99",)), 2, "no exhibit 'table99'"),
    ("", request_of(scale="huge"), 2, "no scale 'huge'"),
    ("", request_of(overrides=("rubbish",)), 2, "-s 'rubbish'"),
    ("", request_of(overrides=("recipe.epochs=x",)), 2, "-s recipe.epochs=x"),
]


@pytest.mark.parametrize(
    ("line", "prepare", "code", "text"), REPORTS, ids=[f"{r[0]}: {r[3]}" for r in REPORTS]
)
def test_a_wrong_report(
    command: Command, spec: str, line: str, prepare: Prepare | None, code: int, text: str
) -> None:
    words = ["" if word == "''" else word for word in line.split()]
    check(command, code, text, "ekd-report", *words, prepare=prepare)


REQUESTS = [b"x", b"", b"\xff\xfe", b"[]", b"{}", b'{"exhibits": ["table1"], "scale": "smoke"}']


@pytest.mark.parametrize("content", REQUESTS)
def test_a_damaged_request(command: Command, spec: str, content: bytes) -> None:
    asked(Path())
    (file,) = Path("runs/requests").iterdir()
    check(command, 4, file.name, "ekd-report", prepare=holding(str(file), content))
