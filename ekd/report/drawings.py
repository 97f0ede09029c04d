"""How an exhibit is drawn above its table, by its kind; a table needs no drawing."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from ekd.report.model import Section
from ekd.spec.exhibit import Exhibit

Draw = Callable[[Section], Markup]
"""Gives a section's picture as inline SVG, which is put on the page as it is."""

DRAWINGS: dict[type[Exhibit], Draw] = {}
"""A kind of exhibit that is not here is shown as its table alone."""


def drawing(section: Section) -> Markup | None:
    """Draw a section, or give None where its table says it all."""
    draw = DRAWINGS.get(type(section.sheet.grid.exhibit))
    return draw(section) if draw else None
