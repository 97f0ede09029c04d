"""Why a run is stored or not: the nearest stored run, and the first field that differs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Run as Command
from filled_store import fail, finish, requested
from planned import TAUGHT, derived

import ekd.spec.values
from ekd.methods import discover
from ekd.plan import Resolved, describe, differences, lineage, nearest_run, stored_runs
from ekd.spec import Parent, Recipe, Run
from ekd.store import Store


def by_key(*runs: Run) -> dict[str, Resolved]:
    return {a.key: Resolved.of(a) for run in runs for a in lineage(run)}


def found(here: Run, there: Run) -> list[tuple[str, Any, Any]]:
    all_found = differences(here.key, there.key, by_key(here, there))
    return [(one.field, one.here, one.there) for one in all_found]


def plain(*texts: str, seed: int = 0) -> Run:
    return derived("data.name=cifar10", *texts, seed=seed)


def taught(*texts: str, seed: int = 0) -> Run:
    return derived(*TAUGHT, *texts, seed=seed)


def with_teacher(run: Run, **recipe: Any) -> Run:
    """Change the first teacher's recipe and nothing else."""
    first = run.teachers[0].run
    other = first.model_copy(update={"recipe": first.recipe.model_copy(update=recipe)})
    return run.model_copy(update={"teachers": (Parent(run=other), *run.teachers[1:])})


@pytest.mark.parametrize(
    ("text", "field", "here", "there"),
    [
        ("student.branches=2", "student.branches", 2, 1),
        ("data.holdout=0.1", "data.holdout", 0.1, 0.0),
        ("recipe.epochs=40", "recipe.epochs", 40, 500),
        ('recipe.init="kaiming"', "recipe.init", "kaiming", "gaussian"),
        ("recipe.milestones=[0.25]", "recipe.milestones", [0.25], [0.5, 0.75]),
    ],
)
def test_the_one_field_that_differs_is_found(text: str, field: str, here: Any, there: Any) -> None:
    assert found(plain(text), plain()) == [(field, here, there)]
    assert found(plain(), plain(text)) == [(field, there, here)]


def test_several_are_listed_in_the_order_of_spec_json() -> None:
    run = plain("recipe.lr=0.5", "data.augment=none", "recipe.epochs=3", "student.arch=resnet14",
                seed=4)  # fmt: skip
    assert [field for field, _, _ in found(run, plain())] == [
        "student.arch", "data.augment", "recipe.epochs", "recipe.lr", "seed",
    ]  # fmt: skip


def test_what_the_teachers_repeat_is_listed_once() -> None:
    (only,) = differences(taught(seed=1).key, taught().key, by_key(taught(seed=1), taught()))
    assert (only.field, only.here, only.there) == ("seed", 1, 0)
    assert only.also_in == ("teachers[0]", "teachers[1]")


def test_a_field_of_a_parent_is_named_with_its_place() -> None:
    here, there = with_teacher(taught(), epochs=40), with_teacher(taught(), epochs=60)
    assert found(here, there) == [("teachers[0]: recipe.epochs", 40, 60)]
    above = plain().model_copy(update={"start": Parent(run=here)})
    other = plain().model_copy(update={"start": Parent(run=there)})
    assert found(above, other) == [("start: teachers[0]: recipe.epochs", 40, 60)]


def test_parents_that_only_one_side_has_are_named() -> None:
    resnet14, resnet20 = (derived("data.name=cifar10", f"student.arch={arch}")
                          for arch in ("resnet14", "resnet20"))  # fmt: skip
    pair = plain().model_copy(update={"teachers": (Parent(run=resnet14), Parent(run=resnet20))})
    one = plain().model_copy(
        update={"teachers": (Parent(run=resnet14),), "start": Parent(run=resnet14, net="teacher-1")}
    )
    assert found(pair, one) == [
        ("teachers[1]", f"{resnet20.key} plain resnet20 cifar10 seed 0", None),
        ("start", None, f"{resnet14.key} plain resnet14 cifar10 seed 0 teacher-1"),
    ]
    assert found(one, one.model_copy(update={"start": Parent(run=resnet14)})) == [
        ("start: net", "teacher-1", "student")
    ]


def test_a_parent_that_is_not_stored_any_more_is_named_by_its_key() -> None:
    here, there = with_teacher(taught(), epochs=40), taught()
    runs = by_key(here, there)
    del runs[there.teachers[0].run.key]
    (only,) = differences(here.key, there.key, runs)
    assert (only.field, only.there) == ("teachers[0]", there.teachers[0].run.key)


def test_fields_of_another_method_are_not_compared_with_its_own() -> None:
    names = [field for field, _, _ in found(taught(), plain("student.branches=2"))]
    assert names == ["method.name", "teachers[0]", "teachers[1]"]


