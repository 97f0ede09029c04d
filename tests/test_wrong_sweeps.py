"""Whatever a clumsy user gives `ekd-sweep`: one sentence, the right code, and nothing touched."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import swept
from clumsy import check
from command_line import Ended, Run

from ekd.cli import sweep as cli

Command = Callable[..., Ended]
PARTS = '"recipe.lr_factor" = { low = 0.1, high = 1.0 }'
FIRST = '"recipe.lr_factor" = 0.1 }'


@pytest.fixture
def command(
    ekd_run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tiny_npz: Path,
) -> Command:
    swept.write(tmp_path, tiny_npz)
    swept.write(tmp_path, tiny_npz, swept.TAUGHT, name="taught")

    def ended(name: str, *arguments: str) -> Ended:
        if name == "ekd-run":
            return ekd_run(*arguments)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
        return Ended(code, *capsys.readouterr())

    return ended


OPTIONS: list[tuple[int, str, str]] = [
    (2, "", "Missing argument 'SWEEP'"),
    (2, "hparam", "no sweep 'hparam' (did you mean 'hparams'?): there are"),
    (2, "table1", "no sweep 'table1'"),
    (2, "nowhere.toml", "there is no file nowhere.toml: give the path of a sweep"),
    (2, "my.toml --scale smok", "no scale 'smok' (did you mean 'smoke'?)"),
    (2, "my.toml --trials 0", "0 is not in the range"),
    (2, "my.toml --trials -3", "-3 is not in the range"),
    (2, "my.toml --trials many", "'many' is not a valid integer range"),
    (2, "my.toml --workers 0", "0 is not in the range"),
    (2, "my.toml --seed -1", "-1 is not in the range"),
    (2, "my.toml --sampler tpee", "'tpee' is not one of 'tpe', 'tpe-classic'"),
    (2, "my.toml --pruner halve", "'halve' is not one of 'halving'"),
    (2, "my.toml --sampler nsga2", "sampler nsga2: it takes two objectives"),
    (2, "my.toml --method ekdd", "--method ekdd: no such method (did you mean 'ekd'?)"),
    (2, "taught.toml --method plain", "it has no number with bounds to search"),
    (2, "my.toml -s recipe.epoch=3", "no cell has the field 'recipe.epoch' (did you mean"),
    (2, "my.toml -s recipe.epochs=0", "-s recipe.epochs=0: input should be greater"),
    (2, "my.toml -s recipe.epochs", "expected field=value"),
    (2, "my.toml -s data.holdout=0.0", "data.holdout is 0: a search needs images"),
    (
        2,
        "my.toml -s recipe.lr=0.1 -s recipe.lr_factor=0.5",
        "-s sets all of recipe.lr, recipe.lr_factor: nothing is left to search",
    ),
    (
        2,
        "taught.toml -s method.teacher_update=frozen",
        "method.alpha: it cannot matter here (alpha trains the teachers, so frozen teachers take "
        "alpha = 0): take it out of the space, or fix it by -s method.alpha=...",
    ),
    (2, "my.toml -s recipe.milestones=[]", "recipe.lr_factor: it cannot matter here (all its"),
    (2, "my.toml --wandb on", "--wandb is 'on'"),
    (2, "my.toml --root my.toml", "'my.toml' is a file"),
    (2, "my.toml --storage ''", "--storage: the name is empty"),
    (2, "my.toml --storage ftp://host/x", "--storage ftp://host/x: no storage that can be opened"),
    (2, "my.toml --storage grpc://host", "expected grpc://HOST:PORT"),
    (4, "my.toml --storage sqlite:////no/such/folder/x.db", "the database cannot be opened"),
    (4, "my.toml --storage /tmp", "is a folder: give the path of a journal"),
    (2, "my.toml --name ''", "--name: the name is empty"),
    (2, "my.toml --name a/b", "--name a/b: a study's name begins"),
]


@pytest.mark.parametrize(("code", "line", "text"), OPTIONS, ids=[line for _, line, _ in OPTIONS])
def test_a_wrong_option_of_ekd_sweep(command: Command, code: int, line: str, text: str) -> None:
    arguments = [word.strip("'") for word in line.split()]
    check(command, code, text, "ekd-sweep", *arguments)


SPECS: list[tuple[str, str, str]] = [
    ("sampler = ", "sampel = ", "unknown field 'sampel' (did you mean 'sampler'?)"),
    ('sampler = "tpe"', 'sampler = "tpee"', "(did you mean 'tpe'?)"),
    ('pruner = "none"', 'pruner = "half"', "line 3: pruner: "),
    ("trials = 4", "trials = 0", "line 4: trials: input should be greater than or equal to 1"),
    ("trials = 4", 'trials = "four"', "line 4: trials: input should be a whole number"),
    ("trials = 4", "", "trials: a value is needed"),
    (PARTS, '"recipe.lr_facto" = { low = 0.1, high = 1.0 }', "it is no field of [space]"),
    (PARTS, '"recipe.lr_factor" = { low = 1.0, high = 0.1 }', "low = 1 is not below high = 0.1"),
    (PARTS, '"recipe.lr_factor" = { low = "a", high = 1.0 }', "a number, not 'a'"),
    (PARTS, '"recipe.lr_factor" = { low = 0.1 }', "give low and high, or choices"),
    (PARTS, '"recipe.lr_factor" = { low = 0.1, high = 1.0, step = 1 }', "unknown field 'step'"),
    (PARTS, '"recipe.lr_factor" = { low = 0.0, high = 1.0, log = true }', "needs low above 0"),
    (PARTS, '"recipe.lr_factor" = { low = 0.1, high = 2.0 }',
     "line 14: [space] recipe.lr_factor: 0.1 to 2 goes beyond the field's own bounds, "
     "above 0 to 1"),
    (PARTS, '"recipe.lr_factor" = { choices = [0.1] }', "one choice is nothing to search"),
    (PARTS, '"recipe.lr_factor" = { low = nan, high = 1.0 }', "nan has no meaning in a spec"),
    ('"recipe.lr_factor" = 0.1 }', '"recipe.lr_factor" = 7.0 }',
     "recipe.lr_factor = 7.0 lies outside of the space (0.1 to 1)"),
    ('"recipe.lr_factor" = [0.1, 0.5]', '"recipe.lr_factor" = [0.1, 5.0]', "outside of the space"),
    ("trials = 4", 'trials = 4\nobjectives = ["operations"]', 'expected ["accuracy"] or ["acc'),
    ('student.arch = "resnet8"', 'student.arch = "resnet9"', "the nearest are resnet8"),
    ("title = ", "titel = ", "(did you mean 'title'?)"),
    ("[run]", "[runs]", "unknown field 'runs' (did you mean 'run'?)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "text"), SPECS, ids=[new for _, new, _ in SPECS])
def test_a_wrong_sweep(command: Command, old: str, new: str, text: str) -> None:
    path = Path("my.toml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    check(command, 2, text, "ekd-sweep", "my.toml")


def without_points(space: str) -> str:
    text = Path("my.toml").read_text()
    return text[: text.index("[space]")] + "[space]\n" + space


SPACES = [
    ("", "space: at least 1 value is needed"),
    ('"recipe.learning" = { low = 0.1, high = 1.0 }', "no such field"),
    ('"method.alpha" = { low = 0.1, high = 1.0 }', "[space] method.alpha: no such field"),
    ('"student.arch" = { low = 0.1, high = 1.0 }', "it is no number: give choices"),
    ('"student.arch" = { choices = ["resnet8", "resnet9"] }', "the nearest are resnet8"),
    ('"recipe.batch_size" = { low = 2, high = 12 }', "it is a whole number: add integer = true"),
    ('"lr" = { low = 0.1, high = 1.0 }', "expected a field such as method.alpha, not 'lr'"),
]


@pytest.mark.parametrize(("space", "text"), SPACES, ids=[space for space, _ in SPACES])
def test_a_wrong_space(command: Command, space: str, text: str) -> None:
    Path("my.toml").write_text(without_points(space))
    check(command, 2, text, "ekd-sweep", "my.toml")


def test_a_grid_that_is_not_given(command: Command) -> None:
    Path("my.toml").write_text(without_points('"recipe.lr" = { low = 0.1, high = 1.0 }'))
    text = "sampler grid: the sweep gives no [grid]"
    check(command, 2, text, "ekd-sweep", "my.toml", "--sampler", "grid")


@pytest.mark.parametrize(
    "content", [b"hello\n", b"hello", b'{"a": 1}\n', b'{"op_code":0}\n', b"\x00\xff\n"]
)
def test_a_journal_that_is_none(command: Command, content: bytes) -> None:
    Path("x.journal").write_bytes(content)
    text = "x.journal is no journal of Optuna's, or damaged"
    check(command, 4, text, "ekd-sweep", "my.toml", "--storage", "x.journal")
    assert Path("x.journal").read_bytes() == content


def test_a_proxy_that_is_not_there(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed")
    monkeypatch.setattr("ekd.sweep.storage.GRPC_SECONDS", 0.2)
    url = "grpc://localhost:1"
    check(command, 4, f"--storage {url}: nobody answers", "ekd-sweep", "my.toml", "--storage", url)


TAKEN = [
    (2, "table1 --from-sweep hparams", "no study 'hparams@paper' in runs/sweeps"),
    (2, "--from-sweep hparams", "name an exhibit"),
    (2, "table1 --trial 3", "--trial: say of which search, by --from-sweep NAME"),
    (2, "--from-sweep hparams --trial -1", "-1 is not in the range"),
    (2, "--from-sweep hparams --trial 0 -s recipe.epochs=1", "trains that trial's run as it is"),
]


@pytest.mark.parametrize(("code", "line", "text"), TAKEN, ids=[line for _, line, _ in TAKEN])
def test_what_ekd_run_cannot_take_from_a_sweep(
    command: Command, code: int, line: str, text: str
) -> None:
    check(command, code, text, "ekd-run", *line.split())


def test_a_trial_that_is_not_there(command: Command) -> None:
    assert command("ekd-sweep", "my.toml", "--trials", "1", "-s", "recipe.epochs=1").code == 0
    text = "--trial 5: the search my@paper has 1 trials, from 0"
    check(command, 2, text, "ekd-run", "--from-sweep", "my", "--trial", "5")
