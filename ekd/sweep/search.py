"""One worker of a search: it takes trials, trains each as a run, and tells how it went."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ekd.engines import Engine
from ekd.engines.local import Stopped, unwatched
from ekd.plan import Planned, lineage
from ekd.spec import Run
from ekd.spec.resolve import FieldError
from ekd.store import RunFolder
from ekd.sweep.asked import Asked
from ekd.sweep.claims import Claims, fail
from ekd.sweep.point import beyond_limits, student_cost, trial_run
from ekd.sweep.proposals import make_pruner
from ekd.sweep.storage import claims_of, journal_of, no_warnings
from ekd.sweep.study import load_study, reachable

BEAT_SECONDS = 15.0
WAIT_SECONDS = 0.5
PRUNED = "pruned"


@dataclass
class Watch:
    """Reports a run's accuracy on the hold-out to its trial, and stops it where that is pruned."""

    trial: Any
    run: Run
    prunes: bool
    """False with two objectives, which Optuna does not prune."""

    def __post_init__(self) -> None:
        self.reported: set[int] = set()

    def __call__(self, run: Run, line: Mapping[str, Any]) -> None:
        """See a finished epoch; Stopped where the pruner, or trouble with the storage, says so."""
        if run.key != self.run.key:  # a teacher
            return
        try:
            self.report(line)
            ends = line["epoch"] in self.reported and line["epoch"] < run.epochs
            pruned = self.prunes and ends and self.trial.should_prune()
        except Exception as error:  # the run is not to blame
            raise Stopped(f"stopped: the study cannot be told of it ({error})") from error
        if pruned:
            raise Stopped(f"pruned after epoch {line['epoch']} of {run.epochs}", PRUNED)

    def report(self, line: Mapping[str, Any]) -> None:
        """Report an evaluation, once."""
        if self.prunes and "accuracy" in line and line["epoch"] not in self.reported:
            with no_warnings():
                self.trial.report(line["accuracy"], line["epoch"])
            self.reported.add(line["epoch"])


@dataclass
class Search:
    """Tries points until the budget is spent."""

    claims: Claims
    engine: Engine

    @property
    def asked(self) -> Asked:
        """What is searched."""
        return self.claims.asked

    def work(self) -> None:
        """Take trial after trial; at the end wait for those of others, whose point may come back.

        Raises EkdError where nothing can be trained here; the trial's point is queued again.
        """
        told = False
        while True:
            trial = self.claims.take()
            if trial is not None:
                told = False
                self._try(trial)
            elif self.claims.is_over():
                return
            else:
                if not told:
                    self.engine.console.waiting(1)
                told = True
                time.sleep(WAIT_SECONDS)

    def _try(self, trial: Any) -> None:
        """Try one point, and leave its trial ended, whatever comes."""
        number = trial.number
        try:
            with beating(self.claims.study, trial._trial_id):
                self._say(number, f"{described(trial.params)}{_remark(trial)}")
                self._tell(trial)
        except KeyboardInterrupt:
            self.claims.give_back(number, "interrupted")
            raise
        except Exception as error:
            if self._is_ended(number):  # it showed no life for a minute, and was reaped
                self._say(number, "goes on elsewhere")
                return
            with contextlib.suppress(Exception):
                self.claims.give_back(number, f"could not go on: {error}")
            raise

    def _is_ended(self, number: int) -> bool:
        with contextlib.suppress(Exception):
            trials = self.claims.study.get_trials(deepcopy=False)
            return bool(trials[number].state.is_finished())
        return False

    def _tell(self, trial: Any) -> None:
        try:
            run = self._run(trial)
        except FieldError as error:
            self._fail(trial, f"refused: {error}")
            return
        folder = self.engine.store.folder(run)
        trial.set_user_attr("run", run.key)
        try:
            state = self._train(trial, run, folder)
        except Stopped as stop:
            if stop.outcome != PRUNED:
                raise stop.__cause__ or stop from None
            self._pruned(trial, folder, str(stop))
            return
        if state == "done":
            self._complete(trial, run, folder)
        else:
            self._fail(trial, _why(state, folder), folder)

    def _run(self, trial: Any) -> Run:
        study, data_root = self.asked.attributes, self.engine.data_root
        run = trial_run(study, trial.params, study["seed"], data_root)
        if beyond := beyond_limits(study, run, data_root):
            raise FieldError("student", beyond)
        return run

    def _train(self, trial: Any, run: Run, folder: RunFolder) -> str:
        """Train the run, from where it stands, after its teachers; Stopped where it is pruned.

        What it has behind it is seen first, so that a trial that was killed, or that shares its
        run with another, is treated as if it had trained all of it.
        """
        evaluations = min(run.recipe.evaluations, run.epochs)
        self.claims.study.pruner = make_pruner(self.asked.pruner, run.epochs, evaluations)
        watch = Watch(trial, run, len(self.asked.attributes["directions"]) == 1)
        for line in folder.history():
            watch(run, line)
        self.engine.watch = watch
        try:
            states = self.engine.execute(plan_of(run, f"{self.asked.study}: trial {trial.number}"))
        finally:
            self.engine.watch = unwatched
        for error in self.engine.unavailable.values():
            raise error
        for line in folder.history():  # of epochs that another process trained
            watch.report(line)
        return states[run.key]

    def _complete(self, trial: Any, run: Run, folder: RunFolder) -> None:
        values = [accuracy(folder)]
        if len(self.asked.attributes["directions"]) > 1:
            operations = student_cost(run, self.engine.data_root)["operations"]
            trial.set_user_attr("operations", operations)
            values.append(float(operations))
        self._end(trial, folder, values=values)
        self._say(trial.number, f"{100 * values[0]:.2f} % on the hold-out{self._best()}")

    def _pruned(self, trial: Any, folder: RunFolder, text: str) -> None:
        from optuna.trial import TrialState

        self._end(trial, folder, state=TrialState.PRUNED)
        self._say(trial.number, text)

    def _fail(self, trial: Any, reason: str, folder: RunFolder | None = None) -> None:
        if folder is not None:
            trial.set_user_attr("seconds", seconds(folder))
        fail(self.claims.study, trial.number, reason)
        self._say(trial.number, f"failed: {reason}")

    def _end(self, trial: Any, folder: RunFolder, **told: Any) -> None:
        trial.set_user_attr("seconds", seconds(folder))
        with no_warnings():
            self.claims.study.tell(trial, **told)

    def _best(self) -> str:
        trials = self.claims.study.get_trials(deepcopy=False)
        best = best_trials(trials)
        return f", best so far {100 * best[0].values[0]:.2f} % (trial {best[0].number})"

    def _say(self, number: int, text: str) -> None:
        self.engine.console.say(f"trial {number}: {text}")


