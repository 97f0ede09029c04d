"""Who proposes points, and who ends trials early: Optuna's samplers and pruners."""

from __future__ import annotations

import binascii
import math
from collections.abc import Mapping
from typing import Any

from ekd.streams import stream_seed
from ekd.sweep.storage import Study, no_warnings

REAPED = "reaped"
"""Marks a trial whose process died, or was interrupted: its point is another trial by now."""
TURN = "turn"
"""How many trials, reaped ones not counted, began before this one."""
REDUCTION = 3
"""Successive halving lets one of so many trials pass each rung."""


def started(trials: list[Any]) -> int:
    """Count the trials that began and were not reaped."""
    return sum(t.state.name != "WAITING" and REAPED not in t.user_attrs for t in trials)


def make_sampler(name: str, base: int, turn: int) -> Any:
    """Make the sampler for one trial, seeded by what was tried before and nothing else.

    So a search that was interrupted proposes the points of one that was not.
    """
    from optuna import samplers

    seed = stream_seed(base, "sampler", turn) % 2**32
    with no_warnings():
        match name:
            case "tpe":
                return samplers.TPESampler(seed=seed)
            case "tpe-classic":  # independent TPE, Bergstra et al. 2011
                return samplers.TPESampler(seed=seed, multivariate=False, constant_liar=False)
            case "gp":
                return samplers.GPSampler(seed=seed, deterministic_objective=True)
            case "nsga2":
                return samplers.NSGAIISampler(seed=seed, population_size=10)
            case "random" | "grid":  # the points of a grid are given in turn
                return samplers.RandomSampler(seed=seed)
    raise ValueError(f"unknown sampler {name!r}")


def make_pruner(name: str, epochs: int, evaluations: int) -> Any:
    """Make the pruner for runs of so many epochs, of which so many are evaluated."""
    from optuna import pruners

    first = max(1, math.ceil(epochs / evaluations))
    match name:
        case "none":
            return pruners.NopPruner()
        case "median":
            return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=first)
        case "halving":
            rungs = [_halving(max(first, epochs // REDUCTION**2), 0)]
        case "hyperband":
            deepest = int(math.log(max(1.0, epochs / first), REDUCTION))
            rungs = [_halving(first, rate) for rate in range(deepest + 1)]
        case _:
            raise ValueError(f"unknown pruner {name!r}")
    return _pruner(rungs)


def _halving(first: int, rate: int) -> Any:
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(
        min_resource=first, reduction_factor=REDUCTION, min_early_stopping_rate=rate
    )


def _pruner(rungs: list[Any]) -> Any:
    """Prune by successive halving within brackets, whatever was reaped.

    Optuna's own Hyperband draws a trial's bracket from its number, and its halving counts the
    scores of failed trials: both would let an interruption change what is pruned later.
    """
    from optuna.pruners import BasePruner

    class Brackets(BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            own = bracket(study.study_name, trial.user_attrs, len(rungs))
            view = _View(study, own, len(rungs))
            return bool(rungs[own].prune(view, trial))

    return Brackets()


def bracket(study: str, attributes: Mapping[str, Any], brackets: int) -> int:
    """Give the bracket of a trial: each as probable as its budget in Hyperband is large.

    Bracket 0 prunes first and takes most trials.
    """
    budgets = [
        math.ceil(brackets * REDUCTION**rest / (rest + 1)) for rest in reversed(range(brackets))
    ]
    left = binascii.crc32(f"{study} {attributes.get(TURN, 0)}".encode()) % sum(budgets)
    for number, budget in enumerate(budgets):
        left -= budget
        if left < 0:
            return number
    raise AssertionError("unreachable")


class _View:
    """What a pruner may see of a study: the trials of one bracket, without those reaped."""

    def __init__(self, study: Study, own: int, brackets: int) -> None:
        self._study, self._own, self._brackets = study, own, brackets
        self._storage = study._storage
        self.direction = study.direction

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[Any]:
        name = self._study.study_name
        return [
            trial
            for trial in self._study.get_trials(deepcopy=deepcopy, states=states)
            if REAPED not in trial.user_attrs
            and bracket(name, trial.user_attrs, self._brackets) == self._own
        ]
