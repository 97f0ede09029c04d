"""What every process that trains sets up first, and where its numbers come from."""

from __future__ import annotations

import datetime
import hashlib
import os
import platform
import shlex
import socket
import subprocess
import sys
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import ekd
from ekd.spec import EnvironmentProblem, SpecError

PACKAGES = ("torchvision", "numpy", "scikit-learn")


class DeviceLost(EnvironmentProblem):
    """An error on the CUDA device has left it unusable for as long as this process lives."""


def prepare() -> None:
    """Set what every number of this process depends on; call it before the first tensor operation.

    Subnormal numbers are flushed to zero, in this thread and in those that it starts later: Adam
    with L2 drives dead weights to 1e-41, and arithmetic on a few per cent of such numbers makes a
    step ten times slower.

    Where there is a CUDA device, it computes in float32 to the last bit and the same each time. The
    paper's hardware of 2019 multiplied float32 numbers as they are; TF32, torch's default for
    convolutions since, cuts their mantissas from 23 bits to 10. cuDNN's benchmark would choose
    other algorithms from one start to the next, and other algorithms round otherwise.
    """
    torch.set_flush_denormal(True)
    # The first optimizer makes torch open a cache there; nothing here compiles anything.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())
    if not torch.cuda.is_available():
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    cudnn: Any = torch.backends.cudnn
    for part in (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn):
        part.fp32_precision = "ieee"
    cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)  # an operation that has none raises an error
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = False  # a help for finding faults, which takes time


def choose_device(name: str) -> torch.device:
    """Give the device that `auto`, `cpu` or `cuda` means here; SpecError where it is missing."""
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise SpecError("--device cuda: this machine has no usable CUDA device: say --device cpu")
    return torch.device("cuda" if found and name != "cpu" else "cpu")


def session(device: torch.device, fingerprint: str) -> dict[str, Any]:
    """Describe this process and its surroundings, for a run's provenance."""
    return {
        "start": now(),
        "stop": None,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "host": socket.gethostname(),
        "system": platform.platform(),
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "arithmetic": arithmetic(device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions(),
        "revision": revision(),
        "data_fingerprint": fingerprint,
    }


def arithmetic(device: torch.device) -> dict[str, Any]:
    """Give what decides the last bits of a device's numbers, besides versions and threads."""
    if device.type == "cpu":
        return {"instructions": torch.backends.cpu.get_cpu_capability()}
    cudnn: Any = torch.backends.cudnn
    precisions = (torch.backends.cuda.matmul.fp32_precision, cudnn.conv.fp32_precision)
    return {
        "cuda": torch.version.cuda,
        "cudnn": cudnn.version(),
        "capability": "{}.{}".format(*torch.cuda.get_device_capability(device)),
        "tf32": "tf32" in precisions,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": cudnn.benchmark,
    }


def failed_because(error: BaseException) -> str:
    """Say why a training failed: with what to do where memory ran out, else as the error does."""
    if isinstance(error, torch.OutOfMemoryError):
        return (
            "the device ran out of memory: end other programs on it or take fewer --workers, and "
            "give the same command with --retry; or train with --device cpu"
        )
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return (
            "the machine ran out of memory: end other programs on it or take fewer --workers, and "
            "give the same command with --retry"
        )
    return repr(error)


def check_device(device: torch.device) -> None:
    """Raise DeviceLost where every further operation on the device would fail.

    Ask after a training failed: an illegal address or a failed assertion in a kernel stays, and
    would make each run that is left fail for a fault that is not its own.
    """
    if device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        first = str(error).partition("\n")[0]
        raise DeviceLost(
            f"the CUDA device is of no use any more to this process ({first}): give the same "
            "command again, it goes on with the other runs"
        ) from error


def versions() -> dict[str, str]:
    """Give the versions of what the numbers depend on; torch's own names its build, as +cu130."""
    found = {package: metadata.version(package) for package in PACKAGES}
    return {"ekd": ekd.__version__, "torch": str(torch.__version__)} | found


def now() -> str:
    """Give the present time, to the second, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@cache
def revision() -> dict[str, str] | None:
    """Give a checkout's commit and a hash of what differs, new files too; None in an install."""
    checkout = Path(ekd.__file__).resolve().parent.parent
    if not (checkout / ".git").exists():
        return None
    commit, changes = _git(checkout, "rev-parse", "HEAD"), _git(checkout, "diff", "HEAD")
    new = _git(checkout, "ls-files", "--others", "--exclude-standard", "--", "ekd", "experiments")
    if commit is None or changes is None or new is None:
        return None
    changes += "".join(
        f"{name}\n{(checkout / name).read_text(encoding='utf-8', errors='replace')}"
        for name in new.splitlines()
    )
    dirty = hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else ""
    return {"commit": commit.strip(), "dirty": dirty}


def _git(checkout: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *command], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
