"""A spec that is right, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekd.plan import sheets
from ekd.spec import SpecError
from ekd.store import Request

TABLE = """title = "Mine"
kind = "table"
compare = ["one"]

[run]
student.arch = "resnet8"
data.name = "digits"
recipe.name = "paper"

[[rows]]
label = "one"
set = { student.branches = 1, teachers = "T1" }
[[rows]]
label = "three"
set = { student.branches = 3, teachers = "T1-T3" }

[[columns]]
label = "plain"
set = { method.name = "plain" }
[[columns]]
label = "ekd"
set = { method.name = "ekd" }

[paper]
one = [87.5, 89.6]
"""
CURVES = """title = "Curves"
kind = "curves"

[run]
data.name = "digits"

[x]
field = "data.fraction"
values = [0.1, 1.0]

[[panels]]
label = "digits"
[[panels]]
label = "again"
set = { student.arch = "resnet14" }

[[lines]]
label = "plain"
"""
PANELS = """title = "Panels"
kind = "panels"
[run]
data.name = "digits"
[[rows]]
label = "r"
[[columns]]
label = "c"
"""


def error_of(folder: Path, text: str, scale: str = "paper", **options: tuple[str, ...]) -> str:
    spec = folder / "my.toml"
    spec.write_text(text, encoding="utf-8")
    request = Request(exhibits=(str(spec),), scale=scale, **options)
    with pytest.raises(SpecError) as caught:
        sheets(request, folder)
    assert caught.value.exit_code == 2
    return one_sentence(str(caught.value)).replace(str(spec), "my.toml")


def one_sentence(said: str) -> str:
    assert "\n" not in said
    assert not said.endswith(".")
    assert ". " not in said.replace("... ", "")
    assert len(said) < 500
    return said
