"""ekd-run as a person meets it: what it prints, what it touches, and what it ends with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import processes
import pytest
import tiny
from command_line import Ended, Run
from faulty import Faulty

import ekd
from ekd.cli import run as cli
from ekd.methods import discover
from ekd.spec import Recipe

ROOT = Path(ekd.__file__).parent.parent
PROGRAM = "from ekd.cli.run import main; main()"
LISTING = """
import sys
from ekd.cli.run import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_help_comes_at_once(tmp_path: Path) -> None:
    """It takes little more than Python, click and pydantic take; with torch it would be tenfold."""

    def seconds(program: str, *arguments: str) -> float:
        start = time.perf_counter()
        done = python("-c", program, *arguments, cwd=tmp_path)
        assert done.returncode == 0
        assert not arguments or "table1" in done.stdout
        return time.perf_counter() - start

    imports = "import click; from pydantic import BaseModel"
    pairs = [(seconds(PROGRAM, "--help"), seconds(imports)) for _ in range(3)]
    assert min(shown for shown, _ in pairs) < 3 * max(bare for _, bare in pairs)


def test_help_names_every_option_once_in_80_columns(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        capture_output=True,
        text=True,
    )
    options = [
        option for p in cli.command.params if isinstance(p, click.Option) for option in p.opts
    ]
    named = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  -")]
    assert sorted(named) == sorted([*options, "-h,"])
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    titles = [line for line in done.stdout.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles == [
        "Choose the runs:", "Take what a search found:", "Train them:",
        "Look, and train nothing:", "Places and output:",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"torch", "wandb", "optuna", "numpy", "ekd.methods"}),
        (["--list"], {"torch", "wandb", "optuna", "ekd.methods"}),
        (["--describe", "recipe"], {"wandb", "optuna", "sklearn", "matplotlib"}),
    ],
)
def test_what_is_not_needed_is_not_imported(
    tmp_path: Path, arguments: list[str], absent: set[str]
) -> None:
    done = python("-c", LISTING, *arguments, cwd=tmp_path)
    imported = set(done.stderr.split())
    assert "ekd.cli.run" in imported
    assert not imported & absent


def test_training_imports_wandb_and_optuna_in_no_process_of_its_own(
    tmp_path: Path, spec: str
) -> None:
    done = python("-c", LISTING, spec, "--only", "teachers", "--wandb", "disabled", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not set(done.stderr.split()) & {"wandb", "optuna", "matplotlib", "pandas"}


MODES = {
    "--list": [],
    "--describe": ["ekd"],
    "--plan": [],
    "--why": ["abcd"],
    "--check-data": ["digits"],
    "--verify": [],
}


@pytest.mark.parametrize("first", MODES)
@pytest.mark.parametrize("second", MODES)
def test_two_modes_do_not_go_together(ekd_run: Run, first: str, second: str) -> None:
    if first == second:
        return
    ended = ekd_run(first, *MODES[first], second, *MODES[second])
    assert (ended.code, ended.out) == (2, "")
    assert "do not go together: give one of them" in ended.err
    assert {first, second} <= set(ended.err.replace(",", "").split())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--list", "table1"], "--list takes only --json: leave the exhibits out"),
        (["--list", "--root", "x"], "--list takes only --json: leave --root out"),
        (["--describe", "ekd", "--seeds", "0"], "leave --seeds out"),
        (["--verify", "table1"], "--verify takes only --root and --json: leave the exhibits out"),
        (["--verify", "--retry"], "leave --retry out"),
        (["--check-data", "digits", "--scale", "smoke"],
         "--check-data takes only --root, --data-root and --json: leave --scale out"),
        (["--why", "abcd", "-s", "recipe.epochs=5"], "leave -s out, or name the exhibits"),
        (["--why", "abcd", "--workers", "2"], "--why without exhibits takes only --root"),
        (["--plan"], "name an exhibit"),
        (["--json"], "name an exhibit"),
        (["table1", "--workers", "0"], "--workers"),
        (["table1", "--workers", "two"], "--workers"),
    ],
)  # fmt: skip
def test_what_a_mode_would_not_heed_is_refused(
    ekd_run: Run, arguments: list[str], text: str
) -> None:
    ended = ekd_run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert text in ended.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(("given", "workers"), [([], 1), (["--workers", "3"], 3)])
