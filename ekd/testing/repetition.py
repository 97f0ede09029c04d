"""The same training again, in one piece and in two."""

from __future__ import annotations

from ekd.methods import Method
from ekd.testing.training import Training, changed, kept, trained, typical_training
from ekd.testing.trial import demand, typical_run

STOP_AFTER = 3
"""Steps, of two per epoch: within the second."""


def check_the_same_seed_gives_the_same_training(method: Method) -> None:
    """Demand the same losses and the same weights, bit by bit, from the same seed."""
    first, second = typical_training(method), trained(typical_run(method))
    told = _difference(first, second)
    demand(not told, method, f"the same seed trained twice gives another {told}")


def check_a_resumed_training_ends_alike(method: Method) -> None:
    """Demand the same from a training that was stopped within an epoch, and went on."""
    run = typical_run(method)
    told = _difference(typical_training(method), trained(run, STOP_AFTER))
    hint = "what a step changes belongs into a buffer, and noise comes from batch.generator"
    demand(not told, method, f"stopped and resumed, it ends with another {told}: {hint}")


def _difference(one: Training, other: Training) -> str:
    """Name what is not bit-equal, or give ""."""
    for line, again in zip(one.lines, other.lines, strict=True):
        for name in line:
            if line[name] != again[name]:
                return f"{name} in epoch {line['epoch']}"
    return changed(kept(one.objective), kept(other.objective))
