"""What users of a search met: seeds that are not fresh, hold-outs that differ, commands told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace as Made

import pytest
import swept

from ekd.cli import from_sweep, search
from ekd.cli.train import Options as RunOptions
from ekd.report.searched.course import _shades
from ekd.spec import SpecError
from ekd.sweep.asked import Options, ask


def test_fresh_seeds_are_never_the_search_s_own(tiny_npz: Path, tmp_path: Path) -> None:
    path = swept.write(tmp_path, tiny_npz, text=swept.TAUGHT, name="taught")
    seeds = [ask(Options(str(path), seed=s), tmp_path).attributes["again"]["seeds"] for s in (0, 7)]
    assert seeds == [[7], [1]]


def test_a_hold_out_is_no_field_to_search(tiny_npz: Path, tmp_path: Path) -> None:
    text = swept.SPEC.replace("recipe.lr_factor", "data.holdout")
    text = text.replace("high = 1.0", "high = 0.4").replace("[0.1, 0.5]", "[0.1, 0.3]")
    path = swept.write(tmp_path, tiny_npz, text=text)
    with pytest.raises(SpecError, match="trials with other images"):
        ask(Options(str(path)), tmp_path)


@pytest.mark.parametrize("last", range(1, 120))
def test_no_trial_is_darker_than_dark(last: int) -> None:
    trials = [Made(number=n, state="COMPLETE") for n in range(last + 1)]
    shades = _shades(trials, Made(trials=trials))["face"]  # type: ignore[arg-type]
    assert all(0 <= alpha <= 1 for _, alpha in shades)  # type: ignore[attr-defined]


def test_what_a_search_fixed_of_its_method_goes_with_what_it_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fixed = ["recipe.epochs=3", "method.teacher_update=frozen", "method.alpha=0"]
    trial = Made(params={"method.beta": 0.25})
    study = Made(user_attrs={"ekd": {"overrides": fixed}})
    monkeypatch.setattr(from_sweep, "_study", lambda *_: study)
    monkeypatch.setattr(from_sweep, "_trial", lambda *_: trial)
    asked = RunOptions("paper", ("method.beta=1",), (), None, False, False, Path(), Path(), "cpu",
                       None, False)  # fmt: skip
    assert from_sweep.with_fields("my", None, asked).overrides == (
        "method.teacher_update=frozen", "method.alpha=0", "method.beta=0.25", "method.beta=1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("study", "storage", "told"),
    [
        ("my@paper", None, "--from-sweep my"),
        ("a@b", None, "--from-sweep a@b"),
        ("mine", None, "--from-sweep mine"),
        ("my@paper", "sqlite:///x.db", "-s recipe.lr=0.5"),
    ],
)
def test_the_command_that_is_told_finds_what_was_searched(
    study: str, storage: str | None, told: str
) -> None:
    places = search.Places(Path("runs"), Path("data"), 1, "cpu", None, storage, False)
    trials = [Made(params={"recipe.lr": 0.5})]
    asked = Made(study=study)
    text = search._exhibit(asked, Options("my"), places, trials, {"trial": 0})  # type: ignore[arg-type]
    assert text == f"ekd-run table1 {told}"
