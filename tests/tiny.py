"""A data set, recipes and runs that train in a fraction of a second."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ekd.data import load
from ekd.methods import Objective, discover
from ekd.spec import Data, Model, Parent, Recipe, Run
from ekd.store import RunFolder, Store
from ekd.trainer import Saver, Task, begin, build, finish, train

CLASSES = 3


def write_npz(path: Path, train: int = 48, test: int = 24) -> Path:
    noise = np.random.default_rng(0)

    def split(size: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(size) % CLASSES
        images = noise.integers(0, 160, (size, 8, 8, 3))
        images[np.arange(size), :, :, labels] += 95
        return images.astype(np.uint8), labels

    (images, labels), (test_images, test_labels) = split(train), split(test)
    np.savez(
        path,
        train_images=images,
        train_labels=labels,
        test_images=test_images,
        test_labels=test_labels,
    )
    return path


def data(path: Path, **fields: Any) -> Data:
    given = {"path": str(path), "resolution": 8, "augment": "crop-flip"}
    return Data.model_validate(given | fields)


def recipe(**fields: Any) -> Recipe:
    given: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 16,
        "optimizer": "adam",
        "lr": 0.01,
        "weight_decay": 0.0005,
        "milestones": (0.5,),
        "init": "kaiming",
    }
    return Recipe.model_validate(given | fields)


def plain(source: Data, seed: int = 0, branches: int = 1, **fields: Any) -> Run:
    return Run(
        student=Model(branches=branches),
        data=source,
        method=discover()["plain"](),
        recipe=recipe(**fields),
        seed=seed,
    )


def ekd(source: Data, teachers: int = 1, seed: int = 0, **fields: Any) -> Run:
    parents = tuple(Parent(run=plain(source, 100 + i, **fields)) for i in range(teachers))
    method = discover()["ekd"]()
    changes = {"method": method, "teachers": parents, "student": Model(branches=teachers)}
    return plain(source, seed, **fields).model_copy(update=changes)


def run_of(path: Path, fields: dict[str, Any] | None = None, **recipe: Any) -> Run:
    """A plain run on the .npz at `path`, with other fields of data and recipe."""
    return plain(data(path, **(fields or {})), **recipe)


def task(run: Run, store: Store) -> Task:
    return Task(run, load(run.data, store.root), store.folder(run))


def epochs(run: Run, store: Store, between: float = 1e9) -> Iterator[dict[str, Any]]:
    """Train with fresh objects from what the folder keeps, and write the outputs at the end.

    `between`: seconds between two checkpoints; 0 keeps every step.
    """
    started = task(run, store)
    started.folder.write_spec(run.resolved())
    state, _ = begin(started, build(run, CLASSES, store))
    yield from train(started, state, Saver(started.folder, between, ratio=0))
    finish(started, state)


def driven(run: Run, store: Store, objective: Objective) -> tuple[Task, list[dict[str, Any]]]:
    """Train an objective of the test's own to the end; give the history's lines."""
    started = task(run, store)
    started.folder.write_spec(run.resolved())
    state, _ = begin(started, objective)
    return started, list(train(started, state, Saver(started.folder)))


def trained(run: Run, store: Store) -> RunFolder:
    """Train a run, and before it the runs that it learns from; give its folder."""
    for parent in run.parents():
        trained(parent.run, store)
    if store.folder(run).status() != "done":
        list(epochs(run, store))
    return store.folder(run)


def content(folder: RunFolder) -> dict[str, Any]:
    """What must be equal, bit by bit, however often a training was stopped."""
    names = ("weights.safetensors", "test_outputs.npz")
    hashes = {n: hashlib.sha256((folder.path / n).read_bytes()).hexdigest() for n in names}
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in folder.history()]
    return hashes | {"history": lines}


SPEC = """
title = "Tiny"
kind = "table"
[run]
student.arch = "resnet8"
data = {{ path = "{path}", resolution = 8, augment = "crop-flip" }}
recipe = {{ epochs = {epochs}, batch_size = 16, lr = 0.01, init = "kaiming" }}
[[rows]]
label = "1"
set = {{ teachers = "resnet8" }}
[[columns]]
label = "plain"
set = {{ method.name = "plain" }}
[[columns]]
label = "ekd"
set = {{ method.name = "ekd" }}
"""
"""Two runs: the plain one is also the teacher of the other."""


def write_spec(folder: Path, source: Path, epochs: int = 2) -> Path:
    path = folder / "tiny.toml"
    path.write_text(SPEC.format(path=source, epochs=epochs))
    return path


def two_runs(root: Path) -> dict[str, RunFolder]:
    """The folders of a store by method, from their spec.json."""
    folders = [RunFolder(root, path.parent.name) for path in root.glob("*/spec.json")]
    return {json.loads((f.path / "spec.json").read_text())["method"]["name"]: f for f in folders}
