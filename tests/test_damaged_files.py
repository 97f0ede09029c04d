"""A flipped bit, or an older version's file: refused, or trained again, never a wrong number."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import hardship
import pytest
import tiny
from command_line import Ended, Run
from hardship import Hardship
from trials import (
    EPOCHS,
    Reference,
    command,
    contents,
    sentence,
    undisturbed,
)

from ekd.cli import report

__all__ = ["undisturbed"]


@pytest.fixture(scope="module")
def finished(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two finished runs, and its report."""
    folder = tmp_path_factory.mktemp("finished")
    assert command(folder, tiny.write_spec(folder, tiny_npz, 2)).code == 0
    assert hardship.command(folder, "ekd-report", "--out", "pages").code == 0
    return folder


DAMAGE = {
    "result.json": (0, 4),
    "provenance.json": (0, 4),
    "history.jsonl": (0, 0),
    "weights.safetensors": (0, 0),
    "test_outputs.npz": (0, 0),
    "spec.json": (0, 0),
    "requests": (0, 4),
    "store.json": (4, 4),
}
"""Exit codes of ekd-run and ekd-report: what they do not read does not harm them."""


@pytest.mark.parametrize("part", [0.0, 0.37, 0.99])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_flipped_bit_never_shows_a_wrong_number(
    finished: Path,
    ekd_run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    part: float,
) -> None:
    shutil.copytree(finished / "runs", "runs")
    spec = str(finished / "tiny.toml")
    files = sorted(path for path in Path("runs").rglob("*") if name in str(path) and path.is_file())
    for path in files:
        content = bytearray(path.read_bytes())
        content[int(part * len(content))] ^= 1
        path.write_bytes(content)
    codes = DAMAGE[name]
    ended = ekd_run(spec, "--device", "cpu")
    assert (ended.code, "Traceback" in ended.err) == (codes[0], False)
    assert codes[0] == 0 or name in sentence(ended)
    monkeypatch.setattr(sys, "argv", ["ekd-report", "--out", "pages"])
    code: Any = 0
    try:
        report.main()
    except SystemExit as end:
        code = end.code
    said = Ended(code or 0, *capsys.readouterr())
    assert said.code == codes[1]
    if code:
        assert name in sentence(said)
        assert "delete" in said.err
    else:
        table = (finished / "pages" / "tiny.csv").read_text()
        assert Path("pages/tiny.csv").read_text() == table
    checked = ekd_run("--verify")
    assert checked.code == 4
    assert all(str(path.parent) in checked.out + checked.err for path in files)


def test_damaged_weights_of_a_teacher_stop_its_student(
    finished: Path, ekd_run: Run, tmp_path: Path
) -> None:
    shutil.copytree(finished / "runs", "runs")
    runs = tiny.two_runs(Path("runs"))
    shutil.rmtree(runs["ekd"].path)
    weights = runs["plain"].path / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    spec = str(finished / "tiny.toml")
    ended = ekd_run(spec, "--device", "cpu")
    told = f"{weights} is missing or damaged: delete {weights.parent} to train that run again"
    assert told in sentence(ended)
    shutil.rmtree(weights.parent)
    assert ekd_run(spec, "--device", "cpu").code == 0
    assert contents(tmp_path) == contents(finished)


@pytest.mark.parametrize("damaged", ["newest", "list", "all"])
def test_a_damaged_checkpoint_costs_epochs_but_no_bit(
    tiny_npz: Path, tmp_path: Path, undisturbed: Reference, damaged: str
) -> None:
    spec = tiny.write_spec(tmp_path, tiny_npz, EPOCHS)
    assert command(tmp_path, spec, hard=Hardship(full_at="weights")).code == 4
    (listed,) = (tmp_path / "runs").glob("*/checkpoint.json")
    slots = [listed.parent / slot["file"] for slot in json.loads(listed.read_text())["slots"]]
    for path in {"newest": slots[:1], "list": [listed], "all": slots}[damaged]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    ended = command(tmp_path, spec)
    assert ended.code == 0, ended.err
    assert ("resumed after" in ended.err) == (damaged == "newest")
    assert contents(tmp_path) == undisturbed(EPOCHS)


def test_a_store_of_an_older_version_is_shown(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "runs", tmp_path / "runs")
    for path in (tmp_path / "runs").glob("*/result.json"):
        result = json.loads(path.read_text())
        del result["checksum"]
        for name in ("spec.json", "provenance.json"):
            del result["files"][name]
        path.write_text(json.dumps(result))
    ended = hardship.command(tmp_path, "ekd-report", "--out", "pages")
    assert (ended.code, ended.err) == (0, "")
    table = (finished / "pages" / "tiny.csv").read_text()
    assert (tmp_path / "pages" / "tiny.csv").read_text() == table
