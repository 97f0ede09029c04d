"""One run's mirror in W&B: a fresh segment that holds the whole history, from line 1."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from ekd.tracking.history import Tail, numbers, outcome
from ekd.tracking.mode import Mode

INIT_SECONDS = 30.0
FINISH_SECONDS = 30.0


class Segment:
    """An open W&B run that follows `<root>/<key>/history.jsonl`."""

    def __init__(self, root: Path, about: dict[str, Any], mode: Mode) -> None:
        """Open the segment; `about` holds the fields of `About`.

        Raises:
            Exception: whatever importing or initialising wandb raises.
        """
        self.folder = root / about["key"]
        self.older = unsynced(root / "wandb", about["key"])
        self.run = _open(root, about, mode)
        self.tail = Tail(self.folder / "history.jsonl")
        # A server that knows the run drops the steps it has; offline, a segment starts at 0.
        self.last = self.run.step - 1 if self.run.resumed else 0

    def follow(self) -> None:
        """Log the new lines; an epoch that a resume wrote again is not logged again."""
        for line in self.tail.read():
            if line["epoch"] > self.last:
                # Without commit, W&B holds a row back until the next step.
                self.run.log(dict(numbers(line)), step=line["epoch"], commit=True)
                self.last = line["epoch"]

    def finish(self, word: str = "") -> None:
        """Log what is left and the outcome, close the segment, and delete the older ones.

        `word` is the outcome of a run whose files tell none, such as pruned.
        """
        self.follow()
        summary = outcome(self.folder)
        if word and summary["status"] == "interrupted":
            summary["status"] = word
        self.run.summary.update(summary)
        self.run.finish(exit_code=0 if summary["status"] in ("done", word) else 1)
        # A link to a log in the mirror's scratch folder, which will be gone.
        Path(self.run.dir, "../logs/debug-core.log").unlink(missing_ok=True)
        for folder in self.older:
            shutil.rmtree(folder, ignore_errors=True)


def unsynced(folder: Path, key: str) -> list[Path]:
    """List the offline segments of run `key` that no `wandb sync` has taken yet."""
    # Segments that start in the same second get a number after the key.
    name = re.compile(rf"offline-run-\d+_\d+-{key}(-\d+)?")
    segments = [path for path in folder.glob(f"offline-run-*{key}*") if name.fullmatch(path.name)]
    return [segment for segment in segments if not any(segment.glob("*.wandb.synced"))]


def _open(root: Path, about: dict[str, Any], mode: Mode) -> Any:
    import wandb

    settings = wandb.Settings(
        x_transaction_log_flush_interval=0.5,  # by default a kill loses up to 15 s
        console="off",
        disable_git=True,
        save_code=False,
        symlink=False,
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        finish_timeout_raises=True,
        # The run's folder holds the provenance; what runs here is only the mirror.
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or "ekd",
        id=about["key"],
        group=about["group"],
        job_type=about["job_type"],
        name=about["name"],
        tags=about["tags"],
        config=about["config"],
        mode=mode,
        dir=root,
        resume="allow" if mode == "online" else None,
        reinit="create_new",
        settings=settings,
    )
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")
    return run
