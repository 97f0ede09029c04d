"""Mirrors each run's own log to W&B, from a separate process that no run ever waits for."""

from ekd.tracking.client import About, Mirror
from ekd.tracking.mode import Mode, resolve_mode

__all__ = ["About", "Mirror", "Mode", "resolve_mode"]
