"""What a search found, as one self-contained HTML page."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ekd import __version__
from ekd.report.searched import words
from ekd.report.searched.model import Search
from ekd.report.searched.plots import plots
from ekd.report.wording import number, percent
from ekd.spec.places import folder


def page(search: Search) -> str:
    """Render a search with `reports/search.html.j2`; the same search gives the same bytes."""
    environment = Environment(
        loader=FileSystemLoader(folder("reports")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent}
    environment.filters |= {"value": words.value_words, "time": words.hours_words}
    template = environment.get_template("search.html.j2")
    return template.render(search=search, words=words, groups=plots(search), version=__version__)
