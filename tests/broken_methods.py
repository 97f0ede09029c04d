"""A sound method, and broken ones: each breaks one promise of `ekd.testing`."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ekd.losses import cross_entropy
from ekd.methods import Batch, Method, Objective, Step, copied, frozen
from ekd.models import CompNet
from ekd.spec import Parent, Run

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


class Boasts(Sound):
    def trains_teachers(self) -> bool:
        return True


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
