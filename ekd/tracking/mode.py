"""Where the mirror writes: to a folder, to a server, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ekd.spec.errors import SpecError, nearest

Mode = Literal["offline", "online", "disabled"]
MODES: tuple[Mode, ...] = ("offline", "online", "disabled")


def resolve_mode(flag: str | None, environment: Mapping[str, str]) -> Mode:
    """Choose the mode: the `--wandb` flag, else WANDB_MODE, else offline.

    Raises:
        SpecError: the word chosen is none of the three modes.
    """
    word = flag or environment.get("WANDB_MODE") or "offline"
    for mode in MODES:
        if word == mode:
            return mode
    source = "--wandb" if flag else "WANDB_MODE"
    raise SpecError(f"{source} is {word!r}{nearest(word, MODES)}: use offline, online or disabled.")
