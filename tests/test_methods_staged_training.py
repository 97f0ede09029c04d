"""Methods of two runs, trained: what is handed on, what is kept, and the same bits each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import safetensors.torch
import tiny
import torch
from command_line import Run as Command
from staged import both, hint_of, tiny_run
from test_device import epoch_on_made_up_device
from test_resume import in_pieces
from torch import Tensor

from ekd.engines import Console, Engine
from ekd.models import CompNet, initialise
from ekd.plan import Planned, describe
from ekd.store import RunFolder, Store
from ekd.tracking import Mirror
from ekd.tracking.history import outcome
from ekd.trainer import build


@both
def test_a_hint_run_has_no_accuracy_anywhere(
    name: str, tiny_npz: Path, tmp_path: Path, ekd_run: Command
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz)
    spec.write_text(spec.read_text().replace('method.name = "ekd"', f'method.name = "{name}"'))
    told = ekd_run(str(spec), "--scale", "paper", "--seeds", "0")
    assert told.code == 0, told.err
    assert len(re.findall(r"\d %", told.err)) == 2, told.err  # of three runs
    specs = list((tmp_path / "runs").glob("*/spec.json"))
    (key,) = [path.parent.name for path in specs if '"hint"' in path.read_text()]
    hint = RunFolder(tmp_path / "runs", key)
    found = hint.result()
    assert [found[score] for score in ("accuracy", "nll", "ece", "branch_accuracy")] == [None] * 4
    assert not any("accuracy" in field for line in hint.history() for field in line)
    assert not any("accuracy" in field for field in outcome(hint.path))
    told = ekd_run(str(spec), "--why", key)
    assert "trained after 1 epochs" in told.out
    assert "%" not in told.out


def student_weights(folder: RunFolder) -> dict[str, Tensor]:
    found = safetensors.torch.load(folder.read_output("weights.safetensors"))
    return {k.removeprefix("student."): w for k, w in found.items() if k.startswith("student.")}


@both
def test_the_main_run_starts_where_the_hint_run_ended(
    name: str, tiny_npz: Path, store: Store
) -> None:
    run = tiny_run(name, tiny_npz)
    hint = tiny.trained(hint_of(run), store)
    start = build(run, tiny.CLASSES, store).student.state_dict()
    fresh = CompNet("resnet8", 1, tiny.CLASSES)
    initialise(fresh, "kaiming", 0)
    still = (".linear.", ".stages.2.") if name == "fitnet" else (".linear.",)
    for key, value in student_weights(hint).items():
        assert torch.equal(start[key], value)
        untouched = any(part in f".{key}" for part in still)
        assert torch.equal(fresh.state_dict()[key], value) is untouched, key


@both
def test_both_runs_give_the_same_bits_again(name: str, tiny_npz: Path, tmp_path: Path) -> None:
    run = tiny_run(name, tiny_npz)
    stores = [Store(tmp_path / part).open() for part in "ab"]
    for each in (hint_of(run), run):
        first, second = (tiny.content(tiny.trained(each, store)) for store in stores)
        assert first == second
        assert len(first["history"]) == 2


@both
def test_a_hint_run_in_pieces_is_the_uninterrupted_one(
    name: str, tiny_npz: Path, tmp_path: Path
) -> None:
    hint = hint_of(tiny_run(name, tiny_npz))
    whole, pieces = Store(tmp_path / "whole").open(), Store(tmp_path / "pieces").open()
    for store in (whole, pieces):
        tiny.trained(hint.teachers[0].run, store)
    tiny.trained(hint, whole)
    assert in_pieces(hint, pieces, steps=True) == 8
    assert tiny.content(pieces.folder(hint)) == tiny.content(whole.folder(hint))


def test_the_regressor_draws_from_the_methods_stream_alone(tiny_npz: Path, store: Store) -> None:
    hint = hint_of(tiny_run("fitnet", tiny_npz, branches=2))
    tiny.trained(hint.teachers[0].run, store)
    before = torch.get_rng_state()
    one, other = build(hint, tiny.CLASSES, store), build(hint, tiny.CLASSES, store)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.regressor[0].weight, other.regressor[0].weight)
    seeded = hint.model_copy(update={"seed": 1})
    third = build(seeded, tiny.CLASSES, store)
    assert not torch.equal(one.regressor[0].weight, third.regressor[0].weight)
    fresh = CompNet("resnet8", 2, tiny.CLASSES)
    initialise(fresh, "kaiming", 0)
    for key, value in fresh.state_dict().items():
        assert torch.equal(one.student.state_dict()[key], value)


@both
def test_a_step_of_a_hint_run_mixes_no_devices(
    name: str, tiny_npz: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hint = hint_of(tiny_run(name, tiny_npz))
    tiny.trained(hint.teachers[0].run, store)
    objective = build(hint, tiny.CLASSES, store)
    sums = epoch_on_made_up_device(objective, hint, store, monkeypatch)
    assert {k for k, v in sums.items() if v.device.type != "cuda"} <= {"images"}


@both
def test_a_hint_run_is_told_from_a_teacher_and_from_its_main_run(
    name: str, tiny_npz: Path, store: Store
) -> None:
    run = tiny_run(name, tiny_npz)
    assert "hint run" in describe(hint_of(run))
    assert "hint run" not in describe(run)
    console = Console(3, describe)
    mirror = Mirror(store.root, "disabled")
    engine = Engine(store, tiny_npz.parent, torch.device("cpu"), mirror, console)
    types = {
        shown: [engine._about(Planned(one, (), not shown)).job_type for one in (hint_of(run), run)]
        for shown in (True, False)
    }
    assert types == {True: ["hint", "student"], False: ["hint", "teacher"]}
