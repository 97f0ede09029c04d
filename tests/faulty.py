"""A method that fails or diverges in its first step while a file is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

from torch import Tensor

from ekd.methods import Batch, Method, Objective
from ekd.methods.plain import PlainObjective
from ekd.models import CompNet
from ekd.spec import Run


@final
class Faulty(Method):
    """Plain training, or no training at all."""

    broken: str = ""
    diverges: bool = False

    def teacher_count(self, run: Run) -> int | None:
        return 0

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        return FaultyObjective(student, Path(self.broken), self.diverges)


class FaultyObjective(PlainObjective):
    def __init__(self, student: CompNet, broken: Path, diverges: bool) -> None:
        super().__init__(student, "sum")
        self.broken, self.diverges = broken, diverges

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        logits, terms = super().terms(batch, progress)
        if self.broken.exists() and self.diverges:
            return logits, {"ce": terms["ce_student"] * float("nan")}
        if self.broken.exists():
            raise RuntimeError("a shape is wrong")
        return logits, terms
