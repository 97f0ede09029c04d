"""Devices, as far as a machine without one can tell: a made-up CUDA device stands in."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from command_line import Run as Command
from test_gpu import started, taught
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ekd.data import Split, Splits
from ekd.engines.process import (
    DeviceLost,
    check_device,
    choose_device,
    failed_because,
    prepare,
    session,
)
from ekd.methods import Batch, Objective, discover
from ekd.store import Store
from ekd.trainer import Saver, begin, build
from ekd.trainer.loop import train_epoch

NEVER = 1e9  # seconds until a checkpoint, which waits for the device
HERE = torch.cuda.is_available()
without_cuda = pytest.mark.skipif(HERE, reason="there is a CUDA device here")


class MadeUp:
    """A CUDA device of shapes alone: it refuses tensors of the CPU, and to give any value back."""

    def __init__(self) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=False)

    def tensor(self, like: Tensor) -> Tensor:
        with self.mode:
            return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="cuda")

    def split(self, split: Split) -> Split:
        return Split(*(self.tensor(part) for part in (split.images, split.labels, split.index)))

    def splits(self, splits: Splits) -> Splits:
        return dataclasses.replace(
            splits,
            train=self.split(splits.train),
            test=self.split(splits.test),
            mean=self.tensor(splits.mean),
            std=self.tensor(splits.std),
        )

    def module(self, module: nn.Module) -> None:
        for part in module.modules():
            for name, value in part._parameters.items():
                if value is not None:
                    moved = nn.Parameter(self.tensor(value.detach()), value.requires_grad)
                    part._parameters[name] = moved
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = self.tensor(buffer)


def epoch_on_made_up_device(
    objective: Objective, run: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Tensor]:
    """Train an epoch; give its sums. The backward pass, which needs a real device, is left out."""

    def backward(loss: Tensor) -> None:
        assert loss.device.type == "cuda"
        for parameter in objective.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None

    device = MadeUp()
    device.module(objective)
    task = tiny.task(run, store)
    task = dataclasses.replace(task, splits=device.splits(task.splits))
    monkeypatch.setattr(Tensor, "backward", backward)
    with device.mode:
        state, _ = begin(task, objective)
        train_epoch(task, state, Saver(task.folder, NEVER), 0.01)
    assert state.step == task.steps > 1
    return state.sums


WAITING = {"bss"}  # it attacks images until they have crossed a boundary, so it must look


@pytest.mark.parametrize("name", sorted(set(discover()) - WAITING))
def test_a_step_mixes_no_devices_and_waits_for_none(
    name: str, tiny_npz: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = taught(discover()[name](), tiny_npz)
    started(run, store, torch.device("cpu"))  # its teachers are there afterwards
    objective = build(run, tiny.CLASSES, store)
    sums = epoch_on_made_up_device(objective, run, store, monkeypatch)
    assert {k for k, v in sums.items() if v.device.type != "cuda"} <= {"images"}


class Careless(Objective):
    """What a method may get wrong."""

    fault = ""

    def terms(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.student(batch.x).logits
        if self.fault == "mixes":
            logits = logits + torch.zeros(len(batch.y), tiny.CLASSES)
        loss = nn.functional.cross_entropy(logits, batch.y)
        if self.fault == "waits":
            loss = loss * (1.0 if loss.item() > 0 else 0.0)
        return logits, {"ce": loss}


@pytest.mark.parametrize(
    ("fault", "said"), [("mixes", "cuda:0 and cpu"), ("waits", "local_scalar_dense")]
)
def test_the_made_up_device_sees_what_a_method_gets_wrong(
    fault: str, said: str, tiny_npz: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny.plain(tiny.data(tiny_npz))
    objective = Careless(build(run, tiny.CLASSES, store).student)
    objective.fault = fault
    with pytest.raises(Exception, match=said):
        epoch_on_made_up_device(objective, run, store, monkeypatch)


@without_cuda
def test_a_device_that_is_missing_is_a_usage_error(
    ekd_run: Command, spec: str, tmp_path: Path
) -> None:
    ended = ekd_run(spec, "--device", "cuda")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "Error: --device cuda: this machine has no usable CUDA device: say --device cpu\n"
    )
    assert not (tmp_path / "runs").exists()


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert choose_device("auto").type == device
        assert choose_device("cpu").type == "cpu"


def test_only_where_there_is_a_device_is_anything_of_it_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_here: list[bool] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", set_here.append)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    prepare()
    assert (set_here, os.environ.get("CUBLAS_WORKSPACE_CONFIG")) == ([], None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    prepare()
    assert (set_here, os.environ["CUBLAS_WORKSPACE_CONFIG"]) == ([True], ":4096:8")
    products, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    assert products.fp32_precision == cudnn.conv.fp32_precision == "ieee"
    assert not cudnn.benchmark
    assert not torch.utils.deterministic.fill_uninitialized_memory


def test_a_cpus_session_tells_its_instructions() -> None:
    told = session(torch.device("cpu"), "f")
    assert told["device"] == "cpu"
    assert told["arithmetic"] == {"instructions": torch.backends.cpu.get_cpu_capability()}


def test_a_failure_for_want_of_memory_says_what_to_do() -> None:
    for error, where in (
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "the device"),
        (MemoryError(), "the machine"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "the machine"),
    ):
        text = failed_because(error)
        assert text.startswith(f"{where} ran out of memory: ")
        assert "--retry" in text
    assert failed_because(ValueError("no")) == "ValueError('no')"


def test_a_device_that_an_error_took_with_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: torch.device) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered\nSearch for it")

    check_device(torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    check_device(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    with pytest.raises(DeviceLost, match=r"device-side assert triggered\): give the same command"):
        check_device(torch.device("cuda"))


@pytest.mark.slow
def test_the_devices_script_runs_its_whole_path_on_a_cpu(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent / ".ci" / "gpu"
    if not script.exists():
        pytest.skip("the tests stand alone here")
    environment = os.environ | {"DEVICE": "cpu", "OUT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), "-k", "bits or provenance"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=1400, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert '"device": "cpu"' in done.stdout.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"summary.json", "tests.txt", "tests.xml"}
