"""What `ekd-run --list` and `--describe` show."""

from __future__ import annotations

import json
from typing import Any

import click

from ekd.spec import KNOWN
from ekd.spec.load import exhibit_names, exhibit_path, load_exhibit, recipes, scales
from ekd.spec.resolve import PAPER_TEACHERS


def show_listing(json_: bool) -> None:
    """Print what specs can name, as text or as one JSON object."""
    found = listing()
    click.echo(json.dumps(found, indent=1) if json_ else listing_text(found))


def show_description(name: str, json_: bool) -> None:
    """Print the fields of one part of a spec, as text or as one JSON object."""
    told = description(name)
    click.echo(json.dumps(told, indent=1) if json_ else description_text(told))


def listing() -> dict[str, dict[str, str]]:
    """Name the exhibits, scales, data sets, recipes and teachers that there are."""
    return {
        "exhibits": {name: load_exhibit(exhibit_path(name)).title for name in exhibit_names()},
        "scales": {name: scale.description for name, scale in scales().items()},
        "data": {name: f"{known.title}, {known.classes} classes" for name, known in KNOWN.items()},
        "recipes": {
            name: ", ".join(f"{field} = {json.dumps(value)}" for field, value in fields.items())
            for name, fields in recipes().items()
        },
        "teachers": {f"T{number}": arch for number, arch in enumerate(PAPER_TEACHERS, 1)},
    }


def listing_text(found: dict[str, dict[str, str]]) -> str:
    """Lay the listing out as text."""
    parts = [
        [part, *(f"  {name:14} {text}" for name, text in entries.items())]
        for part, entries in found.items()
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def description(name: str) -> dict[str, Any]:
    """Explain every field of a method, or of recipe, data or student; SpecError for others."""
    from ekd.methods import discover
    from ekd.spec import Data, Frozen, Model, Recipe, SpecError, nearest

    sections: dict[str, type[Frozen]] = {"recipe": Recipe, "data": Data, "student": Model}
    names = (*sections, *discover())
    if name not in names:
        raise SpecError(
            f"nothing to describe by the name {name!r}{nearest(name, names)}; there "
            f"are {', '.join(names)}"
        )
    part = sections.get(name) or discover()[name]
    fields = {
        field: {"text": " ".join((info.description or "").split())}
        | ({} if info.is_required() else {"default": info.default})
        for field, info in part.model_fields.items()
    }
    readings = {key: dict(value) for key, value in getattr(part, "readings", {}).items()}
    return {"name": name, "about": part.__doc__, "fields": fields, "readings": readings}


def description_text(found: dict[str, Any]) -> str:
    """Lay a description out as text."""
    lines = [f"{found['name']}: {found['about']}"]
    for field, told in found["fields"].items():
        default = f" = {json.dumps(told['default'])}" if "default" in told else ""
        lines += ["", f"{field}{default}", f"    {told['text']}"]
    lines += [f"\nreadings.name = {json.dumps(k)}: {v}" for k, v in found["readings"].items()]
    return "\n".join(lines)
