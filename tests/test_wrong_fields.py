"""Wrong fields: every one of a spec, of Data, Model and Recipe, and of each method there is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args, get_origin

import annotated_types as limits
import pytest
from clumsy import Command, check, command, sentence
from pydantic.fields import FieldInfo
from spec_mistakes import ALL, Wrong
from wrong_specs import TABLE

from ekd.methods import discover
from ekd.spec import Data, Frozen, Model, Recipe

__all__ = ["command"]


@pytest.mark.parametrize(("base", "wrong"), ALL, ids=lambda value: repr(value)[:60])
def test_a_wrong_spec(command: Command, base: str, wrong: Wrong) -> None:
    old, new, where, help_given = wrong
    assert base.count(old) == 1, "the spec under test has changed"
    Path("my.toml").write_text(base.replace(old, new), encoding="utf-8")
    said = sentence(command("ekd-run", "my.toml", "--plan"), 2)
    separator = ", " if where.startswith("line") else ": "
    assert said.startswith(f"Error: {Path('my.toml').resolve()}{separator}{where}: ")
    assert help_given in said
    assert sorted(Path().rglob("*")) == [Path("my.toml")]


@pytest.mark.parametrize("scale", ["smoke", "reduced"])
@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("branches = 3", 'branches = "3"', "student.branches: input should be a whole number"),
        ("branches = 3", "branches = true", "student.branches: input should be a whole number"),
        ("branches = 3", "branches = 0", "student.branches: input should be greater"),
        ('"resnet8"', '"resnet\u00b2"', "[run]: student.arch: unknown architecture"),
        ('"resnet8"', f'"resnet{"9" * 5000}"', "[run]: student.arch: unknown architecture"),
        ('"resnet8"', "3", "[run]: student.arch: input should be a string"),
        ('"T1-T3"', '"T9"', "[[rows]] 2: teachers: 'T9'"),
    ],
)
def test_a_scale_hides_no_wrong_value(
    command: Command, scale: str, old: str, new: str, text: str
) -> None:
    Path("my.toml").write_text(TABLE.replace(old, new), encoding="utf-8")
    check(command, 2, text, "ekd-run", "my.toml", "--scale", scale, "--plan")


# Every field there is, whatever is added


def sections() -> dict[str, tuple[type[Frozen], str]]:
    """Give each model with its section and how its method is chosen."""
    own = {"student": (Model, ""), "data": (Data, ""), "recipe": (Recipe, "")}
    methods = {f"method {n}": (m, f'method.name = "{n}"\n') for n, m in discover().items()}
    return {**own, **methods}


FIELDS = [
    (title.split()[0], field, info, chosen)
    for title, (model, chosen) in sections().items()
    for field, info in model.model_fields.items()
]


def bounds(info: FieldInfo) -> list[str]:
    """Give values just outside what the field allows, as TOML."""
    found = []
    for limit in info.metadata:
        match limit:
            case limits.Ge(ge=edge):
                found.append(f"{edge - 1}")
            case limits.Gt(gt=edge):
                found.append(f"{edge}")
            case limits.Le(le=edge):
                found.append(f"{edge + 1}")
            case limits.Lt(lt=edge):
                found.append(f"{edge}")
    if get_origin(info.annotation) is Literal:
        found.append(f'"{get_args(info.annotation)[0]}x"')
    if info.annotation is float:
        found += ["inf", "nan"]
    return found


def with_field(section: str, field: str, value: str, chosen: str) -> str:
    own = {"data.name": "", "data.path": "", "data.fingerprint": 'data.path = "x"\n'}
    data = own.get(f"{section}.{field}", 'data.name = "digits"\n')
    return f"""title = "Mine"
kind = "table"
rows = [{{ label = "a" }}]
columns = [{{ label = "b" }}]
[run]
{data}{chosen}{section}.{field} = {value}
"""


@pytest.mark.parametrize(
    ("section", "field", "info", "chosen"), FIELDS, ids=[f"{f[0]}.{f[1]}" for f in FIELDS]
)
def test_every_field_refuses_what_it_cannot_be(
    command: Command, section: str, field: str, info: FieldInfo, chosen: str
) -> None:
    numeric = info.annotation in (int, float)
    assert not numeric or any(value not in ("inf", "nan") for value in bounds(info)), (
        f"{section}.{field} is a number without a limit: Field(ge=..., le=...)"
    )
    for value in ("{ a = 1 }", "[[1]]", *(['"x"'] if numeric else []), *bounds(info)):
        text = with_field(section, field, value, chosen)
        Path("my.toml").write_text(text, encoding="utf-8")
        said = sentence(command("ekd-run", "my.toml", "--plan"), 2)
        line = len(text.splitlines())
        assert f"my.toml, line {line}: " in said, value
        assert f"{section}.{field}" in said or f"`{field}`" in said, value
    Path("my.toml").write_text(with_field(section, f"{field}x", "1", chosen), encoding="utf-8")
    said = sentence(command("ekd-run", "my.toml", "--plan"), 2)
    assert f"{section}.{field}x: unknown field '{field}x' (did you mean '{field}'?)" in said
    assert sorted(Path().rglob("*")) == [Path("my.toml")]
