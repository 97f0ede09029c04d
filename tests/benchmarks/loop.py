"""How much the training loop adds to forward, backward and optimiser, and how fast those are.

    python tests/benchmarks/loop.py [BRANCHES] [DEVICE] [ROUNDS]

Prints the median step of the bare arithmetic on one ready batch, of the loop with everything that
it does besides (data, augmentation, counting), the difference, and the share of this machine's
measured matrix-multiplication speed that the arithmetic reaches; where DEVICE is named, as one JSON
object. Run it on an idle machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ekd.cost import network_cost
from ekd.data import Split, Splits
from ekd.engines import prepare
from ekd.methods import Batch, discover
from ekd.spec.resolve import resolve
from ekd.store import RunFolder, Store
from ekd.streams import generator
from ekd.trainer import Saver, Task, begin, build
from ekd.trainer.loop import train_epoch

IMAGES, SIDE, CLASSES, BATCH, ROUNDS = 1280, 32, 10, 128, 15


def main() -> None:
    prepare()
    branches = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else ROUNDS
    device = torch.device(sys.argv[2] if len(sys.argv) > 2 else "cpu")
    found = measured(branches, device, rounds)
    if len(sys.argv) > 2:
        print(json.dumps(found))
        return
    added = 100 * (found["loop_ms"] / found["arithmetic_ms"] - 1)
    share = 100 * found["gmacs_per_second"] / found["matrix_gmacs_per_second"]
    print(f"threads           {torch.get_num_threads()}")
    print(f"arithmetic        {found['arithmetic_ms']:.1f} ms a step")
    print(f"training loop     {found['loop_ms']:.1f} ms a step: {added:+.1f} %")
    print(f"speed             {found['gmacs_per_second']:.1f} GMAC/s")
    print(
        f"matrix product    {found['matrix_gmacs_per_second']:.1f} GMAC/s, of which that is "
        f"{share:.0f} %"
    )


def measured(branches: int, device: torch.device, rounds: int) -> dict[str, float]:
    """Give milliseconds a step and 10^9 multiply-accumulates a second."""
    values = {"data": {"name": "cifar10"}, "student": {"branches": branches}}
    run = resolve(values, 0, discover())
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder)).open()
        task = Task(run, made_up(device), RunFolder(store.root, run.key))
        state, _ = begin(task, build(run, CLASSES, store).to(device))
        state.objective.train()
        loops = []
        bare = []
        for _ in range(rounds):  # in turns, so that a change of clock speed meets both
            bare.append(timed(lambda: arithmetic(state, ready_batch(task)), device))
            loops.append(timed(lambda: one_epoch(task, state), device))
    steps = IMAGES // BATCH
    arithmetic_ms = 1000 * statistics.median(bare) / steps
    macs = 3 * BATCH * network_cost("resnet8", branches, CLASSES, SIDE).macs
    return {
        "branches": branches,
        "arithmetic_ms": arithmetic_ms,
        "loop_ms": 1000 * statistics.median(loops) / steps,
        "gmacs_per_second": macs / arithmetic_ms / 1e6,
        "matrix_gmacs_per_second": matmul_macs_per_second(device) / 1e9,
    }


def made_up(device: torch.device) -> Splits:
    noise = generator(0, "benchmark")
    images = torch.randint(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=torch.uint8, generator=noise)
    labels = torch.randint(0, CLASSES, (IMAGES,), generator=noise)
    split = Split(images.to(device), labels.to(device), torch.arange(IMAGES, device=device))
    half = torch.full((3,), 0.5, device=device)
    return Splits(split, None, split, tuple("abcdefghij"), half, half, "")


def ready_batch(task: Task) -> Batch:
    labels = task.splits.train.labels[:BATCH]
    images = torch.randn(BATCH, SIDE, SIDE, 3, generator=generator(0, "ready")).to(labels.device)
    index = task.splits.train.index[:BATCH]
    return Batch(images.permute(0, 3, 1, 2), labels, index, 0, generator(0, "noise"))


def arithmetic(state, batch: Batch) -> None:
    for _ in range(IMAGES // BATCH):
        loss = state.objective(batch, 0.0).loss
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()


def one_epoch(task: Task, state) -> None:
    train_epoch(task, state, Saver(task.folder), 0.01)
    state.next_epoch()


def timed(work: Callable[[], object], device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def matmul_macs_per_second(device: torch.device) -> float:
    size = 2048 if device.type == "cpu" else 8192
    a = torch.randn(size, size, device=device)
    a @ a
    return max(size**3 / timed(lambda: a @ a, device) for _ in range(5))


if __name__ == "__main__":
    main()
