"""Training on the labels alone: the teachers, the baselines, and the deep ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import Tensor

from ekd.losses import cross_entropy
from ekd.methods import Batch, Method, Objective
from ekd.models import CompNet
from ekd.spec import Run


@final
class Plain(Method):
    """No distillation: cross-entropy with the labels (Table 1, "no EKD")."""

    branches: Literal["sum", "independent"] = "sum"
    """Several branches: the cross-entropy of their combined output (the paper's Eq. 5 without its
    teachers), or of each branch by itself, averaged at test time (a deep ensemble)."""

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Build the cross-entropy; `teachers` is empty."""
        return PlainObjective(student, self.branches)

    def teacher_count(self, run: Run) -> int | None:
        """Take none: those of a row are for its other cells."""
        return 0

    def chain(self, run: Run) -> Run:
        """Average the probabilities of independent branches; one branch needs no reading."""
        if run.student.branches == 1:
            return run.model_copy(update={"method": Plain()})
        if self.branches == "independent":
            student = run.student.model_copy(update={"combine": "probability"})
            return run.model_copy(update={"student": student})
        return run


class PlainObjective(Objective):
    """Cross-entropy of the combined output, or the sum of the branches' own."""

    def __init__(self, student: CompNet, branches: Literal["sum", "independent"]) -> None:
        super().__init__(student)
        self.independent = branches == "independent"

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the logits [B, K] and the one term."""
        output = self.student(batch.x)
        if not self.independent:
            return output.logits, {"ce_student": cross_entropy(output.logits, batch.y)}
        # A sum, not a mean: each branch gets the gradient that it would get alone.
        ce = [cross_entropy(branch, batch.y) for branch in output.branches]
        return output.logits, {"ce_student": torch.stack(ce).sum()}
