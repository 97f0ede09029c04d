"""Loss terms, one pure function per equation: the paper's (arXiv 1909.08097, Sec. 3.3), and those
that several other methods share.

Where the paper leaves open how a term is computed, each reading is a named option and the default
is what torch's own loss did in 2019. None of these functions detaches anything: whether a teacher
receives gradients is the method's decision, made by passing `teacher.detach()` or not.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

KlForm = Literal["torch", "softened", "reverse", "literal"]
Reduction = Literal["mean", "batchmean"]
KlScale = Literal["none", "temperature_squared"]
MseSpace = Literal["logits", "probabilities"]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Give Eq. 6 with its missing minus sign, the mean over the batch.

    Args:
        logits: [B, K].
        labels: The classes' indices, [B].
    """
    return F.cross_entropy(logits, labels)


def reduced(elements: Tensor, reduction: Reduction) -> Tensor:
    """Reduce [B, K] by "mean" over batch and classes, or "batchmean", summed over classes."""
    match reduction:
        case "mean":
            return elements.mean()
        case "batchmean":
            return elements.sum() / len(elements)
    raise ValueError(f"unknown reduction {reduction!r}: write mean or batchmean")


def kl_elements(student: Tensor, teacher: Tensor, temperature: float, form: KlForm) -> Tensor:
    """Give the summands of Eq. 9 in its reading `form` for logits [B, K]; see `kl_divergence`."""
    target = (teacher / temperature).log_softmax(-1)  # [B, K]
    match form:
        case "torch":
            log_student = student.log_softmax(-1)
            return target.exp() * (target - log_student)
        case "softened":
            log_student = (student / temperature).log_softmax(-1)
            return target.exp() * (target - log_student)
        case "reverse":
            log_student = student.log_softmax(-1)
            return log_student.exp() * (log_student - target)
        case "literal":
            log_student = student.log_softmax(-1)
            return log_student.exp() * (log_student - target.exp())
    raise ValueError(f"unknown form {form!r}: write torch, softened, reverse or literal")


def kl_divergence(
    student: Tensor,
    teacher: Tensor,
    temperature: float,
    *,
    form: KlForm = "torch",
    reduction: Reduction = "mean",
    scale: KlScale = "none",
) -> Tensor:
    """Give L_KL(Q^s, Q^t / T) of Eqs. 8 and 9; gradients flow into both arguments.

    With s = softmax(student), t = softmax(teacher / T), summed over classes k:

    * "torch": t (log t - log s), what torch's KLDivLoss and the sentence above Eq. 9 say; Eq. 8
      softens the teacher only.
    * "softened": the same with s = softmax(student / T) (arXiv 1503.02531).
    * "reverse": s (log s - log t), Eq. 9 with the log it lacks.
    * "literal": s (log s - t), Eq. 9 as printed; lowest where s = softmax(t), so never confident.

    Args:
        student: Logits, [B, K].
        teacher: Logits, not yet softened, [B, K].
        temperature: T > 0.
        form: The reading of Eq. 9.
        reduction: "mean" over batch and classes (KLDivLoss in 2019); "batchmean" sums over
            classes, as Eq. 9 does, and takes the mean over the batch.
        scale: "temperature_squared" multiplies by T^2 (arXiv 1503.02531); Eq. 8 does not.
    """
    elements = kl_elements(student, teacher, temperature, form)  # [B, K]
    return factor_of(scale, temperature) * reduced(elements, reduction)


def soft_cross_entropy(
    student: Tensor,
    teacher: Tensor,
    temperature: float,
    *,
    reduction: Reduction = "batchmean",
    scale: KlScale = "none",
) -> Tensor:
    """Give H(p_t^T, p_s^T) with p^T = softmax(logits / T) (arXiv 1503.02531, Sec. 2).

    It is KL(p_t^T || p_s^T) and the teacher's entropy, so the student's gradient is that of KL.

    Args:
        student: Logits, [B, K].
        teacher: Logits, not yet softened, [B, K].
        temperature: T > 0, which softens both.
        reduction: "batchmean" sums over classes and takes the mean over the batch; "mean" takes
            it over the classes too.
        scale: "temperature_squared" multiplies by T^2.
    """
    target = (teacher / temperature).softmax(-1)  # [B, K]
    elements = -target * (student / temperature).log_softmax(-1)  # [B, K]
    return factor_of(scale, temperature) * reduced(elements, reduction)


def factor_of(scale: KlScale, temperature: float) -> float:
    """Give 1 or T^2, with which the gradients of softened outputs keep their size."""
    return {"none": 1.0, "temperature_squared": temperature**2}[scale]


def annealed(start: float, end: float, progress: float) -> float:
    """Give a weight that goes linearly from `start` at progress 0 to `end` at 1."""
    return start + (end - start) * progress


def mean_squared_error(
    student: Tensor,
    teacher: Tensor,
    *,
    space: MseSpace = "logits",
    reduction: Reduction = "mean",
) -> Tensor:
    """Give L_MSE(Q^s, Q^t) of Eq. 8; gradients flow into both arguments.

    Args:
        student: Logits, [B, K].
        teacher: Logits, [B, K].
        space: Compare the logits (Sec. 3.3: "represent the logits"), or their softmaxes.
        reduction: "mean" over batch and classes (torch's MSELoss); "batchmean" sums over classes.
    """
    if space == "probabilities":
        student, teacher = student.softmax(-1), teacher.softmax(-1)
    return reduced((student - teacher).square(), reduction)
