"""Ensemble Knowledge Distillation, with every point that its paper leaves open as a field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ekd.losses import (
    KlForm,
    KlScale,
    MseSpace,
    Reduction,
    cross_entropy,
    kl_divergence,
    mean_squared_error,
)
from ekd.methods import FORWARD, FORWARD_AND_BACKWARD, Batch, Method, Objective, copied, frozen
from ekd.models import CompNet
from ekd.spec import Run


@final
class Ekd(Method):
    """Ensemble Knowledge Distillation for Learning Improved and Efficient Networks.

    Asif, Tang, Harrer, arXiv 1909.08097, Eq. 5 and 8: alpha CE(P_t) + beta CE(P_s) + gamma L_KD,
    where L_KD is KL + MSE between the sums and between each branch and its teacher.
    """

    readings: ClassVar[dict[str, dict[str, Any]]] = {
        "torch2019": {"kl_reduction": "mean", "mse_reduction": "mean"},
        "eq8": {"kl_reduction": "batchmean", "mse_reduction": "mean"},
    }

    alpha: float = Field(0.5, ge=0, le=100)
    """Weight of the teachers' cross-entropy (Sec. 4.2). 0 means frozen teachers: weight decay
    alone would destroy them."""
    beta: float = Field(0.5, ge=0, le=100)
    """Weight of the student's cross-entropy (Sec. 4.2)."""
    gamma: float = Field(0.6, ge=0, le=100)
    """Weight of the distillation (Sec. 4.2; outside the set that Eq. 5 names)."""
    temperature: float = Field(10.0, gt=0, le=1000)
    """T, which softens the teachers' outputs (Sec. 4.2)."""
    kl_form: KlForm = "torch"
    """torch: log-probabilities of the student against probabilities of the softened teacher, as
    the sentence above Eq. 9 says. softened: the student's logits are divided by T too. reverse:
    KL(student || teacher). literal: Eq. 9 as printed, which has its log on one side only."""
    kl_reduction: Reduction = "mean"
    """mean: over batch and classes, what torch's KLDivLoss did in 2019. batchmean: over the batch
    only, Eq. 9's sum over classes."""
    kl_scale: KlScale = "none"
    """Eq. 8 has no factor; temperature_squared is Hinton's."""
    mse_space: MseSpace = "logits"
    """Sec. 3.3 calls P logits; probabilities compares softmax outputs."""
    mse_reduction: Reduction = "mean"
    """mean: over batch and classes, torch's MSELoss. batchmean: summed over classes."""
    teacher_gradient: Literal["detach", "flow"] = "detach"
    """Whether L_KD also trains the teachers: the paper does not say, Eq. 5 on one optimiser would.
    Detached, the teachers stay independent classifiers (Sec. 3.2)."""
    teacher_update: Literal["joint", "frozen"] = "joint"
    """Sec. 4.2: the teachers are fine-tuned together with the student; frozen: they stay."""
    teacher_mode: Literal["train", "eval"] = "train"
    """BatchNorm of the teachers: batch statistics while they train, else the stored ones."""
    branch_ce: Literal["none", "each"] = "none"
    """Eq. 5 has a cross-entropy on the sum only; each adds one per branch, weighted by beta."""
    pairing: Literal["aligned", "reversed", "all"] = "aligned"
    """Branch i learns from teacher i (Eq. 8); from the teachers in reverse order; or from every
    teacher, averaged over them."""

    @model_validator(mode="before")
    @classmethod
    def _dependent_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.get("alpha") == 0 and values.get("teacher_gradient") != "flow":
            values.setdefault("teacher_update", "frozen")
        if values.get("teacher_update") == "frozen":
            values.setdefault("alpha", 0.0)
            values.setdefault("teacher_mode", "eval")
        return values

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Couple the student with copies of its teachers."""
        return EkdObjective(self, student, teachers)

    def teacher_count(self, run: Run) -> int | None:
        """One teacher per branch, or any number where every branch learns from all."""
        return None if self.pairing == "all" else run.student.branches

    def chain(self, run: Run) -> Run:
        """Settle the pairing of one branch with one teacher: there is only one."""
        if run.student.branches == len(run.teachers) == 1 and self.pairing != "aligned":
            return run.model_copy(update={"method": self.model_copy(update={"pairing": "aligned"})})
        return run

    def trains_teachers(self) -> bool:
        """Joint teachers are trained along."""
        return self.teacher_update == "joint"

    def teacher_passes(self, run: Run) -> float:
        """Joint teachers are trained, frozen ones only asked."""
        return FORWARD_AND_BACKWARD if self.teacher_update == "joint" else FORWARD

    def refuses(self, run: Run) -> str | None:
        """Refuse weights that leave a network without a reason to learn."""
        if self.beta == 0 and self.gamma == 0:
            return "beta = gamma = 0 leaves the student untrained: raise one of them"
        if self.teacher_update == "frozen":
            if self.alpha > 0:
                return "alpha trains the teachers, so frozen teachers take alpha = 0"
            if self.teacher_mode == "train":
                return "frozen teachers take teacher_mode = 'eval', or their statistics drift"
            if self.teacher_gradient == "flow":
                return "frozen teachers take no gradient: teacher_gradient = 'detach'"
        elif self.alpha == 0 and self.teacher_gradient == "detach":
            return (
                "joint teachers with alpha = 0 get no gradient and weight decay destroys them: "
                "raise alpha or say teacher_update = 'frozen'"
            )
        return None


class EkdObjective(Objective):
    """Eq. 5: the student, its teachers and the terms between them."""

    def __init__(self, fields: Ekd, student: CompNet, teachers: Sequence[CompNet]) -> None:
        joint, mode = fields.teacher_update == "joint", fields.teacher_mode
        nets = [copied(t, always_eval=mode == "eval") if joint else frozen(t) for t in teachers]
        super().__init__(student, nets)
        self.fields = fields

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give P_s [B, K] and the weighted terms of Eq. 5."""
        fields, y = self.fields, batch.y
        student, teacher = self.student(batch.x), self.teachers(batch.x)
        terms = {"ce_student": fields.beta * cross_entropy(student.logits, y)}
        if fields.teacher_update == "joint":
            terms["ce_teachers"] = fields.alpha * cross_entropy(teacher.logits, y)
        if fields.branch_ce == "each":
            ce = (cross_entropy(branch, y) for branch in student.branches)
            terms["ce_branches"] = fields.beta * _total(ce)
        p_t, q_t = teacher.logits, teacher.branches  # [B, K], [N, B, K]
        if fields.teacher_gradient == "detach":
            p_t, q_t = p_t.detach(), q_t.detach()
        terms["kl_ensemble"] = fields.gamma * self._kl(student.logits, p_t)
        terms["mse_ensemble"] = fields.gamma * self._mse(student.logits, p_t)
        pairs = list(self._pairs(student.branches, q_t))
        share = fields.gamma * len(student.branches) / len(pairs)
        terms["kl_branches"] = share * _total(self._kl(*pair) for pair in pairs)
        terms["mse_branches"] = share * _total(self._mse(*pair) for pair in pairs)
        return student.logits, terms

    def _pairs(self, q_s: Tensor, q_t: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Pair branches with teachers: each [B, K]."""
        if self.fields.pairing == "all":
            return ((s, t) for s in q_s for t in q_t)
        return zip(q_s, q_t.flip(0) if self.fields.pairing == "reversed" else q_t, strict=True)

    def _kl(self, student: Tensor, teacher: Tensor) -> Tensor:
        fields = self.fields
        return kl_divergence(
            student,
            teacher,
            fields.temperature,
            form=fields.kl_form,
            reduction=fields.kl_reduction,
            scale=fields.kl_scale,
        )

    def _mse(self, student: Tensor, teacher: Tensor) -> Tensor:
        fields = self.fields
        return mean_squared_error(
            student, teacher, space=fields.mse_space, reduction=fields.mse_reduction
        )


def _total(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum()
