"""What a user can be told: each error is one sentence with what to do, and an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EkdError(Exception):
    """An error meant for the user; `exit_code` is what the command ends with."""

    exit_code = 1


class SpecError(EkdError):
    """A wrong spec, field, name or option: nothing was touched yet."""

    exit_code = 2


class EnvironmentProblem(EkdError):
    """Missing or damaged data, a full disk, a store that cannot be written."""

    exit_code = 4


def nearest(word: str, options: Iterable[str]) -> str:
    """Give " (did you mean 'x'?)" for the option nearest to `word`, or "" where none is near."""
    close = difflib.get_close_matches(word.lower(), list(options), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
