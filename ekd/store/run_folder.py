"""The folder of one run: what is kept, in which order, and what it says about the run's state."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ekd.spec import EnvironmentProblem
from ekd.store.checkpoints import LIST, CheckpointFolder, is_checkpoint
from ekd.store.files import TEMPORARY, read_bytes, read_checked, read_json, sha256
from ekd.store.history import parsed, whole_lines
from ekd.store.lease import is_held

Status = Literal["done", "running", "partial", "failed", "diverged", "missing"]


class RunFolder(CheckpointFolder):
    """`<root>/<key>/`; result.json comes last and means done.

    Whatever writes or removes calls `guard` first, which raises where the lease is lost.
    """

    def __init__(self, root: Path, key: str) -> None:
        super().__init__(root / key)
        self.key = key

    def status(self) -> Status:
        """Tell how far the run is, and whether a live process trains it."""
        kept = self.kept()
        return "running" if kept != "done" and is_held(self.path / "lease.json") else kept

    def kept(self) -> Status:
        """Tell how far the run is by its files, whoever may be training it."""
        if (self.path / "result.json").exists():
            return "done"
        with contextlib.suppress(FileNotFoundError):  # --retry may remove it at any time
            return "diverged" if self.failure()["kind"] == "diverged" else "failed"
        return "partial" if (self.path / LIST).exists() else "missing"

    # What the run is, and where its numbers come from

    def write_spec(self, resolved: Mapping[str, Any]) -> None:
        """Write spec.json, unless it is there as it should be."""
        with contextlib.suppress(FileNotFoundError, EnvironmentProblem):
            if read_json(self.path / "spec.json", "") == resolved:
                return
        self._write_json("spec.json", resolved)

    def provenance(self) -> list[dict[str, Any]]:
        """Read the sessions that trained the run, first to last."""
        path = self.path / "provenance.json"
        if not path.exists():
            return []
        return list(read_checked(path, self.again, "sessions")["sessions"])

    def write_provenance(self, sessions: list[dict[str, Any]]) -> None:
        """Write the sessions that trained the run."""
        self._write_checked("provenance.json", {"sessions": sessions})

    # History: one line per finished epoch

    def append_history(self, line: Mapping[str, Any]) -> None:
        """Append the line of one finished epoch."""
        self._append("history.jsonl", json.dumps(line, allow_nan=False))

    def history(self) -> list[dict[str, Any]]:
        """Read the finished epochs; a torn last line is left out.

        Raises EnvironmentProblem where a finished run's history is damaged.
        """
        done = (self.path / "result.json").exists()
        return parsed(self.read_output("history.jsonl") if done else self._history())

    def cut_history(self, epochs: int) -> None:
        """Keep the lines of the first `epochs` epochs: later ones are trained again.

        Raises EnvironmentProblem where they are not what they were at the checkpoint.
        """
        content = self._history()
        kept = whole_lines(content)[:epochs]
        slots = [slot for slot in self.checkpoints() if slot.epochs == epochs]
        if len(kept) < epochs or not all(slot.knows(kept) for slot in slots):
            raise self._not_the_history()
        if content != b"".join(kept):
            self._write("history.jsonl", b"".join(kept))

    # The end of a run

    def write_outputs(self, files: Mapping[str, bytes], result: Mapping[str, Any]) -> None:
        """Write the files, then result.json with all checksums, then drop the checkpoints."""
        digests = {name: self._write(name, content) for name, content in files.items()}
        for name in ("history.jsonl", "spec.json", "provenance.json"):
            if (self.path / name).exists():
                digests[name] = sha256(self.path / name)
        self._write_checked("result.json", {**result, "files": digests})
        self.tidy()

    def result(self) -> dict[str, Any]:
        """Read what a finished run gave; FileNotFoundError before its end.

        Raises EnvironmentProblem where it is damaged.
        """
        return read_checked(self.path / "result.json", self.again, "files")

    def read_output(self, name: str) -> bytes:
        """Read a finished run's file and check it; EnvironmentProblem where it is damaged."""
        self.check_output(name)
        return read_bytes(self.path / name)

    def check_output(self, name: str) -> None:
        """Compare a finished run's file with its checksum; EnvironmentProblem as in read_output."""
        path = self.path / name
        if not path.exists() or sha256(path) != self.result()["files"].get(name):
            raise EnvironmentProblem(f"{path} is missing or damaged: {self.again}")

    def leftovers(self) -> bool:
        """Tell whether a killed process left files that the run no longer needs."""
        return bool(self._leftovers())

    def tidy(self) -> None:
        """Remove them; call it only under the run's lease."""
        for name in self._leftovers():
            self._remove(name)

    def _leftovers(self) -> list[str]:
        found = sorted(path.name for path in self.path.glob("*"))
        left = [name for name in found if name.endswith(TEMPORARY)]
        if "result.json" in found:
            left += [name for name in found if is_checkpoint(name)]
            left += [name for name in ("failure.json", LIST) if name in found]
        return left

    def write_failure(self, kind: Literal["failed", "diverged"], text: str, trace: str) -> None:
        """Record why the run has no result."""
        failure = {"kind": kind, "message": text, "traceback": trace}
        self._write_checked("failure.json", failure)

    def failure(self) -> dict[str, str]:
        """Read why the run has no result; FileNotFoundError where it has not failed.

        Raises EnvironmentProblem where that is damaged.
        """
        remedy = "delete that file to try the run again"
        return read_checked(self.path / "failure.json", remedy, "kind", "message", "traceback")

    def forget_failure(self) -> None:
        """Let the run be tried again."""
        self._remove("failure.json")
