"""The explanation of a run as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ekd.engines import counted
from ekd.plan.why import NUMERICS

ASKERS = 4
"""How many of those who ask for a run are named."""


def why_text(told: dict[str, Any]) -> str:
    """Lay out what `ekd.cli.explain.explanation` gives."""
    lines = [f"{told['key']}  {told['name']}", f"  {told['reason']}"]
    if told["hit"]:
        accuracy = told["accuracy"]  # None after a hint run
        score = "trained" if accuracy is None else f"accuracy {100 * accuracy:.2f} %"
        lines.append(f"  {score} after {told['epochs']} epochs")
    elif told["state"] in ("running", "partial"):
        lines.append(f"  epochs done: {told['epochs']}")
    if told["failure"]:
        lines.append(f"  the whole story: {told['failure']['file']}")
    if told["state"] == "missing":
        lines += _nearest(told["nearest"]) if told["nearest"] else ["  nor any other run"]
    lines += ["", *_askers(told["asked_by"])]
    for session in told["sessions"]:
        lines += ["", *_session(session)]
    return "\n".join(lines)


def _nearest(near: dict[str, Any]) -> Iterator[str]:
    yield f"  the nearest that it holds: {near['key']} ({near['state']}), {near['name']}"
    first, *rest = near["differences"]
    yield f"  the first difference: {_difference(first)}"
    if _is_numerics(first) and near["sessions"]:
        yield f"  the stored one was trained with {_code(near['sessions'][-1])}"
    if rest:
        yield f"  {len(rest)} more {'differs' if len(rest) == 1 else 'differ'}:"
        yield from (f"    {_difference(one)}" for one in rest)


def _is_numerics(difference: dict[str, Any]) -> bool:
    return str(difference["field"]).rpartition(" ")[2] == NUMERICS


def _difference(difference: dict[str, Any]) -> str:
    also = ", ".join(difference["also_in"])
    if _is_numerics(difference):
        values = ": no field differs, but `numerics` was bumped as the code gives other numbers"
    else:
        here, there = (_value(difference[side]) for side in ("here", "there"))
        values = f" {here} here, {there} there"
    hint = " (the images have changed)" if difference["field"].endswith("data.fingerprint") else ""
    return f"{difference['field']}{values}{hint}" + (f" (and so in {also})" if also else "")


def _value(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _askers(names: list[str]) -> Iterator[str]:
    if not names:
        yield "  no request in this store asks for it (its spec may be gone)"
        return
    for name in names[:ASKERS]:
        yield f"  for {name}"
    if len(names) > ASKERS:
        yield f"  and for {len(names) - ASKERS} more"


def _session(session: dict[str, Any]) -> Iterator[str]:
    start, stop = (str(session[end] or "")[:19].replace("T", " ") for end in ("start", "stop"))
    yield f"  trained from {start} UTC " + (
        f"to {stop}" if stop else "on; it was stopped, or is at it"
    )
    yield f"    by    {session['command']}"
    yield (
        f"    on    {session['host']}, {session['device']}, "
        f"{counted(session['threads'], 'thread')}, {session['system']}"
    )
    yield f"    with  {_code(session)}"
    yield f"    data  {session['data_fingerprint']}"


def _code(session: dict[str, Any]) -> str:
    versions = {**session["versions"]}
    revision = session["revision"]
    at = ""
    if revision:
        changed = f", changed ({revision['dirty']})" if revision["dirty"] else ""
        at = f" at {revision['commit'][:12]}{changed}"
    first = f"ekd {versions.pop('ekd')}{at}"
    return ", ".join([first, *(f"{name} {version}" for name, version in versions.items())])
