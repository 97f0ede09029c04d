"""A study: created by the parent, loaded by workers, and never quietly another one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ekd.spec import EnvironmentProblem, SpecError, nearest
from ekd.sweep.point import Attributes
from ekd.sweep.storage import Study, journal_of, no_warnings, open_storage, repair

ATTRIBUTE = "ekd"
"""Under this name a study says what it searches."""
MAY_CHANGE = ("again", "title")
"""What may be said anew of a study; trials, sampler and pruner are not kept in it."""
COMPARED = ("sweep", "scale", "directions", "space", "run", "overrides", "seed", "first", "limits")


def create_study(
    root: Path, name: str, storage: str | None, attributes: Attributes, say: Callable[[str], None]
) -> Study:
    """Begin a study, or go on with the one of that name; a torn journal is repaired first.

    Raises SpecError where the one of that name searches something else, with the difference.
    """
    import optuna

    journal = journal_of(root, name, storage)
    if journal is not None:
        repair(journal, say)
    opened = open_storage(root, name, storage, create=True)
    with reachable(storage):
        study = optuna.create_study(
            storage=opened,
            study_name=name,
            directions=list(attributes["directions"]),
            load_if_exists=True,
        )
        known = study.user_attrs.get(ATTRIBUTE)
        if known is None and study.get_trials(deepcopy=False):
            raise SpecError(f"the study {name} was begun by another program: give another --name")
        if known is not None:
            check_same(name, known, attributes, study)
        if known != attributes:
            study.set_user_attr(ATTRIBUTE, dict(attributes))
    return study


def load_study(root: Path, name: str, storage: str | None = None) -> Study:
    """Open a study that is there; SpecError where there is none. Nothing is written."""
    import optuna

    opened = open_storage(root, name, storage)
    with reachable(storage):
        names = [summary.study_name for summary in opened.get_all_studies()]
        if name not in names:
            known = f"; there are {', '.join(names)}" if names else ""
            raise SpecError(
                f"no study {name!r} in {storage or root / 'sweeps'}{nearest(name, names)}: begin "
                f"it with ekd-sweep{known}"
            )
        study = optuna.load_study(study_name=name, storage=opened)
        if ATTRIBUTE not in study.user_attrs:
            raise SpecError(f"the study {name} was begun by another program: give another --name")
    return study


def read_study(root: Path, name: str, storage: str | None = None) -> Study:
    """Open a study to look at it, while workers run or not; nothing is written, ever.

    Raises SpecError where there is none of that name, EnvironmentProblem where it cannot be read.
    """
    return load_study(root, name, storage)


def about(study: Study) -> dict[str, Any]:
    """Give what a study says of itself."""
    return dict(study.user_attrs[ATTRIBUTE])


def check_same(name: str, known: Attributes, asked: Attributes, study: Study) -> None:
    """Refuse to go on with a study that searches something else; SpecError with the difference."""
    directions = [direction.name.lower() for direction in study.directions]
    known = {**known, "directions": directions}
    found = [line for part in COMPARED for line in _differences(part, known, asked)]
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise SpecError(
            f"the study {name} is another search: {', '.join(found[:3])}{more}: give it another "
            "--name, or ask for what it was"
        )


def _differences(part: str, known: Any, asked: Any) -> Iterator[str]:
    """Say "space.method.alpha.high was 1.0 and is 2.0" for all that differs."""
    yield from _compared(part, known.get(part), asked.get(part))


def _compared(place: str, was: Any, now: Any) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        for field in dict.fromkeys([*was, *now]):
            yield from _compared(f"{place}.{field}", was.get(field), now.get(field))
    elif json.dumps(was) != json.dumps(now):
        yield f"{place} was {_shown(was)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    return "not there" if value is None else json.dumps(value)


@contextlib.contextmanager
def reachable(storage: str | None) -> Iterator[None]:
    """Say in a sentence that a storage went away."""
    try:
        with no_warnings():
            yield
    except Exception as error:
        if not is_storage_error(error):
            raise
        raise EnvironmentProblem(
            f"--storage {storage}: it does not answer ({type(error).__name__}): check that it "
            "runs, then give the same command again"
        ) from error


def is_storage_error(error: BaseException) -> bool:
    """Tell a database or a server that cannot be reached."""
    roots = {parent.__module__.partition(".")[0] for parent in type(error).__mro__}
    names = {parent.__name__ for parent in type(error).__mro__}
    return "StorageInternalError" in names or bool(roots & {"sqlalchemy", "grpc"})
