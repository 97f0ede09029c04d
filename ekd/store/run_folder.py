"""The folder of one run: what is kept, in which order, and what it says about the run's state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ekd.spec import EnvironmentProblem
from ekd.store.files import append_line, read_json, sha256, write_atomic, write_json
from ekd.store.lease import is_held

Status = Literal["done", "running", "partial", "failed", "diverged", "missing"]


class RunFolder:
    """`<root>/<key>/`; result.json comes last and means done."""

    def __init__(self, root: Path, key: str) -> None:
        self.key = key
        self.path = root / key

    def status(self) -> Status:
        """Tell how far the run is, and whether a live process trains it."""
        kept = self.kept()
        return "running" if kept != "done" and is_held(self.path / "lease.json") else kept

    def kept(self) -> Status:
        """Tell how far the run is by its files, whoever may be training it."""
        if (self.path / "result.json").exists():
            return "done"
        if (self.path / "failure.json").exists():
            return "diverged" if self.failure()["kind"] == "diverged" else "failed"
        return "partial" if (self.path / "checkpoint.json").exists() else "missing"

    # What the run is, and where its numbers come from

    def write_spec(self, resolved: Mapping[str, Any]) -> None:
        """Write spec.json once."""
        if not (self.path / "spec.json").exists():
            write_json(self.path / "spec.json", resolved)

    def provenance(self) -> list[dict[str, Any]]:
        """Read the sessions that trained the run, first to last."""
        path = self.path / "provenance.json"
        return list(self._read(path)["sessions"]) if path.exists() else []

    def write_provenance(self, sessions: list[dict[str, Any]]) -> None:
        """Write the sessions that trained the run."""
        write_json(self.path / "provenance.json", {"sessions": sessions})

    # History: one line per finished epoch

    def append_history(self, line: Mapping[str, Any]) -> None:
        """Append the line of one finished epoch."""
        append_line(self.path / "history.jsonl", json.dumps(line, allow_nan=False))

    def history(self) -> list[dict[str, Any]]:
        """Read the finished epochs; a torn last line is left out."""
        path = self.path / "history.jsonl"
        lines: list[dict[str, Any]] = []
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return lines

    def cut_history(self, epochs: int) -> int:
        """Keep the lines of the first `epochs` epochs, later ones are trained again; count them."""
        path = self.path / "history.jsonl"
        kept = [json.dumps(line) for line in self.history() if line["epoch"] <= epochs]
        if path.exists():
            write_atomic(path, "".join(f"{line}\n" for line in kept).encode())
        return len(kept)

    # Checkpoints: two slots, the older one stays until the newer one is verified

    def write_checkpoint(self, content: bytes) -> None:
        """Keep a checkpoint; the one before stays until this one has been read back."""
        entries = self._checkpoints()
        used = entries[0]["file"] if entries else "checkpoint-b.pt"
        name = "checkpoint-b.pt" if used == "checkpoint-a.pt" else "checkpoint-a.pt"
        digest = write_atomic(self.path / name, content)
        if sha256(self.path / name) != digest:
            raise EnvironmentProblem(
                f"{self.path / name} reads back other than written: check the disk"
            )
        newest = {"file": name, "sha256": digest}
        write_json(self.path / "checkpoint.json", {"slots": [newest, *entries[:1]]})

    def read_checkpoint(self) -> bytes | None:
        """Give the newest undamaged checkpoint, or None."""
        for entry in self._checkpoints():
            path = self.path / entry["file"]
            if path.exists() and sha256(path) == entry["sha256"]:
                return path.read_bytes()
        return None

    def _checkpoints(self) -> list[dict[str, str]]:
        path = self.path / "checkpoint.json"
        try:
            return list(self._read(path)["slots"]) if path.exists() else []
        except EnvironmentProblem:
            return []  # a damaged list costs a training, never a wrong result

    # The end of a run

    def write_outputs(self, files: Mapping[str, bytes], result: Mapping[str, Any]) -> None:
        """Write the files, then result.json with their checksums, then drop the checkpoints."""
        digests = {name: write_atomic(self.path / name, data) for name, data in files.items()}
        digests["history.jsonl"] = sha256(self.path / "history.jsonl")
        write_json(self.path / "result.json", {**result, "files": digests})
        for name in ("checkpoint.json", "checkpoint-a.pt", "checkpoint-b.pt", "failure.json"):
            (self.path / name).unlink(missing_ok=True)
        for left in self.path.glob(".*.tmp"):  # by a process that was killed while it wrote
            left.unlink(missing_ok=True)

    def result(self) -> dict[str, Any]:
        """Read what a finished run gave; FileNotFoundError before its end."""
        return dict(self._read(self.path / "result.json"))

    def read_output(self, name: str) -> bytes:
        """Read a finished run's file and check it; EnvironmentProblem where it is damaged."""
        path = self.path / name
        if not path.exists() or sha256(path) != self.result()["files"][name]:
            raise EnvironmentProblem(
                f"{path} is missing or damaged: delete {self.path} to train that run again"
            )
        return path.read_bytes()

    def write_failure(self, kind: Literal["failed", "diverged"], text: str, trace: str) -> None:
        """Record why the run has no result."""
        write_json(self.path / "failure.json", {"kind": kind, "message": text, "traceback": trace})

    def failure(self) -> dict[str, str]:
        """Read why the run has no result."""
        return dict(self._read(self.path / "failure.json"))

    def forget_failure(self) -> None:
        """Let the run be tried again."""
        (self.path / "failure.json").unlink(missing_ok=True)

    def _read(self, path: Path) -> Any:
        return read_json(path, f"delete {self.path} to train that run again")
