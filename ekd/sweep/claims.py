"""Who tries which point: trials are taken one by one, and those of dead processes queued again."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from ekd.store.files import exclusive
from ekd.store.holder import Holder
from ekd.sweep.asked import Asked
from ekd.sweep.proposals import REAPED, TURN, make_sampler, started
from ekd.sweep.spec import Dimension
from ekd.sweep.storage import Study, no_warnings

STALE_SECONDS = 60.0
MOST_DEATHS = 3
"""How many workers of one command may die at one point before it counts as failed."""
COMMAND = "command"
"""Names the command whose worker tries a trial: where all of it dies, the point is not to blame."""
KEPT = ("label", TURN, "deaths")
"""What a point that is queued again takes along."""

Owner = dict[str, Any]


def owner_of(pid: int) -> Owner:
    """Describe a process as trials name it."""
    holder = Holder.of(pid)
    return {
        "host": holder.host,
        "space": holder.space,
        "boot": holder.boot,
        "pid": holder.pid,
        "start": holder.started,
    }


def _holder(owner: Mapping[str, Any]) -> Holder:
    return Holder(
        str(owner.get("host", "")),
        str(owner.get("space", "")),
        str(owner.get("boot", "")),
        int(owner.get("pid", 0)),
        str(owner.get("start", "")),
    )


def this_command() -> str:
    """Name the command that this process, or the one that started it, is."""
    parent = multiprocessing.parent_process()
    return json.dumps(owner_of(os.getpid() if parent is None else parent.pid or 0))


@dataclass
class Claims:
    """The trials of one study, as this process takes them."""

    study: Study
    asked: Asked
    lock: Path
    """Its lock is held while a trial is taken or looked after."""
    shared: bool
    """Whoever sees this storage sees the lock too, as with a journal."""
    seen: dict[int, tuple[Any, float]] = field(default_factory=dict)
    """Signs of life of trials elsewhere, and since when this process knows them so."""

    def take(self) -> Any | None:
        """Take the next trial, with all its parameters; None where none is left for now."""
        with exclusive(self.lock), no_warnings():
            self._reap()
            trials = self.study.get_trials(deepcopy=False)
            waiting = any(trial.state.name == "WAITING" for trial in trials)
            turn = started(trials)
            if turn >= self.asked.trials:
                return None
            if not waiting:
                self._queue_given(turn)
            trial = self._ask(turn)
        return self._within_budget(trial)

    def is_over(self) -> bool:
        """Tell whether nothing runs and nothing waits that the budget has room for."""
        with exclusive(self.lock), no_warnings():
            self._reap()
            trials = self.study.get_trials(deepcopy=False)
        running = any(trial.state.name == "RUNNING" for trial in trials)
        return not running and started(trials) >= self.asked.trials

    def give_back(self, number: int, reason: str) -> None:
        """Queue the point of a running trial again, and end the trial as failed."""
        with exclusive(self.lock), no_warnings():
            trial = self.study.get_trials(deepcopy=False)[number]
            if trial.state.name == "RUNNING":
                self._reaped(trial, reason, trial.user_attrs.get("deaths", 0))

    def _queue_given(self, turn: int) -> None:
        """Queue what this turn is to try, where that is known: a first point, or one of a grid."""
        first = self.asked.attributes["first"]
        if turn < len(first):
            self.study.enqueue_trial(first[turn]["set"], {"label": first[turn]["label"]})
        elif turn - len(first) < len(self.asked.points):
            self.study.enqueue_trial(self.asked.points[turn - len(first)])

    def _ask(self, turn: int) -> Any:
        self.study.sampler = make_sampler(self.asked.sampler, self.asked.attributes["seed"], turn)
        trial = self.study.ask()
        trial.set_user_attr("owner", owner_of(os.getpid()))
        trial.set_user_attr(COMMAND, this_command())
        if TURN not in trial.user_attrs:
            trial.set_user_attr(TURN, turn)
        for name, values in self.asked.attributes["space"].items():
            suggest(trial, name, Dimension.model_validate_json(json.dumps(values)))
        return trial

    def _within_budget(self, trial: Any) -> Any | None:
        """Drop a trial beyond the budget: another machine took one at the same moment."""
        if self.shared:
            return trial
        before = self.study.get_trials(deepcopy=False)[: trial.number]
        if started(before) < self.asked.trials:
            return trial
        trial.set_user_attr(REAPED, True)
        self._fail(trial.number, "one too many: another machine was faster")
        return None

    # The dead

    def _reap(self) -> None:
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.name == "RUNNING" and self._is_dead(trial):
                survived = trial.user_attrs.get(COMMAND) == this_command()
                deaths = trial.user_attrs.get("deaths", 0) + survived
                self._reaped(trial, "its process died", deaths)

    def _is_dead(self, trial: Any) -> bool:
        owner = trial.user_attrs.get("owner")
        if owner is None:
            return self.shared or self._is_silent(trial)
        holder = _holder(owner)
        if holder.is_here():
            return holder.pid == os.getpid() or not holder.runs()
        return self._is_silent(trial)

    def _is_silent(self, trial: Any) -> bool:
        """Tell whether a trial elsewhere has shown no life for a minute, by this clock alone."""
        sign = (len(trial.params), len(trial.intermediate_values), trial.user_attrs.get("beat"))
        known, since = self.seen.get(trial.number, (None, 0.0))
        if known != sign:
            self.seen[trial.number] = (sign, monotonic())
            return False
        return monotonic() - since >= STALE_SECONDS

    def _reaped(self, trial: Any, reason: str, deaths: int) -> None:
        """End a trial as failed; its point is queued first, so that a kill here loses nothing."""
        fixed = trial.system_attrs.get("fixed_params", {})
        complete = set(trial.params) == set(self.asked.attributes["space"])
        params = trial.params if complete else fixed
        if deaths >= MOST_DEATHS:
            self._fail(trial.number, f"{reason}, {deaths} times at this point: free memory")
            return
        if params and not self._is_queued(trial.number):
            kept = {name: trial.user_attrs[name] for name in KEPT if name in trial.user_attrs}
            self.study.enqueue_trial(params, {**kept, "retry_of": trial.number, "deaths": deaths})
        self.study._storage.set_trial_user_attr(trial._trial_id, REAPED, True)
        again = ": its point is queued again" if params else ""
        self._fail(trial.number, reason + again)

    def _is_queued(self, number: int) -> bool:
        trials = self.study.get_trials(deepcopy=False)
        return any(trial.user_attrs.get("retry_of") == number for trial in trials)

    def _fail(self, number: int, reason: str) -> None:
        fail(self.study, number, reason)


def fail(study: Study, number: int, reason: str) -> None:
    """End a trial as failed, and say why."""
    from optuna.trial import TrialState

    trial = study.get_trials(deepcopy=False)[number]
    study._storage.set_trial_user_attr(trial._trial_id, "failure", reason)
    study.tell(number, state=TrialState.FAIL)


def suggest(trial: Any, name: str, dimension: Dimension) -> None:
    """Draw the value of one dimension."""
    low, high = dimension.low, dimension.high
    if low is None or high is None:
        trial.suggest_categorical(name, list(dimension.choices))
    elif dimension.integer:
        trial.suggest_int(name, int(low), int(high), log=dimension.log)
    else:
        trial.suggest_float(name, low, high, log=dimension.log)
