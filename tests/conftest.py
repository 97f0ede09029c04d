"""What all tests share: one thread, subnormals flushed, and a tiny data set."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from command_line import Ended, Run

from ekd.cli import run as cli
from ekd.store import Store

# No test may reach a server that it did not start itself, or download 250 MB where it could.
for scheme in ("http", "https"):
    os.environ[f"{scheme}_proxy"] = "http://127.0.0.1:9"
os.environ["no_proxy"] = "127.0.0.1,localhost"
# Other numbers of threads give other bits, so all processes take one, as this one does.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


@pytest.fixture(scope="session")
def tiny_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training and 24 test images of 8 x 8 in three classes that differ in colour."""
    return tiny.write_npz(tmp_path_factory.mktemp("data") / "tiny.npz")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs").open()


@pytest.fixture
def ekd_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run the command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def command(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["ekd-run", *arguments])
        capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    yield command
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def spec(tmp_path: Path, tiny_npz: Path) -> str:
    return str(tiny.write_spec(tmp_path, tiny_npz, epochs=1))
