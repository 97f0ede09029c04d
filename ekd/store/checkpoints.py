"""Checkpoints of a run: two are kept, the older one until the newer one is verified and older."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from ekd.spec import EnvironmentProblem
from ekd.store.files import read_bytes, read_checked, sha256
from ekd.store.guarded import GuardedFolder
from ekd.store.history import digest, whole_lines

LIST = "checkpoint.json"


def is_checkpoint(name: str) -> bool:
    """Tell a checkpoint by its file's name."""
    return name.startswith("checkpoint-") and name.endswith(".pt")


@dataclass(frozen=True)
class Slot:
    """What checkpoint.json says of a checkpoint, and of the history when it was written."""

    file: str
    sha256: str
    epochs: int | None = None
    """Lines in the history; None where an older ekd wrote the list."""
    history: str = ""
    """Hash of those lines."""

    def is_whole(self, folder: Path) -> bool:
        """Tell whether the checkpoint is there, as it was written."""
        path = folder / self.file
        return path.exists() and sha256(path) == self.sha256

    def check(self, folder: Path, remedy: str) -> None:
        """Raise EnvironmentProblem where the checkpoint is not there as it was written."""
        if not self.is_whole(folder):
            raise EnvironmentProblem(f"{folder / self.file} is missing or damaged: {remedy}")

    def knows(self, lines: list[bytes]) -> bool:
        """Tell whether the history begins with the lines that were there."""
        return self.epochs is None or digest(lines[: self.epochs]) == self.history


class CheckpointFolder(GuardedFolder):
    """The checkpoints of one run."""

    def write_checkpoint(self, content: bytes) -> None:
        """Keep a checkpoint; the newest whole one before stays until this one is read back.

        No file that the list names is written over, so that a kill leaves no false checksum.
        """
        kept = next((slot for slot in self.checkpoints() if slot.is_whole(self.path)), None)
        name = f"checkpoint-{secrets.token_hex(6)}.pt"
        written = self._write(name, content)
        if sha256(self.path / name) != written:
            raise EnvironmentProblem(
                f"{self.path / name} reads back other than written: check the disk"
            )
        lines = whole_lines(self._history())
        slots = [slot for slot in (Slot(name, written, len(lines), digest(lines)), kept) if slot]
        self._write_checked(LIST, {"slots": [asdict(slot) for slot in slots]})
        for path in self.path.glob("checkpoint-*.pt"):
            if path.name not in {slot.file for slot in slots}:
                self._remove(path.name)

    def read_checkpoint(self) -> bytes | None:
        """Give the newest undamaged checkpoint, or None."""
        for slot in self.checkpoints():
            if slot.is_whole(self.path):
                return read_bytes(self.path / slot.file)
        return None

    def checkpoints(self) -> list[Slot]:
        """List the checkpoints, newest first; none where the list is missing or damaged.

        A damaged list costs a training, never a wrong result.
        """
        try:
            return read_slots(self.path)
        except (FileNotFoundError, EnvironmentProblem):
            return []

    def check_history(self) -> None:
        """Raise EnvironmentProblem where the history is not what it was at the checkpoints."""
        lines = whole_lines(self._history())
        if not all(slot.knows(lines) for slot in self.checkpoints()):
            raise self._not_the_history()

    def _not_the_history(self) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"{self.path}/history.jsonl is damaged or lacks epochs that were trained: {self.again}"
        )

    @property
    def again(self) -> str:
        """Say what to do where the run's files are damaged."""
        return f"delete {self.path} to train that run again"

    def _history(self) -> bytes:
        path = self.path / "history.jsonl"
        return read_bytes(path) if path.exists() else b""


def read_slots(folder: Path) -> list[Slot]:
    """Read checkpoint.json; EnvironmentProblem where it is damaged, FileNotFoundError without."""
    remedy = "delete it, the run then starts again"
    content = read_checked(folder / LIST, remedy, "slots")
    try:
        return [Slot(**slot) for slot in content["slots"]]
    except TypeError as error:
        raise EnvironmentProblem(f"{folder / LIST} is damaged: {remedy}") from error
