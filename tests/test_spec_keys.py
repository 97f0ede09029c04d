"""The key of a run: pinned, free of what changes no number, and different for all that does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from planned import derived
from pydantic import ValidationError

from ekd.methods import discover
from ekd.plan import sheets
from ekd.spec import Data, MethodFields, Model, Parent, Recipe, Run, depth_of, values
from ekd.spec.values import Frozen, added_later
from ekd.store import Request

CHANGED = "a key changed: finished runs would be lost; undo it, or bump NUMERICS on purpose"
RECIPE = Recipe(epochs=5, batch_size=8, optimizer="adam", lr=0.01, weight_decay=5e-4)
OTHER = {
    "arch": "resnet14",
    "name": "cifar100",
    "fingerprint": "fedcba9876543210",
    "combine": "mean",
    "milestones": (0.25,),
}


def run(**changes: Any) -> Run:
    method = discover()["ekd"]()
    parts = {"student": Model(branches=2), "data": Data(name="cifar10"), "method": method}
    return Run(**{**parts, "recipe": RECIPE, "seed": 3, **changes})


def teacher(**changes: Any) -> Run:
    return run(student=Model(arch="resnet14"), method=discover()["plain"](), **changes)


@pytest.mark.parametrize(
    ("fields", "key", "group"),
    [
        (("data.name=cifar10",), "e99475594b9f7a5f", "b46ac0cb64d6bdb5"),
        (
            ("data.name=cifar10", "method.name=ekd", "student.branches=3", "teachers=T1-T3"),
            "99176bde2cff65dd",
            "d5976dfdad743234",
        ),
        (
            (
                "data.name=cifar100",
                "data.fraction=0.1",
                "method.name=ekd",
                "student.branches=7",
                "teachers=T1-T7",
            ),
            "084f13db34a3bcd4",
            "800f3291d42b26aa",
        ),
    ],
)
def test_known_keys_stay(fields: tuple[str, ...], key: str, group: str) -> None:
    found = derived(*fields)
    assert (found.key, found.group) == (key, group), CHANGED


def test_the_key_of_custom_data_stays() -> None:
    plain = derived("data.name=cifar10")
    data = Data(path="/a", fingerprint="0123456789abcdef")
    custom = Run(student=plain.student, data=data, method=plain.method, recipe=plain.recipe, seed=0)
    assert custom.key == "6deb7c92436b4137", CHANGED


def test_the_key_is_16_hex_digits_and_the_resolved_run_is_json() -> None:
    found = derived("data.name=cifar10", "method.name=ekd", "teachers=T1")
    assert len(found.key) == 16
    assert int(found.key, 16) >= 0
    resolved = json.loads(json.dumps(found.resolved()))
    assert list(resolved) == ["student", "data", "method", "recipe", "seed", "teachers", "start"]
    assert resolved["method"]["name"] == "ekd"
    assert resolved["teachers"] == [{"run": found.teachers[0].run.key, "net": "student"}]


def test_where_custom_data_lie_is_not_in_the_key() -> None:
    here = run(data=Data(path="/a/b.npz", fingerprint="0" * 16))
    there = run(data=Data(path="/elsewhere", fingerprint="0" * 16))
    assert here.key == there.key


def test_the_name_of_a_recipe_or_of_readings_is_not_in_the_key() -> None:
    plain = derived("data.name=cifar10")
    assert derived("data.name=cifar10", "recipe.name=paper").key == plain.key
    taught = ("data.name=cifar10", "method.name=ekd", "teachers=T1")
    spelled = derived(*taught, "method.kl_reduction=batchmean", "method.mse_reduction=mean")
    assert derived(*taught, "readings.name=eq8").key == spelled.key
    assert derived(*taught, "readings.name=torch2019").key == derived(*taught).key


@pytest.mark.parametrize(
    "restated",
    [
        "recipe.epochs=500",
        "recipe.lr=1e-2",
        "recipe.name=paper",
        "student.combine=sum",
        "data.fraction=1",
        "data.holdout=0",
        "data.resolution=32",
        "data.teacher_data=full",
        "method.temperature=10",
        "method.temperature=10.0",
        "method.teacher_update=joint",
    ],
)
def test_an_override_that_restates_a_default_changes_no_key(restated: str) -> None:
    asked = Request(exhibits=("table1",), scale="paper", seeds=(0,))
    restating = asked.model_copy(update={"overrides": (restated,)})
    (before,), (after,) = sheets(asked, Path()), sheets(restating, Path())
    assert {p: [r.key for r in runs] for p, runs in after.runs.items()} == {
        p: [r.key for r in runs] for p, runs in before.runs.items()
    }


def test_labels_and_titles_change_no_key(tmp_path: Path) -> None:
    text = (
        'title = "A"\nkind = "table"\n[run]\ndata.name = "digits"\n'
        '[[rows]]\nlabel = "one"\n[[columns]]\nlabel = "two"\n'
    )
    found = []
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(text)
        request = Request(exhibits=(str(tmp_path / name),), scale="paper")
        found.append(sheets(request, tmp_path)[0].runs[0, 0][0].key)
        text = text.replace('"A"', '"B"').replace('"one"', '"1"').replace('"two"', '"2"')
    assert found[0] == found[1]


def other(field: str, annotation: Any, value: Any) -> Any:
    """Give another valid value of a field."""
    if field in OTHER:
        return OTHER[field]
    if options := [option for option in get_args(annotation) if isinstance(option, str)]:
        return next(option for option in options if option != value)
    if isinstance(value, str):
        return "resnet32"  # a method's string is an architecture
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value / 2 + 0.01


def fields_to_change() -> list[tuple[str, Frozen, str]]:
    known, custom = Data(name="cifar10"), Data(path="/a", fingerprint="0" * 16)
    sections: list[tuple[str, Frozen]] = [("student", Model(branches=2)), ("recipe", RECIPE)]
    sections += [("method", method()) for method in discover().values()]
    cases = [
        (name, section, field) for name, section in sections for field in type(section).model_fields
    ]
    for field in Data.model_fields:
        cases.append(("data", custom if field == "fingerprint" else known, field))
    return [case for case in cases if case[2] != "path"]


@pytest.mark.parametrize(
    ("section", "before", "field"), fields_to_change(), ids=lambda value: str(value)[:30]
)
def test_every_field_that_can_change_a_number_changes_the_key(
    section: str, before: Frozen, field: str
) -> None:
    annotation = type(before).model_fields[field].annotation
    changed = other(field, annotation, getattr(before, field))
    after = type(before).model_validate(before.model_dump() | {field: changed})
    assert getattr(after, field) != getattr(before, field)
    assert run(**{section: after}).key != run(**{section: before}).key


def test_seed_teachers_their_order_and_start_change_the_key() -> None:
    first, second = Parent(run=teacher()), Parent(run=teacher(data=Data(name="digits")))
    runs = [
        run(),
        run(seed=4),
        run(teachers=(first,)),
        run(teachers=(first, second)),
        run(teachers=(second, first)),
        run(start=first),
        run(teachers=(Parent(run=teacher(), net="teacher-1"),)),
        run(method=discover()["plain"]()),
    ]
    assert len({found.key for found in runs}) == len(runs)


def test_a_teacher_passes_its_change_on_to_the_key() -> None:
    longer = RECIPE.model_copy(update={"epochs": 6})
    keys = [run(teachers=(Parent(run=teacher(recipe=r)),)).key for r in (RECIPE, longer)]
    assert keys[0] != keys[1]


def test_the_numerics_integer_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run().key
    monkeypatch.setattr(values, "NUMERICS", values.NUMERICS + 1)
    assert run().key != before


def test_runs_that_differ_only_in_seeds_share_a_group() -> None:
    taught = ("data.name=cifar10", "method.name=ekd", "student.branches=2", "teachers=T1-T2")
    runs = [derived(*taught, seed=seed) for seed in range(3)]
    assert len({found.key for found in runs}) == 3
    assert len({found.group for found in runs}) == 1
    assert derived(*taught, "recipe.epochs=3").group != runs[0].group


def test_a_whole_number_and_its_float_give_one_key() -> None:
    keys = {
        run(method=discover()["ekd"].model_validate({"temperature": value})).key
        for value in (10, 10.0)
    }
    assert len(keys) == 1


class Before(MethodFields):
    weight: float = 1.0


class After(MethodFields):
    weight: float = 1.0
    margin: float = added_later(0.0, ge=0)


def test_a_field_added_later_is_left_out_at_its_neutral_value() -> None:
    assert run(method=After()).key == run(method=Before()).key
    assert run(method=After(margin=0.0)).key == run(method=Before()).key
    assert run(method=After(margin=0.1)).key != run(method=Before()).key
    with pytest.raises(ValidationError):
        After(margin=-1.0)
    assert run(method=After()).resolved()["method"]["margin"] == 0.0


def test_a_run_cannot_be_changed_and_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        run().seed = 4
    with pytest.raises(ValidationError):
        run(sede=1)
    with pytest.raises(ValidationError):
        run(seed=True)


@pytest.mark.parametrize("arch", ["resnet8", "resnet14", "resnet110"])
def test_the_depth_is_read_from_the_name(arch: str) -> None:
    assert depth_of(Model(arch=arch).arch) == int(arch[6:])


@pytest.mark.parametrize(
    "arch", ["resnet2", "resnet9", "resnet08", "ResNet8", "resnet", "vgg8", ""]
)
def test_an_architecture_is_a_cifar_resnet(arch: str) -> None:
    with pytest.raises(ValidationError, match="unknown architecture"):
        Model(arch=arch)


def test_a_copy_with_other_values_has_its_own_key() -> None:
    before = run()
    keys = (before.key, before.group)
    after = before.model_copy(update={"recipe": RECIPE.model_copy(update={"epochs": 6})})
    assert after.key not in keys
    assert after.group not in keys


def test_a_methods_own_numerics_change_only_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run().key, run(method=discover()["plain"]()).key
    monkeypatch.setattr(discover()["ekd"], "numerics", 2)
    assert run().key != before[0]
    assert run(method=discover()["plain"]()).key == before[1]
