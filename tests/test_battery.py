"""The battery: it lets sound methods pass, and each of its checks catches a broken one."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import broken_methods as broken
import broken_terms as terms
import pytest
import torch
from tiny_objectives import METHODS

import ekd.methods
import ekd.testing
from ekd.methods import Method
from ekd.testing import CHECKS

BY_NAME = {check.__name__.removeprefix("check_"): check for check in CHECKS}


SOUND: dict[str, Method] = {
    "its own": broken.Sound(),
    "any number of teachers": METHODS["ekd"].model_validate({"pairing": "all"}),
    "as many frozen teachers as branches": METHODS["ekd"].model_validate({"alpha": 0.0}),
    "no teachers": METHODS["plain"].model_validate({"branches": "independent"}),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SOUND)
def test_a_sound_method_passes(name: str, check: Callable[[Method], None]) -> None:
    check(SOUND[name])


README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def shown(part: str) -> str:
    """Give the README's block of Python with this part."""
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if part in b)
    return str(block)


@pytest.fixture
def of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Method]:
    """The README's method, dropped as a file of its own."""
    (tmp_path / "the_readmes.py").write_text(shown("(Method):"), encoding="utf-8")
    monkeypatch.setattr(ekd.methods, "__path__", [*ekd.methods.__path__, str(tmp_path)])
    ekd.methods.discover.cache_clear()
    yield ekd.methods.discover()["the_readmes"]()
    ekd.methods.discover.cache_clear()


def test_a_third_partys_method_passes_without_pytest(of_the_readme: Method) -> None:
    for check in CHECKS:
        check(of_the_readme)


@pytest.mark.parametrize("text", [shown("ekd.testing"), ekd.testing.__doc__ or ""])
def test_the_lines_that_are_shown_give_a_test_per_check(text: str) -> None:
    lines = textwrap.dedent(
        re.sub(r".*With pytest:\n|Each check takes.*", "", text, flags=re.DOTALL)
    )
    names: dict[str, Any] = {}
    exec(lines.replace("my_method", "plain"), names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    (mark,) = test.pytestmark
    assert mark.args == ("check", CHECKS)
    test(BY_NAME["it_cites_its_paper"])


REFUSED = "what_cannot_be_trained_is_refused"
MUTANTS: list[tuple[type[Method], str, str]] = [
    (broken.Silent, "it_cites_its_paper", "cites no source"),
    (broken.Unexplained, "every_field_is_explained_and_has_a_default", "power has no docstring"),
    (broken.LosesItsTuple, "fields_survive_json", "layers is .1, 2., and .1, 2. after JSON"),
    (broken.WrongReading, "named_readings_are_fields", "the reading wrong: .* valid number"),
    (broken.OtherDefaults, "named_readings_are_fields", "the first reading, first, is not"),
    (broken.Unsaid, REFUSED, "teachers = none, but then fails with RuntimeError"),
    (broken.AnyNumber, REFUSED, "branches = 1, teachers = resnet8, resnet14, but then fails"),
    (broken.TwoLines, REFUSED, "refuses student.branches = 3, .* without one sentence"),
    (broken.HookFails, REFUSED, r"branches = 3, .*: refuses\(\) failed with ZeroDivision"),
    (broken.NotFinite, REFUSED, "takes student.branches = 1, .* its loss is"),
    (broken.StartsAnew, "the_student_starts_as_under_any_method", "linear.weight"),
    (broken.KeepsItElsewhere, "every_network_is_named", "names its networks"),
    (broken.HiddenTerm, "the_loss_is_the_sum_of_its_terms", "its terms sum to"),
    (broken.TermPerImage, "the_loss_is_the_sum_of_its_terms", "ce is no finite scalar"),
    (broken.Detached, "the_loss_is_the_sum_of_its_terms", "has no gradient"),
    (terms.NoNumber, "the_loss_is_the_sum_of_its_terms", "margin is no finite scalar"),
    (terms.IdleTerm, "the_loss_is_the_sum_of_its_terms", "hint has no gradient"),
    (terms.TeachersLogits, "the_loss_is_the_sum_of_its_terms", "give the student's"),
    (terms.StudentInEval, "the_student_moves", "in eval mode, student.* stays"),
    (broken.GlobalNoise, "the_global_random_state_is_left_alone", "global stream"),
    (broken.RebuiltTensor, "the_student_moves", "no gradient reaches student"),
    (broken.OneBranchOf, "the_student_moves", "no gradient reaches student.branches.1"),
    (broken.IdleBefore, "the_student_moves", "run before the main one leaves"),
    (broken.IdleLayer, "layers_of_its_own_move", "adapter.weight and 1 more"),
    (broken.IdleCopies, "joint_teachers_move", "get no gradient: teachers"),
    (broken.Boasts, "joint_teachers_move", "it does not train its teachers"),
    (broken.Drifts, "frozen_teachers_stay_bit_equal", "running_mean moves"),
    (broken.UsesTheOriginal, "stored_teachers_stay_as_they_are", "teacher 1 itself is changed"),
    (broken.HoldsTheOriginal, "stored_teachers_stay_as_they_are", "holds a teacher as it came"),
    (broken.OwnDice, "the_same_seed_gives_the_same_training", "another loss in epoch 1"),
    (broken.CountsInPython, "a_resumed_training_ends_alike", "stopped and resumed"),
]


@pytest.mark.parametrize(("kind", "name", "told"), MUTANTS)
def test_a_broken_method_is_caught(kind: type[Method], name: str, told: str) -> None:
    with pytest.raises(AssertionError, match=told) as caught:
        BY_NAME[name](kind())
    assert str(caught.value).startswith(f"{kind.name()}: ")
    assert "\n" not in str(caught.value)


def test_a_method_that_seeds_the_global_stream_is_caught_after_other_checks() -> None:
    with torch.random.fork_rng(devices=[]):
        BY_NAME["the_loss_is_the_sum_of_its_terms"](terms.SeedsItself())
        with pytest.raises(AssertionError, match="global stream"):
            BY_NAME["the_global_random_state_is_left_alone"](terms.SeedsItself())


def test_each_check_has_caught_a_broken_method() -> None:
    assert {name for _, name, _ in MUTANTS} == set(BY_NAME)


def test_all_checks_are_listed_and_say_what_they_demand() -> None:
    found = {name for name in vars(ekd.testing) if name.startswith("check_")}
    assert found == {check.__name__ for check in CHECKS} == set(ekd.testing.__all__) - {"CHECKS"}
    assert all((check.__doc__ or "").startswith("Demand ") for check in CHECKS)


def test_the_battery_needs_no_pytest() -> None:
    for path in Path(ekd.testing.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not any(name.partition(".")[0] == "pytest" for name in named)
