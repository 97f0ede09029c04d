"""Deep mutual learning: the student and a peer, both untrained, teach each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor

from ekd.losses import cross_entropy, kl_divergence
from ekd.methods import Batch, Method, Objective, copied
from ekd.models import CompNet
from ekd.spec import Architecture, Model, Run


@final
class Mutual(Method):
    """Deep Mutual Learning.

    Zhang, Xiang, Hospedales, Lu, arXiv 1706.00384, with two networks: each minimises its own
    CE(y) + KL(p_other || p_own) and takes the other's output as given. Both learn from one forward
    pass, as in the authors' program; Algorithm 1 of the paper updates the first and asks it again
    before it updates the second. One optimiser holds both, which changes nothing: it treats each
    parameter alone. There is no teacher: those of a row are ignored, and the other network is the
    field `peer`, kept and scored as teacher-1 of the finished run.
    """

    peer: Architecture = "resnet26"
    """Architecture of the peer, which is trained from scratch beside the student, with its recipe.
    The comparison that Table 3 of arXiv 1909.08097 quotes does not say which it had."""

    def objective(self, student: CompNet, teachers: Sequence[CompNet]) -> Objective:
        """Couple the student with its peer, the only one of `teachers`."""
        return MutualObjective(student, teachers)

    def teacher_count(self, run: Run) -> int | None:
        """Take none: the peer is trained here."""
        return 0

    def peers(self, run: Run) -> tuple[Model, ...]:
        """Ask for one."""
        return (Model(arch=self.peer),)


class MutualObjective(Objective):
    """The losses of both networks, summed: each term moves one network only."""

    def __init__(self, student: CompNet, peers: Sequence[CompNet]) -> None:
        super().__init__(student, [copied(peer) for peer in peers])

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the student's logits [B, K] and the terms of both networks."""
        student, peer = self.student(batch.x).logits, self.teachers(batch.x).logits  # [B, K]
        return student, {
            "ce_student": cross_entropy(student, batch.y),
            "kl_student": imitation(student, peer),
            "ce_peer": cross_entropy(peer, batch.y),
            "kl_peer": imitation(peer, student),
        }


def imitation(learner: Tensor, other: Tensor) -> Tensor:
    """Give KL(p_other || p_learner) of logits [B, K], the mean over the batch.

    No gradient reaches `other`. The sum over classes matters: divided by their number as well,
    the term is too small to be noticed.
    """
    return kl_divergence(learner, other.detach(), 1.0, reduction="batchmean")
