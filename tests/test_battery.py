"""The battery: it lets sound methods pass, and each of its checks catches a broken one."""

from __future__ import annotations

import ast
import copy
import random
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from tiny_objectives import METHODS
from torch import Tensor, nn

import ekd.methods
import ekd.testing
from ekd.losses import cross_entropy
from ekd.methods import Batch, Method, Objective, Step, copied, frozen
from ekd.models import CompNet
from ekd.spec import Parent, Run
from ekd.testing import CHECKS

BY_NAME = {check.__name__.removeprefix("check_"): check for check in CHECKS}


# A sound method with everything: a teacher, noise, a layer of its own, a run before the main one


class SoundObjective(Objective):
    def __init__(self, fields: Sound, student: CompNet, teachers: Sequence[CompNet]) -> None:
        super().__init__(student, self.taken(teachers))
        self.fields = fields
        self.regressor = nn.Linear(64 * len(student.branches), 64)

    def taken(self, teachers: Sequence[CompNet]) -> list[nn.Module]:
        return [frozen(teacher) for teacher in teachers]

    def features(self, student: Tensor) -> Tensor:
        return student

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        student, teacher = self.student(batch.x), self.teachers(batch.x)
        difference = self.regressor(self.features(student.pooled)) - teacher.pooled
        kept = torch.rand(difference.shape, generator=batch.generator) < 0.5
        hint = (difference.square() * kept).mean()
        ce = cross_entropy(student.logits, batch.y)
        return student.logits, {"ce_student": (1 - progress) * ce + ce, "hint": hint}


class Sound(Method):
    """A method of this test (arXiv 1909.08097)."""

    numerics: ClassVar[int] = 1
    readings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"as it is": {"weight": 1.0}}

    stage: Literal["main", "hint"] = "main"
    """Which of the two runs."""
    weight: float = 1.0
    """Does nothing."""
    sizes: tuple[int, ...] = (1, 2)
    """Does nothing."""

    coupled: ClassVar[type[SoundObjective]] = SoundObjective

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        return self.coupled(self, student, teachers)

    def teacher_count(self, run: Run) -> int | None:
        return 1

    def chain(self, run: Run) -> Run:
        if run.start or self.stage == "hint":
            return run
        before = run.model_copy(update={"method": type(self)(stage="hint")})
        return run.model_copy(update={"start": Parent(run=before)})


SOUND: dict[str, Method] = {
    "its own": Sound(),
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


# Broken ones, each in one place


class Silent(Sound):
    pass


class Unexplained(Sound):
    power: int = 2


class LosesItsTuple(Sound):
    layers: Any = (1, 2)
    """A tuple becomes a list in JSON."""


class WrongReading(Sound):
    readings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"wrong": {"weight": "much"}}


class OtherDefaults(Sound):
    readings: ClassVar[Mapping[str, Mapping[str, Any]]] = {"first": {"weight": 2.0}}


class Unsaid(Sound):
    teacher_count = Method.teacher_count


