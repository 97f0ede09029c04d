"""The loss of one step."""

from __future__ import annotations

import torch
from torch import Tensor

from ekd.methods import Method, Objective, Step
from ekd.streams import stream_seed
from ekd.testing.training import ready
from ekd.testing.trial import CLASSES, a_batch, demand, typical_run, working

ROUNDING = 1e-5


def check_the_loss_is_the_sum_of_its_terms(method: Method) -> None:
    """Demand finite, weighted, scalar terms whose sum is the loss, and the student's logits."""
    objective, _ = ready(typical_run(method))
    for progress in (0.0, 0.5, 0.99):
        step = _step(method, objective, progress)
        for name, term in step.terms.items():
            scalar = isinstance(term, Tensor) and term.ndim == 0 and bool(term.isfinite())
            demand(scalar, method, f"the term {name} is no finite scalar at progress {progress}")
            trains = term.requires_grad or term.item() == 0
            demand(trains, method, f"the term {name} has no gradient: it trains nothing")
        total, loss = sum(term.item() for term in step.terms.values()), step.loss.item()
        same = abs(total - loss) <= ROUNDING * max(1.0, abs(loss))
        demand(same, method, f"the loss is {loss}, but its terms sum to {total}")
        demand(step.loss.requires_grad, method, "its loss has no gradient: it was detached")
        fits = step.logits.shape == (len(a_batch().y), CLASSES)
        demand(fits, method, f"its logits are {list(step.logits.shape)}, not [B, K]")
        own = step.logits.requires_grad
        demand(own, method, "the logits that it gives have no gradient: give the student's")


def check_the_global_random_state_is_left_alone(method: Method) -> None:
    """Demand that a step draws from `batch.generator`, not from torch's global stream."""
    objective, _ = ready(typical_run(method))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(0, "testing"))  # no state that a method would seed itself
        before = torch.get_rng_state()
        _step(method, objective, 0.0)
        same = torch.equal(torch.get_rng_state(), before)
    demand(same, method, "a step draws from torch's global stream: draw from batch.generator")


def _step(method: Method, objective: Objective, progress: float) -> Step:
    objective.train()
    with working(method, f"terms() at progress {progress}"):
        step: Step = objective(a_batch(), progress)
    return step
