"""How much the training loop adds to forward, backward and optimiser, and how fast those are.

    python tests/benchmarks/loop.py [BRANCHES]

Prints the median step of the bare arithmetic on one ready batch, of the loop with everything that
it does besides (data, augmentation, counting), the difference, and the share of this machine's
measured matrix-multiplication speed that the arithmetic reaches. Run it on an idle machine.
"""

from __future__ import annotations

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
    values = {"data": {"name": "cifar10"}, "student": {"branches": branches}}
    run = resolve(values, 0, discover())
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder)).open()
        task = Task(run, made_up(), RunFolder(store.root, run.key))
        state, _ = begin(task, build(run, CLASSES, store))
        state.objective.train()
        loops = []
        bare = []
        for _ in range(ROUNDS):  # in turns, so that a change of clock speed meets both
            bare.append(timed(lambda: arithmetic(state, ready_batch(task))))
            loops.append(timed(lambda: one_epoch(task, state)))
    steps = IMAGES // BATCH
    arithmetic_ms = 1000 * statistics.median(bare) / steps
    loop_ms = 1000 * statistics.median(loops) / steps
    macs = 3 * BATCH * network_cost("resnet8", branches, CLASSES, SIDE).macs
    speed, limit = macs / arithmetic_ms * 1e3, matmul_macs_per_second()
    added = 100 * (loop_ms / arithmetic_ms - 1)
    print(f"threads           {torch.get_num_threads()}")
    print(f"arithmetic        {arithmetic_ms:.1f} ms a step")
    print(f"training loop     {loop_ms:.1f} ms a step: {added:+.1f} %")
    print(f"speed             {speed / 1e9:.1f} GMAC/s")
    print(
        f"matrix product    {limit / 1e9:.1f} GMAC/s, of which that is {100 * speed / limit:.0f} %"
    )


def made_up() -> Splits:
    noise = generator(0, "benchmark")
    images = torch.randint(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=torch.uint8, generator=noise)
    labels = torch.randint(0, CLASSES, (IMAGES,), generator=noise)
    split = Split(images, labels, torch.arange(IMAGES))
    half = torch.full((3,), 0.5)
    return Splits(split, None, split, tuple("abcdefghij"), half, half, "")


def ready_batch(task: Task) -> Batch:
    images = torch.randn(BATCH, SIDE, SIDE, 3, generator=generator(0, "ready")).permute(0, 3, 1, 2)
    labels = task.splits.train.labels[:BATCH]
    return Batch(images, labels, torch.arange(BATCH), 0, generator(0, "noise"))


def arithmetic(state, batch: Batch) -> None:
    for _ in range(IMAGES // BATCH):
        loss = state.objective(batch, 0.0).loss
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()


def one_epoch(task: Task, state) -> None:
    train_epoch(task, state, Saver(task.folder), 0.01)
    state.next_epoch()


def timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def matmul_macs_per_second(size: int = 2048) -> float:
    a = torch.randn(size, size)
    a @ a
    return max(size**3 / timed(lambda: a @ a) for _ in range(5))


if __name__ == "__main__":
    main()
