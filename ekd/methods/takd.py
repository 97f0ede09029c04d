"""Teacher assistant distillation: teacher to assistant, then assistant to student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

from pydantic import Field

from ekd.losses import Reduction
from ekd.methods import Method, Objective, architecture
from ekd.methods.hinton import Hinton, HintonObjective
from ekd.models import CompNet
from ekd.spec import Architecture, Model, Parent, Run, depth_of


@final
class Takd(Method):
    """Improved Knowledge Distillation via Teacher Assistant.

    Mirzadeh, Farajtabar, Li, Levine, Matsukawa, Ghasemzadeh, arXiv 1902.03393, Eq. 3 for each link:
    (1 - lambda) CE(y) + lambda T^2 KL. The assistant is a run of its own: it learns from the
    teacher, on what the teacher saw, and is the student's only teacher. The defaults of lambda and
    T are the authors' for ResNet110 -> 20 -> 8 on CIFAR-100; for CIFAR-10 none are known for both
    links of a chain.
    """

    readings: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"reduction": "batchmean"},
        "code": {"reduction": "mean"},
    }
    """paper: the KL of Eq. 2. code: what the authors' program computes, with which their values of
    lambda and T were found."""

    assistant: Architecture = "resnet14"
    """Architecture of the assistant; the authors' program is run with ResNet14 for CIFAR-10 and
    with ResNet20 for CIFAR-100. It is deeper than the student and not deeper than the teacher."""
    assistant_weight: float = Field(0.5, ge=0, le=1)
    """lambda of the link from the teacher to the assistant."""
    assistant_temperature: float = Field(5.0, ge=0.1, le=100)
    """T of the link from the teacher to the assistant."""
    weight: float = Field(0.15, ge=0, le=1)
    """lambda of the link from the assistant to the student."""
    temperature: float = Field(5.0, ge=0.1, le=100)
    """T of the link from the assistant to the student."""
    reduction: Reduction = "batchmean"
    """batchmean: summed over classes, the mean over the batch. mean: divided by the number of
    classes as well, so that lambda counts a tenth or a hundredth."""

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Couple the student with its frozen assistant."""
        return HintonObjective(self._link(self.weight, self.temperature), student, teachers)

    def teacher_count(self, run: Run) -> int | None:
        """Take one teacher; the assistant comes between."""
        return 1

    def chain(self, run: Run) -> Run:
        """Put the assistant, taught by the teacher, in the teacher's place."""
        (teacher,) = run.teachers
        if teacher.net == "student" and teacher.run.teachers:  # it is the assistant already
            return run
        changes = {
            "student": Model(arch=self.assistant),
            "method": self._link(self.assistant_weight, self.assistant_temperature),
            "teachers": (teacher,),
            "start": None,
        }
        assistant = Parent(run=teacher.run.model_copy(update=changes))
        return run.model_copy(update={"teachers": (assistant,)})

    def refuses(self, run: Run) -> str | None:
        """Refuse an assistant that does not stand between teacher and student."""
        (assistant,) = run.teachers
        (teacher,) = assistant.run.teachers
        size, arch = depth_of(self.assistant), architecture(teacher).arch
        if size > depth_of(arch):
            return f"the assistant {self.assistant} is larger than its teacher {arch}: {CHOOSE}"
        if size <= depth_of(run.student.arch):
            own = run.student.arch
            return f"the assistant {self.assistant} is not larger than the student {own}: {CHOOSE}"
        return None

    def _link(self, weight: float, temperature: float) -> Hinton:
        return Hinton(
            weight=weight,
            weight_at_end=weight,
            temperature=temperature,
            reduction=self.reduction,
        )


CHOOSE = "give method.assistant an architecture between the two"
