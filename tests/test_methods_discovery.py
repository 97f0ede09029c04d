"""A method's file with a mistake in it: one sentence that names the file, and no other harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny

import ekd.methods
from ekd.methods import discover
from ekd.plan import derive
from ekd.spec import Parent, SpecError
from ekd.store import Store
from ekd.trainer import build

Drop = Callable[[str], str]
HEAD = """
from ekd.methods import Method
from ekd.methods.plain import PlainObjective

class Mine(Method):
"""
OBJECTIVE = """
    def objective(self, student, teachers):
        return PlainObjective(student, "sum")
"""


@pytest.fixture
def drop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drop]:
    """Write a method's file under a name of its own, and give that name."""
    monkeypatch.setattr(ekd.methods, "__path__", [*ekd.methods.__path__, str(tmp_path)])
    number = iter(range(100))

    def write(text: str) -> str:
        name = f"mine_{tmp_path.name}_{next(number)}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        discover.cache_clear()
        return name

    yield write
    discover.cache_clear()


WRONG = {
    "syntax": ("class", "cannot be imported"),
    "import": ("import nothing_of_this_name", "cannot be imported"),
    "none": ("", "defines 0 methods"),
    "two": (HEAD + OBJECTIVE + "class Other(Mine):\n    pass\n", "defines 2 methods"),
    "no objective": (HEAD + "    weight: float = 1.0\n", "lacks objective()"),
    "no default": (HEAD + "    weight: float\n" + OBJECTIVE, "'weight' needs a default value"),
    "hook": (HEAD + OBJECTIVE + "    def teacher_count(self):\n        return 1\n",
             "teacher_count() failed"),
    "refuses": (HEAD + OBJECTIVE + "    def refuses(self, run):\n        return 1 / 0\n",
                "refuses() failed"),
    "teachers": (HEAD + OBJECTIVE, "does not say that it takes any"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_in_one_sentence(drop: Drop, tmp_path: Path, case: str) -> None:
    text, told = WRONG[case]
    name = drop(text)
    values = {"data": {"name": "digits"}, "method": {"name": name}}
    values |= {"teachers": "T1"} if case == "teachers" else {}
    with pytest.raises(SpecError) as caught:
        derive(values, 0, tmp_path)
    assert told in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_called_like_something_of_the_contract_is_refused(drop: Drop) -> None:
    name = drop(HEAD + "    chain: int = 1\n" + OBJECTIVE)
    with pytest.raises(SpecError, match=r"'chain'|cannot be imported"):
        discover()[name]


def test_a_wrong_file_leaves_the_other_methods_alone(drop: Drop, tmp_path: Path) -> None:
    drop("class")
    assert derive({"data": {"name": "digits"}}, 0, tmp_path).method.name() == "plain"


def test_a_teacher_that_was_not_copied_or_frozen_is_refused(
    drop: Drop, tmp_path: Path, tiny_npz: Path
) -> None:
    kept = "    def objective(self, student, teachers):\n        return Kept(student, teachers)\n"
    body = "\nclass Kept(PlainObjective):\n    def __init__(self, student, teachers):\n"
    body += "        super().__init__(student, 'sum')\n        self.kept = teachers[0]\n"
    name = drop(HEAD + kept + body)
    store = Store(tmp_path).open()
    parent = tiny.plain(tiny.data(tiny_npz), epochs=1)
    tiny.trained(parent, store)
    changes = {"method": discover()[name](), "teachers": (Parent(run=parent),)}
    run = tiny.plain(tiny.data(tiny_npz), 1).model_copy(update=changes)
    with pytest.raises(TypeError, match="frozen"):
        build(run, tiny.CLASSES, store)