def test_where_custom_data_lie_does_not_matter_but_their_content_does() -> None:
    def custom(path: str, fingerprint: str) -> Run:
        data = plain().data.model_copy(
            update={"name": "", "path": path, "fingerprint": fingerprint}
        )
        return plain().model_copy(update={"data": data})

    assert custom("a/flowers", "1").key == custom("b/flowers", "1").key
    assert found(custom("a/flowers", "1"), custom("b/flowers", "2")) == [
        ("data.fingerprint", "1", "2")
    ]


@pytest.mark.parametrize("everything", [True, False])
def test_where_no_field_differs_numerics_was_bumped(
    monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    before = taught()
    if everything:
        assert before.key
        monkeypatch.setattr(ekd.spec.values, "NUMERICS", 2)
    else:  # of the teachers' method only
        for run in lineage(before):
            assert run.key
        monkeypatch.setattr(discover()["plain"], "numerics", 2)
    [*_, after] = lineage(taught())
    stored, runs = by_key(before), by_key(after)
    assert not set(stored) & set(runs)
    near = nearest_run(after.key, runs | stored, stored, stored)
    assert near
    assert near.key == before.key
    (only,) = near.differences
    assert (only.of_numerics, only.field) == (True, "teachers[0]: numerics")
    assert only.also_in == ("teachers[1]",)
    first = after.teachers[0].run.key
    lowest = nearest_run(first, runs | stored, stored, stored)
    assert lowest
    assert [one.field for one in lowest.differences] == ["numerics"]


def test_a_field_that_older_specs_lack_is_at_its_neutral_value_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = by_key(plain("recipe.nesterov=true", "recipe.optimizer=sgd"), plain())
    new, old = runs
    fields = {k: v for k, v in runs[old].recipe.items() if k not in ("nesterov", "momentum")}
    runs[old] = runs[old].model_copy(update={"recipe": fields})
    monkeypatch.setattr(Recipe.model_fields["nesterov"], "json_schema_extra", {"neutral": False})
    listed = {one.field: (one.here, one.there) for one in differences(new, old, runs)}
    assert listed["recipe.nesterov"] == (True, False)
    assert listed["recipe.momentum"] == (0.9, None)


def test_nothing_is_near_where_nothing_is_stored() -> None:
    runs = by_key(plain())
    assert nearest_run(plain().key, runs, (), ()) is None
    assert nearest_run(plain().key, runs, runs, runs) is None  # itself does not count


def test_the_nearest_has_the_fewest_differences_then_is_done_then_has_the_nearest_seed() -> None:
    def nearest(run: Run, stored: list[Run], done: list[Run]) -> str | None:
        keys = [one.key for one in stored]
        near = nearest_run(run.key, by_key(run, *stored), keys, [one.key for one in done])
        return near.key if near else None

    run = plain(seed=9)
    far = plain("recipe.lr=0.5", "recipe.epochs=3", seed=9)
    close, closer, other = plain(seed=2), plain(seed=7), plain("recipe.lr=0.5", seed=9)
    assert nearest(run, [far, close], [far]) == close.key
    assert nearest(run, [far, close, closer], [close]) == close.key
    assert nearest(run, [close, closer], [close, closer]) == closer.key
    assert nearest(run, [close, closer, other], [close, closer, other]) == other.key
    alike = [plain(f"recipe.lr={rate}", seed=9) for rate in (0.1, 0.2, 0.3)]
    assert nearest(run, alike, alike) == min(one.key for one in alike)
    assert nearest(run, alike[::-1], alike) == min(one.key for one in alike)


@pytest.mark.parametrize(
    "texts", [(), ("student.branches=3",), ("data.fraction=0.25", "student.arch=resnet26")]
)
def test_a_spec_is_named_as_its_run_is(texts: tuple[str, ...], tmp_path: Path) -> None:
    run = plain(*texts, seed=3)
    assert Resolved.of(run).describe() == describe(run)
    data = run.data.model_copy(update={"name": "", "path": str(tmp_path / "flowers.npz")})
    own = run.model_copy(update={"data": data})
    assert Resolved.of(own).describe() == describe(own)


DAMAGED = ["", "{", "[]", "null", '{"student": {}}', "\x00\x01", '{"seed": "0"}']


def test_damaged_specs_are_passed_over(store: Store) -> None:
    store.folder(plain()).write_spec(plain().resolved())
    for number, text in enumerate(DAMAGED):
        folder = store.root / f"{number:016x}"
        folder.mkdir()
        (folder / "spec.json").write_text(text)
    (store.root / "folder" / "spec.json").mkdir(parents=True)
    assert stored_runs(store) == by_key(plain())
    assert stored_runs(Store(store.root / "nowhere")) == {}


# Through the command


def test_a_miss_names_the_first_field_that_differs(ekd_run: Command, spec: str) -> None:
    assert ekd_run(spec).code == 0
    change = [spec, "-s", "recipe.epochs=2"]
    listed = ekd_run(*change, "--plan")
    assert "--why KEY in place of --plan" in listed.out.splitlines()[-1]
    teacher, student = json.loads(ekd_run(*change, "--plan", "--json").out)["runs"]
    stored = {run["method"]["name"]: run["key"]
              for run in json.loads(ekd_run(spec, "--plan", "--json").out)["runs"]}  # fmt: skip
    told = ekd_run(*change, "--why", student["key"])
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == f"{student['key']}  ekd resnet8 tiny.npz seed 0"
    assert lines[1] == "  a miss: the store holds no such run"
    assert lines[2] == (
        f"  the nearest that it holds: {stored['ekd']} (done), ekd resnet8 tiny.npz seed 0"
    )
    assert lines[3] == (
        "  the first difference: recipe.epochs 2 here, 1 there (and so in teachers[0])"
    )
    assert lines[5:] == ["  for tiny: 1 | ekd"]
    shared = ekd_run(*change, "--why", teacher["key"][:6], "--json")
    found = json.loads(shared.out)
    assert found["key"] == teacher["key"]
    assert (found["state"], found["hit"], found["sessions"]) == ("missing", False, [])
    assert found["asked_by"] == ["tiny: 1 | plain", f"run {student['key']}"]
    assert found["nearest"]["key"] == stored["plain"]
    assert found["nearest"]["differences"] == [
        {"field": "recipe.epochs", "here": 2, "there": 1, "also_in": []}
    ]
    assert found["recipe"]["epochs"] == 2


def test_several_differences_are_counted_and_listed(ekd_run: Command, spec: str) -> None:
    sheet = requested(Path("runs"), spec, scale="paper")
    finish(Path("runs"), sheet.runs[0, 0][0], 50.0)
    options = [spec, "-s", "recipe.lr=0.5", "-s", "data.augment=flip", "--seeds", "5"]
    run = json.loads(ekd_run(*options, "--plan", "--json", "--where", "method.name=plain").out)
    told = ekd_run(*options, "--why", run["runs"][0]["key"])
    assert '  the first difference: data.augment "flip" here, "crop-flip" there\n' in told.out
    assert "  2 more differ:\n    recipe.lr 0.5 here, 0.01 there\n    seed 5 here, 0 there\n" in (
        told.out
    )


def test_where_only_numerics_differs_it_is_said(
    ekd_run: Command, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = requested(Path("runs"), spec, scale="paper").runs[0, 0][0]
    finish(Path("runs"), run, 50.0)
    monkeypatch.setattr(ekd.spec.values, "NUMERICS", 2)
    key = json.loads(ekd_run(spec, "--plan", "--json").out)["runs"][0]["key"]
    assert key != run.key
    told = ekd_run(spec, "--why", key)
    assert told.code == 0
    assert f"the nearest that it holds: {run.key} (done)" in told.out
    assert (
        "  the first difference: numerics: no field differs, but `numerics` was bumped" in told.out
    )


def test_a_hit_shows_who_trained_it_and_how(ekd_run: Command, spec: str) -> None:
    assert ekd_run(spec, "--device", "cpu").code == 0
    key = json.loads(ekd_run(spec, "--plan", "--json").out)["runs"][0]["key"]
    for told in (ekd_run(spec, "--why", key.upper()), ekd_run("--why", key[:4])):
        assert told.code == 0
        assert "  a hit: the store holds it\n" in told.out
        assert f"by    ekd-run {spec} --device cpu" in told.out
        assert "  for tiny: 1 | plain\n" in told.out
        assert "cpu, 1 thread," in told.out
        assert "torch 2." in told.out
    (session,) = json.loads(ekd_run("--why", key, "--json").out)["sessions"]
    kept = Store(Path("runs")).folder(key).provenance()
    assert [session] == kept
    missing = {"start", "stop", "command", "host", "device", "threads", "versions", "revision",
               "data_fingerprint"} - set(session)  # fmt: skip
    assert not missing


def test_where_nothing_is_stored_there_is_no_nearest(ekd_run: Command, spec: str) -> None:
    key = json.loads(ekd_run(spec, "--plan", "--json").out)["runs"][1]["key"]
    told = ekd_run(spec, "--why", key)
    assert told.code == 0
    assert "a miss: the store holds no such run\n  nor any other run\n" in told.out
    assert json.loads(ekd_run(spec, "--why", key, "--json").out)["nearest"] is None
    assert not Path("runs").exists()


@pytest.mark.parametrize("kind", ["failed", "diverged"])
def test_a_stopped_run_and_those_that_it_blocks_say_why(
    ekd_run: Command, spec: str, kind: str
) -> None:
    sheet = requested(Path("runs"), spec, scale="paper")
    (teacher,), (student,) = sheet.runs[0, 0], sheet.runs[0, 1]
    fail(Path("runs"), teacher, kind, "the loss is not finite after epoch 3")
    for place in ([spec], []):
        told = ekd_run(*place, "--why", teacher.key)
        assert told.code == 0
        assert f"  it {kind}: the loss is not finite after epoch 3; --retry" in told.out
        assert f"runs/{teacher.key}/failure.json" in told.out
        told = ekd_run(*place, "--why", student.key)
        assert told.code == 0
        assert "  blocked: it needs " in told.out
        assert f"{teacher.key} (plain resnet8 tiny.npz seed 0), its teachers[0]" in told.out
        assert "the loss is not finite after epoch 3" in told.out
    found = json.loads(ekd_run(spec, "--why", teacher.key, "--json").out)
    assert found["failure"]["traceback"] == "Traceback"


def test_one_that_was_begun_goes_on(ekd_run: Command, spec: str) -> None:
    run = requested(Path("runs"), spec, scale="paper").runs[0, 0][0]
    folder = Store(Path("runs")).folder(run)
    folder.write_spec(run.resolved())
    folder.write_provenance([])
    told = ekd_run("--why", run.key)
    assert "a miss: the store holds no such run" in told.out
    (folder.path / "checkpoint.json").write_text('{"slots": []}')
    assert "it was begun: the same command goes on" in ekd_run("--why", run.key).out


def copied(root: Path, run: Run, key: str) -> None:
    shutil.copytree(root / run.key, root / key)


def test_a_run_is_named_by_enough_digits(ekd_run: Command, spec: str) -> None:
    run = requested(Path("runs"), spec, scale="paper").runs[0, 0][0]
    finish(Path("runs"), run, 50.0)
    for key in ("abcd000000000000", "abcd100000000000"):
        copied(Path("runs"), run, key)
    ended = ekd_run("--why", "abcd")
    assert (ended.code, ended.out) == (2, "")
    assert "--why abcd may be abcd000000000000 (plain resnet8 tiny.npz seed 0), abcd1" in ended.err
    told = ekd_run("--why", "abcd1")
    assert told.code == 0
    assert "no request in this store asks for it" in told.out
    ended = ekd_run("--why", "abc")
    assert ended.code == 2
    assert "give 4 digits of a run's key, or more" in ended.err


def test_a_run_that_is_nowhere_ends_with_2_and_the_nearest(ekd_run: Command, spec: str) -> None:
    run = requested(Path("runs"), spec, scale="paper").runs[0, 0][0]
    finish(Path("runs"), run, 50.0)
    wrong = run.key[:7] + ("0" if run.key[7] != "0" else "1")
    for place in ([spec], []):
        ended = ekd_run(*place, "--why", wrong)
        assert (ended.code, ended.out) == (2, "")
        assert f"the nearest is {run.key} (plain resnet8 tiny.npz seed 0)" in ended.err
        assert ended.err.count("\n") == 1
    ended = ekd_run(spec, "--seeds", "7", "--why", run.key)
    assert ended.code == 2
    assert "the store holds it, though: leave the exhibits" in ended.err
    ended = ekd_run("--why", "abcd", "--root", "empty")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert not Path("empty").exists()


def test_damaged_neighbours_and_lost_specs_hide_no_run(ekd_run: Command, spec: str) -> None:
    run = requested(Path("runs"), spec, scale="paper").runs[0, 0][0]
    finish(Path("runs"), run, 50.0)
    for number, text in enumerate(DAMAGED):
        copied(Path("runs"), run, f"abcd00000000000{number}")
        Path(f"runs/abcd00000000000{number}/spec.json").write_text(text)
    fail(Path("runs"), run.model_copy(update={"seed": 8}))
    Path(f"runs/{run.model_copy(update={'seed': 8}).key}/failure.json").write_text("{")
    told = ekd_run(spec, "--seeds", "3", "--why", seed_3(ekd_run, spec))
    assert told.code == 0, told.err
    assert f"the nearest that it holds: {run.key} (done)" in told.out
    assert "the first difference: seed 3 here, 0 there" in told.out
    Path(spec).unlink()
    told = ekd_run("--why", run.key)
    assert told.code == 0, told.err
    assert "a hit" in told.out


def seed_3(ekd_run: Command, spec: str) -> str:
    shown = ekd_run(spec, "--seeds", "3", "--plan", "--json")
    return str(json.loads(shown.out)["runs"][0]["key"])