def test_workers_come_to_those_who_train(
    ekd_run: Run, spec: str, monkeypatch: pytest.MonkeyPatch, given: list[str], workers: int
) -> None:
    seen = []
    monkeypatch.setattr(
        "ekd.cli.train.train", lambda request, options: seen.append(options.workers) or True
    )
    assert ekd_run(spec, *given).code == 0
    assert seen == [workers]


def test_list_names_every_exhibit_and_scale(ekd_run: Run) -> None:
    listed = ekd_run("--list")
    assert listed.code == 0
    for name in ("table1", "table2", "table3", "fig2", "fig5", "smoke", "reduced", "paper"):
        assert name in listed.out
    found = json.loads(ekd_run("--list", "--json").out)
    assert found["exhibits"]["table1"].startswith("Table 1")
    assert set(found["scales"]) == {"smoke", "reduced", "paper"}


def test_describe_shows_every_field_with_its_text(ekd_run: Run) -> None:
    parts = {"recipe": Recipe, **discover()}
    for name, part in parts.items():
        told = ekd_run("--describe", name)
        words = " ".join(told.out.split())
        for field, info in part.model_fields.items():
            assert info.description, f"{name}.{field} lacks its text"
            assert f"\n{field}" in told.out
            assert " ".join(info.description.split()) in words
        found = json.loads(ekd_run("--describe", name, "--json").out)
        assert set(found["fields"]) == set(part.model_fields)
    assert 'pairing = "aligned"' in ekd_run("--describe", "ekd").out


def test_describe_knows_its_names(ekd_run: Run) -> None:
    ended = ekd_run("--describe", "recipes")
    assert ended.code == 2
    assert "did you mean 'recipe'?" in ended.err


def test_the_plan_is_one_json_object_with_the_state_of_each_run(ekd_run: Run, spec: str) -> None:
    shown = ekd_run(spec, "--plan", "--json")
    assert shown.code == 0
    found = json.loads(shown.out)
    assert [run["state"] for run in found["runs"]] == ["missing", "missing"]
    teacher, student = found["runs"]
    assert student["parents"] == [teacher["key"]]
    assert len(teacher["asked_by"]) == 2  # its own cell, and the run that it teaches
    assert found["trainings_without_sharing"] == 3
    assert found["hours"] > 0
    assert not Path("runs").exists()
    text = ekd_run(spec, "--plan")
    assert teacher["key"] in text.out
    assert "2 runs (2 missing); without sharing they would be 3" in text.out
    assert not Path("runs").exists()


def test_all_done_ends_with_0_and_leaves_one_object_on_stdout(ekd_run: Run, spec: str) -> None:
    ended = ekd_run(spec, "--json")
    assert ended.code == 0
    runs = json.loads(ended.out)["runs"]
    assert [run["state"] for run in runs] == ["done", "done"]
    assert "[2/2]" in ended.err
    assert set(tiny.two_runs(Path("runs"))) == {"plain", "ekd"}
    planned = json.loads(ekd_run(spec, "--plan", "--json").out)
    assert [run["state"] for run in planned["runs"]] == ["done", "done"]
    assert planned["hours"] == 0
    again = ekd_run(spec)
    assert (again.code, again.err) == (0, "")
    assert again.out == f"2 runs: 2 done. To see them: ekd-report {Path(spec).resolve()}\n"
    assert len(list(Path("runs/requests").iterdir())) == 1


def test_only_teachers_trains_what_others_learn_from(ekd_run: Run, spec: str) -> None:
    ended = ekd_run(spec, "--only", "teachers")
    assert (ended.code, ended.out) == (
        0,
        f"1 run: 1 done. To see them: ekd-report {Path(spec).resolve()}\n",
    )
    assert set(tiny.two_runs(Path("runs"))) == {"plain"}


