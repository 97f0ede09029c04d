"""What must hold on a CUDA device. `.ci/gpu` runs it; EKD_TEST_DEVICE=cpu tries the tests."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
from command_line import Run as Command
from tiny import CLASSES
from torch import nn

from ekd.cost import latency
from ekd.data import load
from ekd.engines.process import failed_because, prepare, session
from ekd.methods import Method, discover
from ekd.models import CompNet
from ekd.spec import Parent, Run
from ekd.store import RunFolder, Store
from ekd.trainer import Saver, State, Task, begin, build, evaluate, finish, infer, train
from ekd.trainer.loop import train_epoch

DEVICE = torch.device(os.environ.get("EKD_TEST_DEVICE", "cuda"))
THERE = DEVICE.type == "cpu" or torch.cuda.is_available()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not THERE, reason="no CUDA device here: .ci/gpu is for a machine with one"),
]
cuda_only = pytest.mark.skipif(DEVICE.type != "cuda", reason="it is about CUDA")
NEVER = 1e9  # seconds until a checkpoint, which waits for the device
CPU = torch.device("cpu")
SGD = {"optimizer": "sgd", "momentum": 0.9}  # Adam's first steps magnify a difference of one bit


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    if THERE:
        prepare()
    yield
    torch.use_deterministic_algorithms(before)


def taught(method: Method, source: Path, branches: int = 2, **recipe: Any) -> Run:
    """A run of two branches, or one if two are refused, with the teachers that the method takes."""
    data = tiny.data(source)
    run = tiny.plain(data, branches=branches, **recipe).model_copy(update={"method": method})
    count = method.teacher_count(run)
    teachers = [Parent(run=tiny.plain(data, 100 + i)) for i in range(2 if count is None else count)]
    run = method.chain(run.model_copy(update={"teachers": tuple(teachers)}))
    refused = branches > 1 and method.refuses(run) is not None
    return taught(method, source, 1, **recipe) if refused else run


def started(run: Run, store: Store, device: torch.device) -> tuple[Task, State]:
    """Begin a run, or take up its checkpoint, on a device."""
    for parent in run.parents():
        tiny.trained(parent.run, store)
    task = Task(run, load(run.data, store.root, device), store.folder(run))
    state, _ = begin(task, build(run, CLASSES, store).to(device))
    return task, state


def elsewhere(task: Task, root: Path) -> Task:
    return dataclasses.replace(task, folder=RunFolder(root, task.run.key))


def trained_on(run: Run, store: Store, device: torch.device, root: Path) -> RunFolder:
    task, state = started(run, store, device)
    task = elsewhere(task, root)
    task.folder.write_spec(run.resolved())
    list(train(task, state, Saver(task.folder)))
    finish(task, state)
    return task.folder


@pytest.mark.parametrize("name", sorted(discover()))
def test_every_method_trains_there_as_on_the_cpu(
    name: str, tiny_npz: Path, store: Store, tmp_path: Path
) -> None:
    run = taught(discover()[name](), tiny_npz, **SGD)
    lines = {}
    for device in (CPU, DEVICE):
        task, state = started(run, store, device)
        task = elsewhere(task, tmp_path / device.type)
        task.folder.write_spec(run.resolved())
        lines[device.type] = list(train(task, state, Saver(task.folder)))
        assert {p.device.type for p in state.objective.parameters()} == {device.type}
    for ours, theirs in zip(lines[DEVICE.type], lines["cpu"], strict=True):
        tolerance = 10.0 ** (ours["epoch"] - 5)  # three steps an epoch
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=tolerance)
        assert ours["terms"] == pytest.approx(theirs["terms"], rel=10 * tolerance, abs=1e-4)


def test_the_same_command_gives_the_same_bits(ekd_run: Command, spec: str, tmp_path: Path) -> None:
    found = []
    for root in ("one", "two"):
        assert ekd_run(spec, "--device", DEVICE.type, "--root", root).code == 0
        folders = tiny.two_runs(tmp_path / root)
        found.append({name: tiny.content(folder) for name, folder in folders.items()})
    assert found[0].keys() == {"plain", "ekd"}
    assert found[0] == found[1]


def test_a_checkpoint_moves_from_one_device_to_the_other_and_back(
    tiny_npz: Path, store: Store, tmp_path: Path
) -> None:
    run = tiny.ekd(tiny.data(tiny_npz), epochs=4, selection="best", evaluations=4)
    reference = trained_on(run, store, CPU, tmp_path / "reference").history()
    store.folder(run).write_spec(run.resolved())
    losses = []
    for number, device in enumerate((CPU, DEVICE, CPU, DEVICE)):
        folder = store.folder(run)
        task, state = started(run, store, device)
        assert (state.epoch, state.best is None) == (number, number == 0)
        lines = train(task, state, Saver(folder))
        losses.append(next(lines)["loss"])
        folder.write_checkpoint(state.to_bytes())
        held = state.optimizer.state.values()
        assert {v.device.type for entry in held for v in entry.values()} == {device.type}
        assert {v.dtype for entry in held for v in entry.values()} == {torch.float32}
    assert losses == pytest.approx([line["loss"] for line in reference], rel=0.05)
    task, state = started(run, store, CPU)
    assert finish(task, state)["selected_epoch"] in range(1, 5)


def test_a_smoke_exhibit_goes_from_end_to_end(ekd_run: Command, tmp_path: Path) -> None:
    options = ("--scale", "smoke", "--where", "student.branches=1", "--device", DEVICE.type)
    done = ekd_run("table1", *options)
    assert done.code == 0, done.err
    (tmp_path / "report").mkdir()
    sessions = [
        one
        for path in (tmp_path / "runs").glob("*/provenance.json")
        for one in json.loads(path.read_text())["sessions"]
    ]
    name = "cpu" if DEVICE.type == "cpu" else torch.cuda.get_device_name()
    assert {one["device"] for one in sessions} == {name}
    results = [json.loads(p.read_text()) for p in (tmp_path / "runs").glob("*/result.json")]
    assert len(results) == 3
    assert all(result["accuracy"] > 0.3 for result in results)  # of ten classes


def test_evaluation_there_gives_the_cpus_outputs(tiny_npz: Path, store: Store) -> None:
    run = tiny.plain(tiny.data(tiny_npz), branches=2)
    folder = tiny.trained(run, store)
    kept = np.load(io.BytesIO(folder.read_output("test_outputs.npz")))
    splits = load(run.data, store.root, DEVICE)
    net = loaded(folder, run).to(DEVICE)
    found = infer(net, splits.test, splits.mean, splits.std)
    assert found.logits.device.type == DEVICE.type
    for name in ("logits", "branches"):
        ours = getattr(found, name).cpu().numpy()
        np.testing.assert_allclose(ours, kept[f"student.{name}"], rtol=1e-3, atol=1e-4)
    scores = evaluate(net, splits.test, splits.mean, splits.std)
    assert scores.nll == pytest.approx(folder.result()["nll"], abs=1e-4)
    assert scores.accuracy == pytest.approx(folder.result()["accuracy"], abs=1.1 / 24)
    assert scores.ece == pytest.approx(folder.result()["ece"], abs=0.05)


def test_what_is_stored_there_is_what_the_cpu_makes_of_the_stored_weights(
    tiny_npz: Path, store: Store, tmp_path: Path
) -> None:
    run = tiny.ekd(tiny.data(tiny_npz), teachers=2)
    folder = trained_on(run, store, DEVICE, tmp_path / "there")
    splits = load(run.data, store.root)
    found = infer(loaded(folder, run), splits.test, splits.mean, splits.std)
    kept = np.load(io.BytesIO(folder.read_output("test_outputs.npz")))
    np.testing.assert_allclose(found.logits, kept["student.logits"], rtol=1e-3, atol=1e-4)
    features = found.features.half()
    np.testing.assert_allclose(features, kept["student.features"], rtol=2e-3, atol=1e-3)


def loaded(folder: RunFolder, run: Run) -> CompNet:
    weights = safetensors.torch.load(folder.read_output("weights.safetensors"))
    net = CompNet(run.student.arch, run.student.branches, CLASSES, run.student.combine)
    own = {k: w for k, w in weights.items() if k.startswith("student.")}
    net.load_state_dict({name.removeprefix("student."): w for name, w in own.items()})
    return net.eval()


def test_provenance_tells_the_arithmetic() -> None:
    told = session(DEVICE, "")["arithmetic"]
    if DEVICE.type == "cpu":
        assert told == {"instructions": torch.backends.cpu.get_cpu_capability()}
        return
    major, minor = torch.cuda.get_device_capability()
    assert told == {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "capability": f"{major}.{minor}",
        "tf32": False,
        "deterministic": True,
        "benchmark": False,
    }


@cuda_only
def test_no_step_waits_for_the_device(tiny_npz: Path, store: Store, tmp_path: Path) -> None:
    """An epoch of twelve steps waits as often as one of three: to fetch its order, no more."""
    waits = {}
    for size in (16, 4):
        run = tiny.ekd(tiny.data(tiny_npz), teachers=2, batch_size=size)
        task, state = started(run, store, DEVICE)
        train_epoch(task, state, Saver(task.folder, NEVER), 0.01)  # whatever is set up once
        state.next_epoch()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                train_epoch(task, state, Saver(task.folder, NEVER), 0.01)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits[size] = [str(w.message) for w in caught if "synchroniz" in str(w.message)]
    assert len(waits[4]) == len(waits[16]) <= 3, waits


class Squaring(nn.Module):
    """Some milliseconds of work on a device, which a processor hands over in microseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(8192))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Square a large matrix."""
        return self.matrix @ self.matrix + x.mean()


@cuda_only
def test_latency_waits_for_the_device() -> None:
    net = Squaring().to(DEVICE)
    measured = latency(net, 8, repeats=5)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.inference_mode():
        first.record()
        net(torch.zeros(1, 3, 8, 8, device=DEVICE))
        last.record()
    torch.cuda.synchronize()
    assert measured.median_ms > 0.5 * first.elapsed_time(last) > 0.5


@cuda_only
def test_products_and_convolutions_keep_all_of_float32() -> None:
    """With TF32's 10 bits, 128 numbers would add up to no better than 1 in 10,000."""
    draws = torch.Generator().manual_seed(0)
    a, b = (torch.randn(128, 128, generator=draws).to(DEVICE) for _ in range(2))
    exact = a.double() @ b.double()
    assert (a @ b - exact).abs().max() < 1e-4 * exact.abs().max() / 10
    x = torch.randn(8, 16, 32, 32, generator=draws).to(DEVICE)
    w = torch.randn(16, 16, 3, 3, generator=draws).to(DEVICE)
    exact = nn.functional.conv2d(x.double(), w.double())
    assert (nn.functional.conv2d(x, w) - exact).abs().max() < 1e-4 * exact.abs().max() / 10


@cuda_only
def test_a_device_without_memory_is_told_with_what_to_do() -> None:
    free, _ = torch.cuda.mem_get_info()
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2 * free, dtype=torch.uint8, device=DEVICE)
    assert "--workers" in failed_because(raised.value)
