"""Every checksum of a store, read again: what is damaged, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ekd.spec import EnvironmentProblem
from ekd.spec.values import KEY_DIGITS
from ekd.store.checkpoints import LIST, read_slots
from ekd.store.files import read_json
from ekd.store.lease import is_held
from ekd.store.run_folder import RunFolder
from ekd.store.store import Store, read_fingerprint, read_request

Check = tuple[Path, str]
"""A file that was read, and the sentence on what is wrong with it, or ""."""


@dataclass(frozen=True)
class Verification:
    """What was read, and one sentence with what to do for everything that is damaged."""

    runs: int
    files: int
    problems: tuple[str, ...]


def verify(store: Store) -> Verification:
    """Read everything in a store that has a checksum, or whose form can tell; change nothing.

    Of a run that is being trained at the moment only spec.json is read: the rest changes.
    """
    runs = [RunFolder(store.root, key) for key in _keys(store.root)]
    checks = [*_of_the_store(store), *(check for run in runs for check in _of_a_run(run))]
    return Verification(len(runs), len(checks), tuple(text for _, text in checks if text))


def _keys(root: Path) -> list[str]:
    name = re.compile(f"[0-9a-f]{{{KEY_DIGITS}}}")
    return sorted(p.name for p in root.glob("*") if name.fullmatch(p.name) and p.is_dir())


def _of_the_store(store: Store) -> Iterator[Check]:
    path = store.root / "store.json"
    missing = f"{path} is missing: give the folder of a store as --root, or train in this one"
    yield path, _raised(store.open) if path.exists() else missing
    for path in sorted((store.root / "requests").glob("*.json")):
        yield path, _raised(read_request, path)
    for path in sorted((store.root / "data").glob("*.json")):
        yield path, _raised(read_fingerprint, path)


def _of_a_run(run: RunFolder) -> list[Check]:
    look = _of_a_finished if (run.path / "result.json").exists() else _of_an_unfinished
    checks = list(look(run))
    if any(text for _, text in checks):  # or has another process moved on meanwhile?
        look = _of_a_finished if (run.path / "result.json").exists() else _of_an_unfinished
        checks = list(look(run))
    return checks


def _of_a_finished(run: RunFolder) -> Iterator[Check]:
    damaged = _raised(run.result)
    yield run.path / "result.json", damaged
    files = () if damaged else tuple(run.result()["files"])
    for name in files:
        yield run.path / name, _raised(run.check_output, name)
    if "spec.json" not in files:  # as an older ekd left it
        yield from _of_the_spec(run)


def _of_an_unfinished(run: RunFolder) -> Iterator[Check]:
    yield from _of_the_spec(run)
    if is_held(run.path / "lease.json"):
        return
    if (run.path / "provenance.json").exists():
        yield run.path / "provenance.json", _raised(run.provenance)
    if (run.path / "failure.json").exists():
        yield run.path / "failure.json", _raised(run.failure)
    if (run.path / LIST).exists():
        yield from _of_checkpoints(run)


def _of_the_spec(run: RunFolder) -> Iterator[Check]:
    path = run.path / "spec.json"
    if path.exists():
        remedy = "delete it, it is written again when the run goes on"
        yield path, _raised(read_json, path, remedy)


def _of_checkpoints(run: RunFolder) -> Iterator[Check]:
    damaged = _raised(read_slots, run.path)
    yield run.path / LIST, damaged
    slots = run.checkpoints()
    for slot in slots:
        remedy = "delete it, the run then goes on from the one before, or starts again"
        yield run.path / slot.file, _raised(slot.check, run.path, remedy)
    if slots:
        yield run.path / "history.jsonl", _raised(run.check_history)


def _raised(read: Callable[..., object], *given: object) -> str:
    try:
        read(*given)
    except EnvironmentProblem as error:
        return str(error)
    except FileNotFoundError as error:  # another process goes on with the run, or has ended it
        return f"{error.filename} was removed while it was looked at: give the same command again"
    return ""