@pytest.mark.parametrize("diverges", ["false", "true"])
def test_a_failed_run_ends_with_1_until_it_is_tried_again(
    ekd_run: Run, spec: str, monkeypatch: pytest.MonkeyPatch, diverges: str
) -> None:
    for module in ("ekd.plan.derive", "ekd.plan.sheet"):
        extended = {**discover(), "faulty": Faulty}
        monkeypatch.setattr(sys.modules[module], "discover", lambda found=extended: found)
    broken = Path("broken").absolute()
    broken.touch()
    text = (
        Path(spec)
        .read_text()
        .replace(
            "[[columns]]",
            f'[[columns]]\nlabel = "faulty"\nset = {{ method = {{ name = "faulty", '
            f'broken = "{broken}", diverges = {diverges} }} }}\n[[columns]]',
            1,
        )
    )
    Path(spec).write_text(text)
    kind = "diverged" if diverges == "true" else "failed"
    ended = ekd_run(spec, "--json")
    states = [run["state"] for run in json.loads(ended.out)["runs"]]
    assert (ended.code, sorted(states)) == (1, sorted(["done", "done", kind]))
    assert "Traceback" not in ended.err
    assert ekd_run(spec).code == 1
    broken.unlink()
    assert ekd_run(spec).code == 1
    assert ekd_run(spec, "--retry").code == 0


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", (0,)), ("0-3", (0, 1, 2, 3)), ("0,2, 5", (0, 2, 5)), ("1-2,2-4", (1, 2, 3, 4)),
     ("7-7", (7,)), (None, None)],
)  # fmt: skip
def test_seeds_are_numbers_and_ranges(text: str | None, seeds: tuple[int, ...] | None) -> None:
    assert cli._seeds(text) == seeds


@pytest.mark.parametrize("text", ["-1", "1-", "1..3", "1;2", "0x1", "1-2-3", ","])
def test_anything_else_is_no_seed(text: str) -> None:
    with pytest.raises(click.UsageError, match="expected such as 0-4"):
        cli._seeds(text)


def planned(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    return list(json.loads(ended.out)["runs"])


def test_seeds_overrides_and_where_choose_the_runs(ekd_run: Run, spec: str) -> None:
    show = ["--plan", "--json"]
    runs = planned(ekd_run(spec, *show, "--seeds", "3-4", "-s", "recipe.lr=0.5"))
    assert [run["seed"] for run in runs] == [3, 4, 3, 4]
    assert {run["recipe"]["lr"] for run in runs} == {0.5}
    runs = planned(ekd_run(spec, *show, "--where", "method.name=plain"))
    assert [run["method"]["name"] for run in runs] == ["plain"]
    runs = planned(ekd_run(spec, *show, "-s", "method.temperature=4"))
    assert [run["method"].get("temperature") for run in runs] == [None, 4.0]


def wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kept_epochs(folder: Path) -> int:
    """Finished epochs of the only checkpointed run there."""
    lists = [json.loads(path.read_text()) for path in folder.glob("runs/*/checkpoint.json")]
    return max((slot["epochs"] for found in lists for slot in found["slots"]), default=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_with_3_and_the_same_command_goes_on(
    tmp_path: Path, tiny_npz: Path, number: signal.Signals
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, epochs=200)
    command = [str(spec), "--root", str(tmp_path / "runs"), "--wandb", "disabled", "--json"]
    process = processes.ekd_run(tmp_path, *command, "--device", "cpu")
    wait_for(lambda: kept_epochs(tmp_path) > 0)
    os.kill(process.pid or 0, number)
    assert processes.code(process) == 3
    said = (tmp_path / f"err-{process.pid}").read_text()
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert (tmp_path / f"out-{process.pid}").read_text() == ""
    assert not list(tmp_path.glob("runs/*/lease.json"))
    again = processes.ekd_run(tmp_path, *command, "--device", "cpu")
    said_again = tmp_path / f"err-{again.pid}"
    wait_for(lambda: said_again.exists() and "resumed after epoch" in said_again.read_text())
    os.kill(again.pid or 0, signal.SIGKILL)
    again.join()


@pytest.mark.slow
def test_the_installed_command_survives_kill_9(tmp_path: Path, tiny_npz: Path) -> None:
    """Fresh interpreters, as a user has them, and the real intervals between checkpoints."""
    program = shutil.which("ekd-run", path=str(Path(sys.executable).parent))
    start = [program] if program else [sys.executable, "-c", PROGRAM]
    spec = tiny.write_spec(tmp_path, tiny_npz, epochs=300)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"}
    command = [*start, str(spec), "--device", "cpu"]
    first = subprocess.Popen(
        [*command, "--root", "killed"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    while not list(tmp_path.glob("killed/*/checkpoint.json")):
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    first.wait()
    for root in ("killed", "whole"):
        done = subprocess.run([*command, "--root", root], cwd=tmp_path, env=environment)
        assert done.returncode == 0
    found, expected = (tiny.two_runs(tmp_path / root) for root in ("killed", "whole"))
    for method, folder in expected.items():
        assert tiny.content(found[method]) == tiny.content(folder)
    # Whichever run had a checkpoint was killed, and went on in a second session.
    assert sum(len(folder.provenance()) for folder in found.values()) == 2 + 1
