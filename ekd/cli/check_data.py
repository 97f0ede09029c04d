"""`ekd-run --check-data NAME`: a data set, read and described before anything trains on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ekd.data import ImageCount, Inspection, inspect
from ekd.spec import KNOWN, Data, SpecError, nearest
from ekd.store import Store
from ekd.store.store import read_fingerprint

CLASSES = 10
"""How many classes are named."""


def show_data(name: str, root: Path, data_root: Path, json_: bool) -> None:
    """Read a data set in whole, print what it holds, and compare it with what the store saw.

    Raises SpecError for an unknown name, EnvironmentProblem where the data are missing or damaged,
    or where the runs of the store at `root` saw others under this name.
    """
    source = source_of(name)
    found = inspect(source, data_root)
    record = root / "data" / f"{source.name}.json"
    stored = read_fingerprint(record) if source.name and record.exists() else None
    if json_:
        agrees = None if stored is None else stored == found.fingerprint
        told = {**asdict(found), "stored_fingerprint": stored, "agrees": agrees}
        click.echo(json.dumps(told, indent=1))
    else:
        click.echo("\n".join(_lines(found, source, root, stored)))
    if stored is not None:
        Store(root).check_data(source.name, found.fingerprint)


def source_of(name: str) -> Data:
    """Give the known data set of that name, or what lies at that path; SpecError for neither."""
    if name in KNOWN:
        return Data.model_validate({"name": name})
    if not name or not ("/" in name or name.endswith(".npz") or Path(name).exists()):
        raise SpecError(
            f"--check-data {name!r}: there is neither a data set{nearest(name, KNOWN)} nor a file "
            f"of that name: give {', '.join(KNOWN)}, a folder of images or an .npz"
        )
    return Data.model_validate({"path": name})


def _lines(found: Inspection, source: Data, root: Path, stored: str | None) -> Iterator[str]:
    rows: dict[str, Any] = {
        "read from": found.origin,
        "fingerprint": found.fingerprint,
        "classes": _classes(found.classes),
        **{split: _images(count) for split, count in found.splits.items()},
        "pixels": _pixels(found),
        "mean": _channels(found.mean),
        "std": _channels(found.std),
    }
    if stored == found.fingerprint:
        rows["store"] = f"the runs in {root} saw the same"
    elif source.name and stored is None:
        rows["store"] = f"no run in {root} saw {source.name} yet"
    yield found.title
    for name, text in rows.items():
        yield f"  {name:11}  {text}"


def _classes(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - CLASSES} more" if len(names) > CLASSES else ""
    return f"{len(names)}: {', '.join(names[:CLASSES])}{more}"


def _images(count: ImageCount) -> str:
    least, most = count.smallest_class, count.largest_class
    each = f"{least} in each class" if least == most else f"{least} to {most} in a class"
    return f"{count.images} images, {each}"


def _pixels(found: Inspection) -> str:
    smallest, largest = (f"{height} x {width}" for height, width in found.native_sizes)
    sizes = smallest if smallest == largest else f"{smallest} to {largest}"
    side = found.resolution
    return (
        sizes
        if found.native_sizes == ((side, side),) * 2
        else f"{sizes}, resized to {side} x {side}"
    )


def _channels(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
