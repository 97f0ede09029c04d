"""The trainer's end of the mirror: tiny messages to a process that nobody waits for."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ekd.tracking.mode import Mode


@dataclass(frozen=True)
class About:
    """What W&B is told about a run."""

    key: str
    """The run key, 16 hexadecimal digits; it is the W&B run id."""
    group: str
    """The run key without the seed, so that W&B groups the seeds."""
    job_type: str
    """teacher or student."""
    name: str
    tags: tuple[str, ...]
    config: dict[str, Any]
    """The resolved run, as JSON values."""


class Mirror:
    """Mirrors runs under `root` to W&B; never raises, never waits before `close`."""

    def __init__(self, root: Path, mode: Mode) -> None:
        """Prepare; the process starts with the first run, and never when `mode` is disabled."""
        self.root = root.absolute()
        self.mode = mode
        self.begun: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.log: BinaryIO | None = None
        self.scratch = self.root / "wandb" / f"mirror-{os.getpid()}-{secrets.token_hex(4)}"
        self.unsent: dict[str, str] = {}
        self.problems: list[str] | None = None

    def __enter__(self) -> Mirror:
        """Give the mirror itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close with the default timeout, unless that was done."""
        self.close()

    def start(self, key: str, about: About) -> None:
        """Tell the mirror that run `key` begins or resumes; its history is mirrored from line 1."""
        if self.mode == "disabled":
            return
        self.begun.append(key)
        self.unsent.pop(key, None)
        try:
            if self.process is None or self.process.poll() is not None:
                self._end(timeout=0)
                self._launch()
            self._send({"start": asdict(about)})
        except OSError as problem:
            self.unsent[key] = f"the mirror process could not be told ({problem})"

    def finish(self, key: str, outcome: str = "") -> None:
        """Tell the mirror that run `key` is over for now: by its files, or else by `outcome`."""
        with contextlib.suppress(OSError):
            self._send({"finish": key, "outcome": outcome})

    def close(self, timeout: float = 10.0) -> list[str]:
        """Let the mirror drain for at most `timeout` seconds, then kill it.

        Returns:
            A sentence per reason, naming the runs that W&B does not fully hold; empty if it does.
        """
        if self.problems is None:
            late = self._end(timeout)
            self.problems = self._sentences(late)
            self._tidy()
        return self.problems

    def _launch(self) -> None:
        if self.log is None:
            self.log = self._claim()
        # -P: a file in the working directory must not shadow a module.
        program = [sys.executable, "-P", "-m", "ekd.tracking.mirror"]
        self.process = subprocess.Popen(
            [*program, str(self.root), self.mode, str(self.scratch), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            env=environment(self.root, self.scratch / "tmp", self.mode),
            cwd=self.scratch / "tmp",
            bufsize=0,
            start_new_session=True,  # Ctrl-C stops training; the mirror drains
        )
        assert self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)

    def _claim(self) -> BinaryIO:
        """Make the scratch folder; it is swept once nobody has its log open."""
        sweep(self.scratch.parent)
        self.scratch.mkdir(parents=True, exist_ok=True)
        log = (self.scratch / "log").open("a+b")  # NFS shares no lock on what cannot be read
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(log, fcntl.LOCK_SH)
        (self.scratch / "tmp").mkdir(exist_ok=True)
        return log

    def _send(self, command: dict[str, Any]) -> None:
        if self.process is None or self.process.stdin is None or self.process.stdin.closed:
            return
        line = json.dumps(command, default=str).encode() + b"\n"
        if self.process.stdin.write(line) != len(line):
            raise BlockingIOError("its pipe is full")

    def _end(self, timeout: float) -> bool:
        """Close the pipe and wait; True if the process had to be killed."""
        if self.process is None or self.process.stdin is None:
            return False
        self.process.stdin.close()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return True
        return False

    def _sentences(self, late: bool) -> list[str]:
        end = "did not end in time and was stopped" if late else "ended early"
        recorded = self._recorded()
        runs: dict[str, list[str]] = {}
        for key in dict.fromkeys(self.begun):
            if reason := self.unsent.get(key) or recorded.get(key, f"the mirror process {end}"):
                runs.setdefault(reason, []).append(key)
        return [self._sentence(keys, reason) for reason, keys in runs.items()]

    def _sentence(self, keys: list[str], reason: str) -> str:
        who, whose = f"{keys[0]} is", "its"
        if len(keys) > 1:
            who, whose = f"{keys[0]} and {len(keys) - 1} more are", "their"
        log = self.scratch / "log"
        return f"{who} not fully in W&B: {reason} (see {log}); {whose} history.jsonl lacks nothing."

    def _recorded(self) -> dict[str, str]:
        """Read what the mirror wrote of each run: "" or what went wrong."""
        try:
            text = (self.scratch / "status.jsonl").read_text()
        except OSError:
            return {}
        whole, _, _ = text.rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return {line["key"]: line["error"] for line in lines}

    def _tidy(self) -> None:
        if self.log is not None:
            self.log.close()
        # The log stays where there is something to look up.
        used = self.scratch / "tmp" if self.problems else self.scratch
        shutil.rmtree(used, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Delete what mirrors left in `folder` that were killed together with their trainers."""
    for left in folder.glob("mirror-*/tmp"):
        with contextlib.suppress(OSError), (left.parent / "log").open("rb+") as log:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the living share it
            shutil.rmtree(left.parent)


def environment(root: Path, temporary: Path, mode: Mode) -> dict[str, str]:
    """Make the mirror's environment: one thread, no reports home, no file outside `root`.

    `temporary` is the folder that the mirror will run in.
    """
    folders = ["WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR"]
    if mode == "offline":  # online, the user's own settings say where and as whom to log
        folders.append("WANDB_CONFIG_DIR")
    places = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), str(Path(__file__).parents[2])]
    return {
        **os.environ,
        **dict.fromkeys(folders, str(temporary)),
        **dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOMAXPROCS"], "1"),
        # wandb-core puts its socket there, whose whole path may have 108 bytes; else it takes /tmp.
        "TMPDIR": os.curdir,
        "WANDB_DIR": str(root),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
        "PYTHONPATH": os.pathsep.join(str(Path(place).absolute()) for place in places if place),
    }
