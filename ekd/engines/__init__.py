"""Engines: who trains the runs of a plan."""

from ekd.engines.console import Console, counted, duration
from ekd.engines.local import Engine, all_done, forget_failures
from ekd.engines.pool import Pool
from ekd.engines.process import choose_device, prepare

__all__ = [
    "Console",
    "Engine",
    "Pool",
    "all_done",
    "choose_device",
    "counted",
    "duration",
    "forget_failures",
    "prepare",
]