class AnyNumber(Sound):
    class Pairs(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            list(zip(self.student.branches, self.teachers.nets, strict=True))
            return super().terms(batch, progress)

    coupled = Pairs

    def teacher_count(self, run: Run) -> int | None:
        return None


class TwoLines(Sound):
    def refuses(self, run: Run) -> str | None:
        return "no:\nnever" if run.student.branches == 3 else None


class HookFails(Sound):
    def refuses(self, run: Run) -> str | None:
        return None if 1 // (3 - run.student.branches) else "never"


class NotFinite(Sound):
    class OneBranchOnly(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            logits, terms = super().terms(batch, progress)
            return logits, terms | {"nan": logits.sum() / (len(self.student.branches) - 1)}

    coupled = OneBranchOnly


class StartsAnew(Sound):
    class Objective(SoundObjective):
        def __init__(self, fields: Sound, student: CompNet, teachers: Sequence[CompNet]) -> None:
            super().__init__(fields, student, teachers)
            nn.init.zeros_(student.branches[0].linear.weight)  # type: ignore[arg-type]

    coupled = Objective


class KeepsItElsewhere(Sound):
    class Objective(SoundObjective):
        def __init__(self, fields: Sound, student: CompNet, teachers: Sequence[CompNet]) -> None:
            super().__init__(fields, student, teachers)
            self.kept, self.teachers = self.teachers, type(self.teachers)([])

    coupled = Objective


class HiddenTerm(Sound):
    class Objective(SoundObjective):
        def forward(self, batch: Batch, progress: float) -> Step:  # type: ignore[misc]
            step = super().forward(batch, progress)
            return Step(step.loss * 2, step.logits, step.terms)

    coupled = Objective


class TermPerImage(Sound):
    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            logits, terms = super().terms(batch, progress)
            return logits, terms | {"ce": -logits.log_softmax(1)[:, 0]}

    coupled = Objective


class Detached(Sound):
    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            logits, terms = super().terms(batch, progress)
            return logits, {name: term.detach() for name, term in terms.items()}

    coupled = Objective


class GlobalNoise(Sound):
    class Objective(SoundObjective):
        def features(self, student: Tensor) -> Tensor:
            return student + torch.rand(student.shape)

    coupled = Objective


class RebuiltTensor(Sound):
    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            logits, terms = super().terms(batch, progress)
            values = [term.item() for term in terms.values()]
            return logits, {"all": torch.tensor(values, requires_grad=True).sum()}

    coupled = Objective


class OneBranchOf(Sound):
    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            student = self.student(batch.x)
            ce = cross_entropy(student.branches[0], batch.y)
            return student.logits, {"ce": ce + 0 * self.regressor.weight.sum()}

    coupled = Objective


class IdleBefore(Sound):
    numerics: ClassVar[int] = 2  # a key of its own for the run before

    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            logits, terms = super().terms(batch, progress)
            if self.fields.stage == "main":
                return logits, terms
            self.student.eval()  # its BatchNorm statistics stay too
            hint = self.regressor(self.student(batch.x).pooled.detach()).square().mean()
            return logits, {"hint": hint}

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            if getattr(self, "fields", None) and self.fields.stage == "hint":
                self.student.eval()
            return self

    coupled = Objective


class IdleLayer(Sound):
    class Objective(SoundObjective):
        def __init__(self, fields: Sound, student: CompNet, teachers: Sequence[CompNet]) -> None:
            super().__init__(fields, student, teachers)
            self.adapter = nn.Linear(64, 64)

    coupled = Objective


class IdleCopies(Sound):
    class Objective(SoundObjective):
        def taken(self, teachers: Sequence[CompNet]) -> list[nn.Module]:
            return [copied(teacher) for teacher in teachers]

        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            with torch.no_grad():
                self.teachers(batch.x)
            logits = self.student(batch.x).logits
            return logits, {"ce": cross_entropy(logits, batch.y)}

    coupled = Objective


class Drifts(Sound):
    """No gradient, but BatchNorm statistics of the batch: eval() was forgotten."""

    class Objective(SoundObjective):
        def taken(self, teachers: Sequence[CompNet]) -> list[nn.Module]:
            return [copy.deepcopy(teacher).requires_grad_(False) for teacher in teachers]

    coupled = Objective


class UsesTheOriginal(Sound):
    class Objective(SoundObjective):
        def __init__(self, fields: Sound, student: CompNet, teachers: Sequence[CompNet]) -> None:
            super().__init__(fields, student, teachers)
            self.hidden = list(teachers)  # no module sees it, but its statistics drift

        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            self.hidden[0](batch.x)
            return super().terms(batch, progress)

    coupled = Objective


class HoldsTheOriginal(Sound):
    class Objective(SoundObjective):
        def taken(self, teachers: Sequence[CompNet]) -> list[nn.Module]:
            return list(teachers)

    coupled = Objective


class OwnDice(Sound):
    class Objective(SoundObjective):
        def features(self, student: Tensor) -> Tensor:
            return student * random.random()

    coupled = Objective


class CountsInPython(Sound):
    class Objective(SoundObjective):
        steps = 0

        def features(self, student: Tensor) -> Tensor:
            self.steps += 1  # not in its state
            return student * (1 + self.steps)

    coupled = Objective


REFUSED = "what_cannot_be_trained_is_refused"
MUTANTS: list[tuple[type[Method], str, str]] = [
    (Silent, "it_cites_its_paper", "cites no source"),
    (Unexplained, "every_field_is_explained_and_has_a_default", "power has no docstring"),
    (LosesItsTuple, "fields_survive_json", "layers is .1, 2., and .1, 2. after JSON"),
    (WrongReading, "named_readings_are_fields", "the reading wrong: .* valid number"),
    (OtherDefaults, "named_readings_are_fields", "the first reading, first, is not"),
    (Unsaid, REFUSED, "teachers = none, but then fails with RuntimeError"),
    (AnyNumber, REFUSED, "branches = 1, teachers = resnet8, resnet14, but then fails"),
    (TwoLines, REFUSED, "refuses student.branches = 3, .* without one sentence"),
    (HookFails, REFUSED, r"branches = 3, .*: refuses\(\) failed with ZeroDivision"),
    (NotFinite, REFUSED, "takes student.branches = 1, .* its loss is"),
    (StartsAnew, "the_student_starts_as_under_any_method", "linear.weight"),
    (KeepsItElsewhere, "every_network_is_named", "names its networks"),
    (HiddenTerm, "the_loss_is_the_sum_of_its_terms", "its terms sum to"),
    (TermPerImage, "the_loss_is_the_sum_of_its_terms", "ce is no finite scalar"),
    (Detached, "the_loss_is_the_sum_of_its_terms", "has no gradient"),
    (GlobalNoise, "the_global_random_state_is_left_alone", "global stream"),
    (RebuiltTensor, "the_student_moves", "no gradient reaches student"),
    (OneBranchOf, "the_student_moves", "no gradient reaches student.branches.1"),
    (IdleBefore, "the_student_moves", "run before the main one leaves"),
    (IdleLayer, "layers_of_its_own_move", "adapter.weight and 1 more"),
    (IdleCopies, "joint_teachers_move", "get no gradient: teachers"),
    (Drifts, "frozen_teachers_stay_bit_equal", "running_mean moves"),
    (UsesTheOriginal, "stored_teachers_stay_as_they_are", "teacher 1 itself is changed"),
    (HoldsTheOriginal, "stored_teachers_stay_as_they_are", "holds a teacher as it came"),
    (OwnDice, "the_same_seed_gives_the_same_training", "another loss in epoch 1"),
    (CountsInPython, "a_resumed_training_ends_alike", "stopped and resumed"),
]


@pytest.mark.parametrize(("kind", "name", "told"), MUTANTS)
def test_a_broken_method_is_caught(kind: type[Method], name: str, told: str) -> None:
    with pytest.raises(AssertionError, match=told) as caught:
        BY_NAME[name](kind())
    assert str(caught.value).startswith("test_battery: ")
    assert "\n" not in str(caught.value)


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
