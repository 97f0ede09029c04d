"""What a method is: frozen fields, and an objective that the one trainer can minimise."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, cast, final

import torch
from torch import Tensor, nn

from ekd.models import CompNet, Output, TeachNet
from ekd.spec import MethodFields, Model, Parent, Run

FORWARD, FORWARD_AND_INPUT_GRADIENT, FORWARD_AND_BACKWARD = 1, 2, 3
"""Cost of a pass in forward passes; a backward pass counts two, the gradients of what goes in and
of the weights."""


@dataclass(frozen=True)
class Batch:
    """What one step sees."""

    x: Tensor
    """Augmented, normalised images [B, 3, H, W], channels last."""
    y: Tensor
    """Labels [B]."""
    index: Tensor
    """Position of each sample in the data set's whole training split [B]."""
    view: int
    """Number of the augmented view: equal (index, view) means the same pixels."""
    generator: torch.Generator
    """The method's own noise, a stream of (seed, epoch, step): draw on the CPU, then move to x."""


class Step(NamedTuple):
    """What an objective gives for one batch."""

    loss: Tensor
    logits: Tensor  # [B, K] of the student
    terms: dict[str, Tensor]  # weighted; they sum to the loss


class Objective(nn.Module, ABC):
    """The student, whatever else is trained with it, and the loss; its whole state is kept.

    What requires grad is what the optimiser gets. Hand teachers over as `frozen(net)` or
    `copied(net)`, never as they come from the store.
    """

    def __init__(self, student: CompNet, teachers: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        self.student = student
        self.teachers = TeachNet(teachers, student.combine)

    @abstractmethod
    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the student's logits [B, K] and the weighted terms of the loss by name.

        `progress` is the finished part of the training, in [0, 1).
        """

    @final  # type: ignore[misc]
    def forward(self, batch: Batch, progress: float) -> Step:
        """Sum the terms: the loss is what is logged, and nothing else."""
        logits, terms = self.terms(batch, progress)
        return Step(cast(Tensor, sum(terms.values())), logits, terms)

    def nets(self) -> Iterator[tuple[str, CompNet]]:
        """Name the networks that a finished run keeps: student, teacher-1, ..."""
        yield "student", self.student
        for number, teacher in enumerate(self.teachers.nets, 1):
            yield f"teacher-{number}", cast(CompNet, getattr(teacher, "net", teacher))


class InEval(nn.Module):
    """A network that stays in evaluation mode whatever mode its owner takes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.eval()

    def forward(self, x: Tensor) -> Output:
        """Run the network with its stored BatchNorm statistics."""
        return cast(Output, self.net(x))

    def train(self, mode: bool = True) -> Self:
        """Ignore `mode`: BatchNorm statistics must not drift."""
        return super().train(False)


def frozen(net: nn.Module) -> InEval:
    """Copy a teacher so that nothing can move it: no parameters, no gradients, always in eval.

    Parameters become buffers, so checkpoints hold them and `parameters()` does not.
    """
    net = copy.deepcopy(net)
    for module in net.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
    return InEval(net)


def copied(net: nn.Module, *, always_eval: bool = False) -> nn.Module:
    """Copy a teacher to train the copy; with `always_eval` on its stored BatchNorm statistics."""
    net = copy.deepcopy(net).requires_grad_(True)
    return InEval(net) if always_eval else net


class Method(MethodFields, ABC):
    """Hyper-parameters of a distillation method; a docstring under each field explains it.

    The file's name is the method's name. The class docstring opens with the paper's title.
    """

    @abstractmethod
    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Build the loss for a fresh student and stored teachers, which must not be changed.

        The `peers` of the run come after the teachers, and are handed over in the same way.
        """

    def teacher_count(self, run: Run) -> int | None:
        """Say how many teachers the run needs, or None for any number; 0 ignores those given.

        A method that learns from teachers must say so here.
        """
        return 0

    def peers(self, run: Run) -> tuple[Model, ...]:
        """Name the networks that are trained from scratch beside the student, like it."""
        return ()

    def trains_teachers(self) -> bool:
        """Say whether the teachers of a finished run are others than those it was given."""
        return False

    def student_passes(self, run: Run) -> float:
        """Cost of one training image through the student, in forward passes."""
        return FORWARD_AND_BACKWARD

    def teacher_passes(self, run: Run) -> float:
        """Cost of one training image through each teacher, in forward passes."""
        return FORWARD

    def classifies(self) -> bool:
        """Say whether the student classifies once trained: else the run has no accuracy."""
        return True

    def refuses(self, run: Run) -> str | None:
        """Give the reason why this run cannot be trained, or None."""
        return None

    def chain(self, run: Run) -> Run:
        """Fill in what must be trained before (start, teachers), and settle dependent fields."""
        return run


def architecture(parent: Parent) -> Model:
    """Give the architecture of a finished run's network."""
    if parent.net == "student":
        return parent.run.student
    run, number = parent.run, int(parent.net.removeprefix("teacher-"))
    peers = cast(Method, run.method).peers(run)
    return [*(architecture(teacher) for teacher in run.teachers), *peers][number - 1]
