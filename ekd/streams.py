"""Separate random streams, each a function of the run's seed and of names and counters.

A stream is made where it is needed and never carried along, so a resumed run draws what it would
have drawn, and a method that draws more never shifts another stream.
"""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """Hash `seed` and `names` to an integer in [0, 2**63)."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Make the CPU generator of the stream `names` of the run with this `seed`."""
    return torch.Generator().manual_seed(stream_seed(seed, *names))
