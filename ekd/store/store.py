"""The store: a folder of runs, the requests for them, and the data that they saw."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ekd.spec import EnvironmentProblem, Frozen, Run
from ekd.store.files import (
    TEMPORARY,
    exclusive,
    read_checked,
    read_json,
    write_checked,
    write_json,
)
from ekd.store.run_folder import RunFolder

FORMAT = 1
"""Bumped when an older suite could no longer read the store."""


class Request(Frozen):
    """What one `ekd-run` asked for, kept so that `ekd-report` knows what to show."""

    exhibits: tuple[str, ...]
    """Names of exhibits, or paths of specs."""
    scale: str
    overrides: tuple[str, ...] = ()
    """The `-s` options, as given."""
    seeds: tuple[int, ...] | None = None
    """None: the exhibits' own."""
    where: tuple[str, ...] = ()
    """The `--where` options, as given."""


class Store:
    """`<root>/`: one folder per run, requests/, data/ (fingerprints), wandb/, report/."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> Store:
        """Make the store where there is none; EnvironmentProblem for one of a newer format."""
        path = self.root / "store.json"
        if path.exists():
            content = read_json(path, "delete that file, it is written again")
            found = content.get("format") if isinstance(content, dict) else None
            if not isinstance(found, int) or found < 1:
                raise EnvironmentProblem(
                    f"{path} is damaged or not a store's: choose another --root, or delete that "
                    "file, it is written again"
                )
            if found > FORMAT:
                raise EnvironmentProblem(
                    f"{self.root} was written by a newer ekd (format {found}, this one reads "
                    f"{FORMAT}): update ekd or choose another --root"
                )
        else:
            with self._exclusive():
                write_json(path, {"format": FORMAT})
        return self

    def folder(self, run: Run | str) -> RunFolder:
        """Give the folder of a run, which may not exist yet."""
        return RunFolder(self.root, run if isinstance(run, str) else run.key)

    def add_request(self, request: Request) -> None:
        """Keep a request; asking twice keeps one."""
        content = request.model_dump(mode="json")
        path = self.root / "requests" / f"{request_name(content)}.json"
        with self._exclusive():
            if not path.exists():
                write_json(path, content)

    def requests(self) -> list[Request]:
        """Read all requests, oldest first; EnvironmentProblem for a damaged one."""
        paths = list((self.root / "requests").glob("*.json"))
        return [
            read_request(p) for p in sorted(paths, key=lambda p: (p.stat().st_mtime_ns, p.name))
        ]

    def check_data(self, name: str, fingerprint: str) -> None:
        """Record the content of a named data set, and refuse another one under its name."""
        path = self.root / "data" / f"{name}.json"
        if not path.exists():
            with self._exclusive():
                if not path.exists():  # another process may have been faster
                    write_checked(path, {"fingerprint": fingerprint})
        known = read_fingerprint(path)
        if known != fingerprint:
            raise EnvironmentProblem(
                f"{name} here has the fingerprint {fingerprint}, but the runs in {self.root} saw "
                f"{known}: give the data that they saw, or another --root"
            )

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let one process at a time write here, and remove what killed ones left half written."""
        with exclusive(self.root / "store.lock"):
            for folder in (self.root, self.root / "requests", self.root / "data"):
                for left in folder.glob(f".*{TEMPORARY}"):
                    left.unlink(missing_ok=True)
            yield


def read_fingerprint(path: Path) -> str:
    """Read the fingerprint of a named data set; EnvironmentProblem where it is damaged."""
    remedy = "delete that file, it is written again"
    return str(read_checked(path, remedy, "fingerprint")["fingerprint"])


def request_name(content: Any) -> str:
    """Name a request's file after its content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def read_request(path: Path) -> Request:
    """Read a request and check it; EnvironmentProblem where it is damaged."""
    remedy = "delete that file and ask again"
    content = read_json(path, remedy)
    if request_name(content) != path.stem:
        raise EnvironmentProblem(f"{path} is damaged or not a request: {remedy}")
    try:
        return Request.model_validate_json(json.dumps(content))
    except ValidationError as error:
        raise EnvironmentProblem(f"{path} is not a request: {remedy}") from error
