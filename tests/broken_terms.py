"""Methods whose terms, logits or statistics train nothing; one seeds what is not its own."""

from __future__ import annotations

import torch
from broken_methods import Sound, SoundObjective
from torch import Tensor

from ekd.methods import Batch


class NoNumber(Sound):
    """A term is no tensor; the run before has none such."""

    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            logits, terms = super().terms(batch, progress)
            more = {"margin": 0.0} if self.fields.stage == "main" else {}
            return logits, terms | more  # type: ignore[operator]

    coupled = Objective


class IdleTerm(Sound):
    """One term is rebuilt without its gradient, the other one trains the student."""

    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            logits, terms = super().terms(batch, progress)
            return logits, terms | {"hint": torch.tensor([terms["hint"].item()]).sum()}

    coupled = Objective


class TeachersLogits(Sound):
    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            return self.teachers(batch.x).logits, super().terms(batch, progress)[1]

    coupled = Objective


class SeedsItself(Sound):
    class Objective(SoundObjective):
        def features(self, student: Tensor) -> Tensor:
            torch.manual_seed(0)
            return student + torch.rand(student.shape)

    coupled = Objective


class StudentInEval(Sound):
    class Objective(SoundObjective):
        def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
            self.student.eval()
            return super().terms(batch, progress)

    coupled = Objective