def search(root: Path, storage: str | None, asked: Asked, engine: Engine) -> None:
    """Work at a study that is there, in this process, until its budget is spent."""
    study = load_study(root, asked.study, storage)
    shared = journal_of(root, asked.study, storage) is not None
    claims = Claims(study, asked, claims_of(root, asked.study, storage), shared)
    with reachable(storage):
        Search(claims, engine).work()


def plan_of(run: Run, asker: str) -> list[Planned]:
    """List what a run needs, teachers first, each once."""
    runs = {ancestor.key: ancestor for ancestor in lineage(run)}
    return [Planned(entry, (asker,), key != run.key) for key, entry in runs.items()]


def accuracy(folder: RunFolder) -> float:
    """Give a finished run's accuracy on the hold-out, by the weights that count."""
    return float(folder.result()["holdout"]["accuracy"])


def seconds(folder: RunFolder) -> float:
    """Give the seconds that a run was trained for."""
    return round(sum(float(line["seconds"]) for line in folder.history()), 3)


def best_trials(trials: list[Any]) -> list[Any]:
    """Sort the complete trials by accuracy, the earlier of two alike first."""
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    return sorted(complete, key=lambda trial: (-trial.values[0], trial.number))


def described(params: Mapping[str, Any]) -> str:
    """Write a point on one line."""
    return ", ".join(
        f"{field.partition('.')[2]} {_short(value)}" for field, value in params.items()
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _remark(trial: Any) -> str:
    label, number = trial.user_attrs.get("label"), trial.user_attrs.get("retry_of")
    again = "" if number is None else f" (again, after trial {number})"
    return (f" ({label})" if label else "") + again


def _why(state: str, folder: RunFolder) -> str:
    """Say why a run came to no result."""
    if state == "blocked":
        return "blocked: one of its teachers has failed"
    return f"{state}: {folder.failure()['message']}"


@contextlib.contextmanager
def beating(study: Any, trial_id: int) -> Iterator[None]:
    """Show other machines that a trial's process lives; they look for changes, not at clocks."""
    stop = threading.Event()

    def beat() -> None:
        number = 0
        while not stop.wait(BEAT_SECONDS):
            number += 1
            with contextlib.suppress(Exception):  # what cannot be told now is told later
                study._storage.set_trial_user_attr(trial_id, "beat", number)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
