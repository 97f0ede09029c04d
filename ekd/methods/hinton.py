"""Hinton's distillation: the student learns the softened outputs of one frozen teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, final

from pydantic import Field, model_validator
from torch import Tensor

from ekd.losses import (
    KlScale,
    Reduction,
    annealed,
    cross_entropy,
    kl_divergence,
    soft_cross_entropy,
)
from ekd.methods import Batch, Method, Objective, frozen
from ekd.models import CompNet
from ekd.spec import Run


@final
class Hinton(Method):
    """Distilling the Knowledge in a Neural Network.

    Hinton, Vinyals, Dean, arXiv 1503.02531, Sec. 2: (1 - w) CE(y) + w T^2 KL(p_t^T || p_s^T), where
    p^T is the softmax of the logits divided by T. The paper publishes neither w nor T for images
    like these: the defaults are those of the programs of attention transfer and RepDistiller.
    """

    readings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "repdistiller": {"weight": 0.9, "temperature": 4.0, "reduction": "batchmean"},
        "heo": {
            "weight": 4.0,
            "weight_at_end": 1.0,
            "label_weight": "one",
            "temperature": 3.0,
            "soft_loss": "cross_entropy",
            "scale": "none",
        },
        "takd": {"weight": 0.2, "temperature": 2.0, "reduction": "mean"},
    }
    """repdistiller: as the defaults say. heo: CE + r H(p_t^3, p_s^3) with r from 4 to 1, the
    comparison of arXiv 1805.05532, where r falls once per epoch, here with every step. takd: the
    program of arXiv 1902.03393, with its authors' values for ResNet8 without an assistant on
    CIFAR-100."""

    weight: float = Field(0.9, ge=0, le=100)
    """w, the weight of the softened outputs (attention transfer, RepDistiller: 0.9)."""
    weight_at_end: float = Field(0.9, ge=0, le=100)
    """w when the training ends: it changes linearly. Where it is not given, w stays."""
    label_weight: Literal["rest", "one"] = "rest"
    """Weight of the labels' cross-entropy: 1 - w, or 1 whatever w is."""
    temperature: float = Field(4.0, ge=0.1, le=100)
    """T, which softens both outputs (attention transfer, RepDistiller: 4)."""
    soft_loss: Literal["kl", "cross_entropy"] = "kl"
    """KL(p_t^T || p_s^T), or H(p_t^T, p_s^T), the same and the teacher's entropy: other values,
    equal gradients."""
    scale: KlScale = "temperature_squared"
    """T^2 keeps the gradients of the softened outputs at one size whatever T is (Sec. 2)."""
    reduction: Reduction = "batchmean"
    """batchmean: summed over classes, the mean over the batch. mean: divided by the number of
    classes as well, as torch's KLDivLoss does where nobody says otherwise."""

    @model_validator(mode="before")
    @classmethod
    def _constant_unless_said(cls, values: Any) -> Any:
        if isinstance(values, dict) and "weight" in values:
            return {"weight_at_end": values["weight"]} | values
        return values

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Couple the student with its frozen teacher."""
        return HintonObjective(self, student, teachers)

    def teacher_count(self, run: Run) -> int | None:
        """Take one teacher."""
        return 1

    def refuses(self, run: Run) -> str | None:
        """Refuse to push the student away from the labels."""
        highest = max(self.weight, self.weight_at_end)
        if self.label_weight == "rest" and highest > 1:
            return (
                f"a weight of {highest:g} leaves less than nothing for the labels: take at most 1, "
                "or label_weight = 'one'"
            )
        return None


class HintonObjective(Objective):
    """Cross-entropy with the labels, and with the teacher's softened outputs."""

    def __init__(self, fields: Hinton, student: CompNet, teachers: Sequence[CompNet]) -> None:
        super().__init__(student, [frozen(teacher) for teacher in teachers])
        self.fields = fields

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the student's logits [B, K] and the two weighted terms."""
        fields = self.fields
        student, teacher = self.student(batch.x).logits, self.teachers(batch.x).logits  # [B, K]
        weight = annealed(fields.weight, fields.weight_at_end, progress)
        labels = 1 - weight if fields.label_weight == "rest" else 1.0
        return student, {
            "ce_student": labels * cross_entropy(student, batch.y),
            "kd": weight * distillation(student, teacher, fields),
        }


def distillation(student: Tensor, teacher: Tensor, fields: Hinton) -> Tensor:
    """Compare logits [B, K] once both are softened, as `fields` read Sec. 2."""
    temperature, reduction, scale = fields.temperature, fields.reduction, fields.scale
    if fields.soft_loss == "cross_entropy":
        return soft_cross_entropy(student, teacher, temperature, reduction=reduction, scale=scale)
    return kl_divergence(
        student, teacher, temperature, form="softened", reduction=reduction, scale=scale
    )
