"""Finding a study to look at, by the name of its sweep or its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ekd.spec import EkdError, SpecError
from ekd.sweep.point import trial_run
from ekd.sweep.storage import SUFFIX, Study, journal_of, open_storage
from ekd.sweep.study import reachable, read_study

SQLITE = "sqlite:///"
KeyOf = Callable[[Mapping[str, Any], int], str | None]
"""Gives the key of the run of a point with a seed; None for what makes no run any more."""


def find_study(root: Path, name: str, scale: str | None, storage: str | None) -> Study:
    """Open the study of that name, or the one of a sweep's searches that `scale` picks.

    Nothing is written. Raises SpecError where there is none, or several and no scale, with those
    that there are; EnvironmentProblem where the storage cannot be read.
    """
    if storage is not None and storage.startswith(SQLITE):
        _check_there(Path(storage.removeprefix(SQLITE)))
    stem = Path(name).stem if name.endswith(".toml") else name
    names = study_names(root, storage)
    searches = [one for one in names if one.rpartition("@")[0] == stem]
    if scale is not None:
        wanted = f"{stem}@{scale}"
        study = read_study(root, wanted if wanted in names or stem not in names else stem, storage)
        found = study.user_attrs.get("ekd", {}).get("scale")
        if found != scale:
            raise SpecError(f"the study {stem} is at scale {found}, not {scale}: leave --scale out")
        return study
    if stem in names or not searches:
        return read_study(root, stem, storage)
    if len(searches) > 1:
        scales = ", ".join(sorted(one.rpartition("@")[2] for one in searches))
        raise SpecError(f"{stem} was searched at several scales ({scales}): give --scale")
    return read_study(root, searches[0], storage)


def _check_there(database: Path) -> None:
    """Refuse a database that is not there: to open one makes it."""
    if not database.exists():
        raise SpecError(f"--storage: there is no file {database}: give the database of a search")


def study_names(root: Path, storage: str | None) -> list[str]:
    """List the studies of a storage; none where it is not there."""
    if storage is None:
        journals = (root / "sweeps").glob(f"*{SUFFIX}")
        return sorted(path.name.removesuffix(SUFFIX) for path in journals)
    opened = open_storage(root, "", storage)
    with reachable(storage):
        return sorted(study.study_name for study in opened.get_all_studies())


def is_torn(root: Path, study: str, storage: str | None) -> bool:
    """Tell whether a journal's last line is not whole, so that it is not read."""
    journal = journal_of(root, study, storage)
    if journal is None:
        return False
    with journal.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        return file.read() not in (b"", b"\n")


def key_of(about: Mapping[str, Any], data_root: Path) -> KeyOf:
    """Make the function that gives the keys of a search's runs."""

    def key(params: Mapping[str, Any], seed: int) -> str | None:
        try:
            return trial_run(about, params, seed, data_root).key
        except (EkdError, KeyError):  # a spec, or data of one's own, may be gone by now
            return None

    return key
