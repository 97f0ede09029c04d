"""The modes of `ekd-run` that train nothing, and what may stand beside each of them."""

from __future__ import annotations

from collections.abc import Collection

import click
from click.core import ParameterSource

EVERYTHING = None

BESIDE: dict[str, frozenset[str] | None] = {
    "list_": frozenset({"json_"}),
    "describe": frozenset({"json_"}),
    "verify": frozenset({"root", "json_"}),
    "check_data": frozenset({"root", "data_root", "json_"}),
    "plan": EVERYTHING,
    "why": EVERYTHING,
}
"""Modes by parameter, and the parameters that say something to each."""

WITHOUT_EXHIBITS = frozenset({"root", "data_root", "json_"})
"""What --why looks at where it is asked about the whole store."""


def chosen_mode(context: click.Context) -> str | None:
    """Give the mode that the command line names, or None where it is to train.

    Raises UsageError where it names two, or something that the mode would not heed.
    """
    given = {
        str(parameter.name): parameter
        for parameter in context.command.params
        if context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    }
    modes = [name for name in given if name in BESIDE]
    if len(modes) > 1:
        first, second = (_shown(given[name]) for name in modes[:2])
        raise click.UsageError(f"{first} and {second} do not go together: give one of them")
    if not modes:
        return None
    mode = modes[0]
    allowed = BESIDE[mode]
    if mode == "why" and "exhibits" not in given:
        allowed = WITHOUT_EXHIBITS
    if allowed is not EVERYTHING:
        _refuse_others(context.command, given, mode, allowed)
    return mode


def _refuse_others(
    command: click.Command, given: dict[str, click.Parameter], mode: str, allowed: Collection[str]
) -> None:
    unheeded = next((given[name] for name in given if name not in {mode, *allowed}), None)
    if unheeded is None:
        return
    beside = [_shown(parameter) for parameter in command.params if parameter.name in allowed]
    takes = " and ".join(filter(None, [", ".join(beside[:-1]), beside[-1]]))
    name, without, remedy = _shown(given[mode]), "", ""
    if mode == "why":
        without, remedy = " without exhibits", ", or name the exhibits that it is about"
    raise click.UsageError(
        f"{name}{without} takes only {takes}: leave {_shown(unheeded)} out{remedy}"
    )


def _shown(parameter: click.Parameter) -> str:
    return "the exhibits" if isinstance(parameter, click.Argument) else parameter.opts[0]
