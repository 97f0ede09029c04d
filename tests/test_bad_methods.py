"""Runs that diverge, and methods that break: recorded, and only their children are harmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import hardship
import pytest
import tiny
import torch
from hardship import Hardship
from trials import (
    EPOCHS,
    command,
    states,
    undisturbed,
)

__all__ = ["undisturbed"]


DIVERGING = '[[columns]]\nlabel = "{method} wild"\nset = {{ method.name = "{method}", {more} }}\n'


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_learning_rate_of_a_billion_diverges_and_harms_only_its_children(
    tiny_npz: Path, tmp_path: Path, optimizer: str
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, 1)
    more = f'recipe = {{ lr = 1e9, optimizer = "{optimizer}" }}'
    wild = "".join(DIVERGING.format(method=method, more=more) for method in ("plain", "ekd"))
    spec.write_text(spec.read_text().replace("[[columns]]", wild + "[[columns]]", 1))
    ended = command(tmp_path, spec)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "4 runs: 1 diverged, 1 blocked, 2 done" in ended.out or "1 blocked" in ended.out
    assert states(tmp_path) == {"plain 1e+09": "diverged", "plain 0.01": "done", "ekd 0.01": "done"}
    (failure,) = (tmp_path / "runs").glob("*/failure.json")
    assert json.loads(failure.read_text())["kind"] == "diverged"
    assert not (failure.parent / "result.json").exists()
    shown = hardship.command(tmp_path, "ekd-report")
    assert (shown.code, shown.err) == (0, "")
    assert "diverged" in (tmp_path / "runs" / "report" / "tiny.html").read_text()


METHOD = '''
from pathlib import Path
import torch
from ekd.methods import Method
from ekd.methods.plain import PlainObjective

class Mine(Method):
    """A method of a user."""

    def objective(self, student, teachers):
        return MineObjective(student, "sum")

class MineObjective(PlainObjective):
    def terms(self, batch, progress):
        logits, terms = super().terms(batch, progress)
        if Path("broken").exists():
            {statement}
        return logits, terms
'''

Breaks = Callable[[str], tuple[Path, Hardship]]


@pytest.fixture
def breaks(tiny_npz: Path, tmp_path: Path) -> Breaks:
    """A spec with a column of a user's own method, which does something while `broken` is there."""

    def write(statement: str) -> tuple[Path, Hardship]:
        folder = tmp_path / "methods"
        folder.mkdir()
        text = METHOD.replace("{statement}", statement)
        (folder / "mine.py").write_text(text, encoding="utf-8")
        spec = tiny.write_spec(tmp_path, tiny_npz, EPOCHS)
        own = '[[columns]]\nlabel = "mine"\nset = { method.name = "mine", teachers = [] }\n'
        spec.write_text(spec.read_text().replace("[[columns]]", own + "[[columns]]", 1))
        (tmp_path / "broken").touch()
        return spec, Hardship(methods=str(folder))

    return write


OTHERS = {"plain 0.01": "done", "ekd 0.01": "done"}
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("statement", "kind", "message"),
    [
        ("raise ValueError('two\\nlines')", "failed", "ValueError"),
        ("raise MemoryError", "failed", "the machine ran out of memory: "),
        pytest.param("self.terms(batch, progress)", "failed", "RecursionError", marks=SLOW),
        pytest.param("raise StopIteration", "failed", "StopIteration", marks=SLOW),
        ("terms = {'ce': logits.sum() * float('nan')}", "diverged", "the loss is nan"),
    ],
)  # fmt: skip
def test_a_method_that_breaks_is_recorded_and_tried_again_on_demand(
    breaks: Breaks, tmp_path: Path, statement: str, kind: str, message: str
) -> None:
    spec, hard = breaks(statement)
    for _ in range(2):  # without --retry it stays as it is
        ended = command(tmp_path, spec, hard=hard)
        assert ended.code == 1
        assert f"1 {kind}" in ended.out
        assert "Traceback" not in ended.err
        assert states(tmp_path) == OTHERS | {"mine 0.01": kind}
        (path,) = (tmp_path / "runs").glob("*/failure.json")
        failure = json.loads(path.read_text())
        assert message in failure["message"]
        assert (kind == "diverged") != ("mine.py" in failure["traceback"])
    (tmp_path / "broken").unlink()
    assert command(tmp_path, spec, "--retry", hard=hard).code == 0
    assert states(tmp_path) == OTHERS | {"mine 0.01": "done"}
    assert not list((tmp_path / "runs").glob("*/failure.json"))


def test_outputs_that_are_not_finite_in_evaluation_alone_are_no_result(
    breaks: Breaks, tmp_path: Path
) -> None:
    spec, hard = breaks(
        "[m.running_mean.data.fill_(-3e38) for m in self.student.modules()"
        " if isinstance(m, torch.nn.BatchNorm2d)]"
    )
    assert command(tmp_path, spec, hard=hard).code == 1
    assert states(tmp_path) == OTHERS | {"mine 0.01": "diverged"}
    (path,) = (tmp_path / "runs").glob("*/failure.json")
    told = json.loads(path.read_text())["message"]
    assert told == "the outputs on images that are evaluated are not finite"


def test_the_last_finite_checkpoint_of_a_diverged_run_is_kept(
    breaks: Breaks, tmp_path: Path
) -> None:
    spec, hard = breaks("terms = {'ce': logits.sum() * (float('nan') if progress > 0.6 else 1)}")
    assert command(tmp_path, spec, hard=hard).code == 1
    (listed,) = (tmp_path / "runs").glob("*/checkpoint.json")
    newest = json.loads(listed.read_text())["slots"][0]["file"]
    kept = torch.load(listed.parent / newest, weights_only=True)
    assert kept["epoch"] >= 1
    assert all(value.isfinite().all() for value in kept["objective"].values())


@pytest.mark.parametrize(
    ("statement", "code"), [("raise KeyboardInterrupt", 3), ("import os; os._exit(9)", 9)]
)
def test_a_method_that_ends_the_process_costs_only_its_own_run(
    breaks: Breaks, tmp_path: Path, statement: str, code: int
) -> None:
    spec, hard = breaks(statement)
    assert command(tmp_path, spec, hard=hard).code == code
    assert not list((tmp_path / "runs").glob("*/failure.json"))
    (tmp_path / "broken").unlink()
    assert command(tmp_path, spec, hard=hard).code == 0
    assert states(tmp_path) == OTHERS | {"mine 0.01": "done"}


@pytest.mark.parametrize("statement", ["raise SystemExit(0)", "raise SystemExit(7)"])
def test_a_method_that_calls_exit_has_failed(
    breaks: Breaks, tmp_path: Path, statement: str
) -> None:
    spec, hard = breaks(statement)
    assert command(tmp_path, spec, hard=hard).code == 1
    assert states(tmp_path) == OTHERS | {"mine 0.01": "failed"}
