"""The loss of one step."""

from __future__ import annotations

import torch

from ekd.methods import Method, Objective, Step
from ekd.testing.training import ready
from ekd.testing.trial import CLASSES, a_batch, demand, typical_run, working

ROUNDING = 1e-5


def check_the_loss_is_the_sum_of_its_terms(method: Method) -> None:
    """Demand finite, weighted, scalar terms whose sum is the loss, and the student's logits."""
    objective, _ = ready(typical_run(method))
    for progress in (0.0, 0.5, 0.99):
        step = _step(method, objective, progress)
        for name, term in step.terms.items():
            scalar = term.ndim == 0 and bool(term.isfinite())
            demand(scalar, method, f"the term {name} is no finite scalar at progress {progress}")
        total, loss = sum(term.item() for term in step.terms.values()), step.loss.item()
        same = abs(total - loss) <= ROUNDING * max(1.0, abs(loss))
        demand(same, method, f"the loss is {loss}, but its terms sum to {total}")
        demand(step.loss.requires_grad, method, "its loss has no gradient: it was detached")
        fits = step.logits.shape == (len(a_batch().y), CLASSES)
        demand(fits, method, f"its logits are {list(step.logits.shape)}, not [B, K]")


def check_the_global_random_state_is_left_alone(method: Method) -> None:
    """Demand that a step draws from `batch.generator`, not from torch's global stream."""
    objective, _ = ready(typical_run(method))
    before = torch.get_rng_state()
    _step(method, objective, 0.0)
    same = torch.equal(torch.get_rng_state(), before)
    demand(same, method, "a step draws from torch's global stream: draw from batch.generator")


def _step(method: Method, objective: Objective, progress: float) -> Step:
    objective.train()
    with working(method, f"terms() at progress {progress}"):
        step: Step = objective(a_batch(), progress)
    return step
