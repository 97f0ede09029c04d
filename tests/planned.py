"""Runs and requests as tests of the plan write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ekd.plan import derive
from ekd.spec import Run
from ekd.spec.fields import assignment, merged, nested
from ekd.store import Request

NOWHERE = Path("no-such-data-root")
PAIR = str(Path(__file__).with_name("pair.toml"))
TAUGHT = ("data.name=cifar10", "method.name=ekd", "student.branches=2", "teachers=T1-T2")


def derived(*texts: str, seed: int = 0) -> Run:
    return derive(merged(*(nested(*assignment(text)) for text in texts)), seed, NOWHERE)


def asked(*names: str, **changes: Any) -> Request:
    return Request(**{"exhibits": names, "scale": "paper", "seeds": (0,), **changes})


def npz(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.full((4, 8, 8, 3), shade, np.uint8)
    labels = np.array([0, 1, 0, 1])
    np.savez(path, train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    return path
