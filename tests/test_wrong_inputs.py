"""Whatever a clumsy user gives: exit 2 or 4, one sentence that helps, and nothing touched."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from clumsy import Command, check, command, holding, sentence
from command_line import Ended
from wrong_specs import TABLE

from ekd.spec.load import load_exhibit

__all__ = ["command"]

OPTIONS: list[tuple[str, str]] = [
    # exhibits and specs by name
    ("", "name an exhibit, such as table1"),
    ("table9", "no exhibit 'table9' (did you mean 'table"),
    ("tabel1", "did you mean 'table1'?"),
    ("TABLE1", "did you mean 'table1'?"),
    ("t\u0430ble1", "did you mean 'table1'?"),  # a Cyrillic letter
    ("\uff54able1", "did you mean 'table1'?"),  # a full-width letter
    ("../table1", "did you mean 'table1'?"),
    ("exhibits/table1", "did you mean 'table1'?"),
    ("table1.toml", "table1.toml: give the path of a spec"),
    ("nowhere/my.toml", "my.toml: give the path of a spec"),
    (".", "no exhibit '.': there are table1"),
    ("table\n1", r"no exhibit 'table\n1'"),
    ("scales", "no exhibit 'scales'"),
    ("tiny.toml nowhere.toml", "nowhere.toml: give the path of a spec"),
    # -s
    ("tiny.toml -s", "-s"),
    ("tiny.toml -s recipe.epochs", "-s 'recipe.epochs': expected field=value"),
    ("tiny.toml -s ''", "-s '': expected field=value"),
    ("tiny.toml -s =3", "-s '=3': expected field=value"),
    ("tiny.toml -s 'recipe epochs=3'", "-s 'recipe epochs=3': expected field=value"),
    ("tiny.toml -s Recipe.epochs=3", "expected field=value"),
    ("tiny.toml -s recipe.epoch=3", "did you mean 'recipe.epochs'?"),
    ("tiny.toml -s method.temperatur=3", "did you mean 'method.temperature'?"),
    ("tiny.toml -s epochs=3", "no cell has the field 'epochs' (did you mean 'recipe.epochs'?)"),
    ("tiny.toml -s seed=3", "no cell has the field 'seed'"),
    ("tiny.toml -s student=3", "did you mean 'student.arch'?"),
    ("tiny.toml -s recipe.epochs=three", "-s recipe.epochs=three: input should be a whole number"),
    ("tiny.toml -s 'recipe.epochs = 3 4'", "a whole number, not '3 4'"),
    ("""tiny.toml -s 'recipe.epochs="3"'""", "a whole number, not '3'"),
    ("tiny.toml -s recipe.epochs=", "a whole number, not ''"),
    ("tiny.toml -s recipe.epochs=0", "equal to 1, not 0"),
    ("tiny.toml -s recipe.epochs=-5", "equal to 1, not -5"),
    ("tiny.toml -s recipe.epochs=1e400", "a whole number, not inf"),
    ("tiny.toml -s recipe.epochs=99999999999999999999999", "equal to 100000, not"),
    ("tiny.toml -s recipe.evaluations=1000000000000", "equal to 100000, not"),
    ("tiny.toml -s recipe.lr=nan", "a finite number, not nan"),
    ("tiny.toml -s recipe.lr=1e400", "a finite number, not inf"),
    ("tiny.toml -s recipe.milestones=[0.5", "a list, not '[0.5'"),
    ("tiny.toml -s data.name=cifar", "did you mean 'cifar10'?"),
    ("tiny.toml -s student.arch=resnet10", "resnet8 and resnet14"),
    ("tiny.toml -s method.name=ekkd", "did you mean 'ekd'?"),
    ("tiny.toml -s readings.name=eq9", "did you mean 'eq8'?"),
    ("tiny.toml -s teachers=T8", "T1 to T7"),
    ("tiny.toml -s teachers=T1-T2", "takes 1, not 2"),
    # --where
    ("tiny.toml --where student.branches", "--where 'student.branches': expected a field"),
    ("tiny.toml --where student.branch=1", "did you mean 'student.branches'?"),
    ("tiny.toml --where student.branches=7", "no cell matches"),
    ("tiny.toml --where 'student.branches<=three'", "cannot be compared with 'three'"),
    ("tiny.toml --where method.name=edk", "no cell matches (did you mean 'ekd'?)"),
    ("tiny.toml --where teachers=T9", "T1 to T7"),
    # --seeds
    ("tiny.toml --seeds", "--seeds"),
    ("tiny.toml --seeds ''", "--seeds : expected such as 0-4 or 0,2,5"),
    ("tiny.toml --seeds a", "--seeds a: expected such as"),
    ("tiny.toml --seeds 4-1", "--seeds 4-1: expected such as"),
    ("tiny.toml --seeds -1", "--seeds -1: expected such as"),
    ("tiny.toml --seeds 0-", "--seeds 0-: expected such as"),
    ("tiny.toml --seeds 0..4", "--seeds 0..4: expected such as"),
    ("tiny.toml --seeds 1.5", "--seeds 1.5: expected such as"),
    ("tiny.toml --seeds 0,,1", "--seeds 0,,1: expected such as"),
    ("tiny.toml --seeds \u00b2", "--seeds \u00b2: expected such as"),
    # the other options
    ("tiny.toml --scale papr", "did you mean 'paper'?"),
    ("tiny.toml --scale Smoke", "did you mean 'smoke'?"),
    ("tiny.toml --scale ''", "no scale '': there are smoke"),
    ("tiny.toml --only students", "students"),
    ("tiny.toml --device gpu", "'gpu' is not one of 'auto', 'cpu', 'cuda'"),
    ("tiny.toml --wandb on", "--wandb is 'on' (did you mean 'online'?)"),
    ("tiny.toml --workers 0", "--workers"),
    ("tiny.toml --workers two", "--workers"),
    ("tiny.toml --nonsense", "--nonsense"),
    ("--describe ekdd", "did you mean 'ekd'?"),
    ("--describe ../plain", "did you mean 'plain'?"),
    ("tiny.toml --root tiny.toml", "Invalid value for '--root': Directory 'tiny.toml' is a file"),
    ("tiny.toml --data-root tiny.toml", "Directory 'tiny.toml' is a file"),
]


@pytest.mark.parametrize(("line", "text"), OPTIONS, ids=[line for line, _ in OPTIONS])
def test_a_wrong_option_of_ekd_run(command: Command, spec: str, line: str, text: str) -> None:
    words = re.findall(r"'([^']*)'|(\S+)", line.replace("\n", "\x01"))
    arguments = [(quoted or plain).replace("\x01", "\n") for quoted, plain in words]
    check(command, 2, text, "ekd-run", *arguments)


FILES: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "my.toml: kind: a value is needed, one of table"),
    ("only a comment", "# later\n", "my.toml: kind: a value is needed"),
    ("binary", bytes(range(256)), "my.toml: not valid TOML"),
    ("UTF-16", TABLE.encode("utf-16"), "not valid TOML: it is no UTF-8 text: save it as UTF-8"),
    ("Latin-1", 'title = "Stra\u00dfe"'.encode("latin-1"), "save it as UTF-8"),
    ("an open quote", TABLE + 'x = "', "not valid TOML"),
    ("JSON", '{"kind": "table"}', "not valid TOML"),
    ("a key twice", TABLE.replace("kind", 'title = "b"\nkind'), "not valid TOML"),
    ("a deep list", "a = " + "[" * 100_000, "its brackets are nested too deeply"),
    ("deep tables", "a = " + "{a=" * 5000 + "1" + "}" * 5000, "nested too deeply"),
    ("one long line", "x" * 1_000_000, "not valid TOML"),
    ("a table for rows", TABLE.replace("[[rows]]", "[rows]", 1), "not valid TOML"),
]


@pytest.mark.parametrize(("content", "text"), [f[1:] for f in FILES], ids=[f[0] for f in FILES])
def test_a_file_that_is_no_spec(command: Command, content: str | bytes, text: str) -> None:
    check(command, 2, text, "ekd-run", "my.toml", prepare=holding("my.toml", content))


def test_a_folder_by_the_name_of_a_spec(command: Command) -> None:
    Path("my.toml").mkdir()
    check(command, 2, "my.toml: give the path of a spec", "ekd-run", "my.toml")


def test_a_spec_that_an_editor_began_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_bytes(b"\xef\xbb\xbf" + TABLE.encode())
    assert load_exhibit(tmp_path / "my.toml").title == "Mine"


@pytest.mark.parametrize("mode", ["on", "OFFLINE", "dryrun"])
def test_a_wrong_wandb_mode_of_the_environment(
    command: Command, spec: str, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    check(command, 2, f"WANDB_MODE is {mode!r}", "ekd-run", spec)


def test_an_exhibit_without_a_run_is_refused(command: Command) -> None:
    text = TABLE.replace('label = "ekd"', 'label = "ekd"\ncost = "params"')
    text = text.replace('label = "plain"', 'label = "plain"\nquoted = true')
    check(command, 2, "my: nothing to train", "ekd-run", "my.toml",
          prepare=holding("my.toml", text))  # fmt: skip


def test_nothing_to_teach_is_said(command: Command) -> None:
    text = TABLE.replace('"ekd" }', '"plain", recipe.epochs = 3 }')
    check(command, 2, "--only teachers: nothing here learns from another run", "ekd-run", "my.toml",
          "--only", "teachers", prepare=holding("my.toml", text))  # fmt: skip


PATHS = [
    ("gone.npz", "gone.npz' is missing"),
    ("~/x.npz", "~/x.npz' is missing"),
    ("a\\nb.npz", "a\\nb.npz' is missing"),
    ("a\\u0000b.npz", "is missing"),
    (".", "train is missing: an image folder has train/<class>/*"),
    ("empty.npz", "empty.npz"),
    ("text.npz", "text.npz"),
]


@pytest.mark.parametrize(("path", "text"), PATHS)
def test_a_data_path_that_holds_no_data(command: Command, path: str, text: str) -> None:
    holding("empty.npz", "")(Path())
    holding("text.npz", b"PK\x03\x04 is no archive")(Path())
    spec = TABLE.replace('data.name = "digits"', f'data.path = "{path}"')
    check(command, 4, text, "ekd-run", "my.toml", prepare=holding("my.toml", spec))


# As real processes


PROCESSES = [
    ("run", ["--nonsense"], 2, "--nonsense"),
    ("run", ["table9"], 2, "did you mean"),
    ("run", ["tiny.toml", "-s", "recipe.epoch=1"], 2, "did you mean 'recipe.epochs'?"),
    ("run", ["tiny.toml", "--root", "tiny.toml/x"], 4, "cannot write tiny.toml/x/store."),
    ("report", [], 2, "nothing was requested in runs"),
]


@pytest.mark.parametrize(("name", "arguments", "code", "text"), PROCESSES)
def test_a_wrong_input_of_a_real_process(
    tmp_path: Path, spec: str, name: str, arguments: list[str], code: int, text: str
) -> None:
    program = f"import sys; sys.argv[0] = 'ekd-{name}'; from ekd.cli.{name} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert text in sentence(Ended(done.returncode, done.stdout, done.stderr), code)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]
