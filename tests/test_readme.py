"""What the README shows works as it stands there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from click.testing import CliRunner
from PIL import Image

import ekd.methods
from ekd.cli.run import command
from ekd.data import load
from ekd.spec import Data
from ekd.store import Store

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
QUICK = ["--wandb", "disabled", "-s", "recipe.epochs=1", "-s", "data.resolution=8"]


def block(language: str, number: int = 0) -> str:
    return str(re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)[number])


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """The README's spec beside a folder of three classes of tiny pictures."""
    pixels = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("daisy", "rose", "tulip"):
            folder = tmp_path / "flowers" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                picture = pixels.integers(0, 256, (9, 12, 3), dtype=np.uint8)
                Image.fromarray(picture).save(folder / f"{number}.png")
    (tmp_path / "my.toml").write_text(block("toml"), encoding="utf-8")
    return tmp_path


@pytest.fixture
def dropped_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The README's method as a file that methods are looked for in."""
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "of_the_readme.py").write_text(block("python", 1), encoding="utf-8")
    monkeypatch.setattr(ekd.methods, "__path__", [*ekd.methods.__path__, str(folder)])
    ekd.methods.discover.cache_clear()
    yield
    ekd.methods.discover.cache_clear()


def run(folder: Path, *options: str) -> dict[str, list[dict[str, str]]]:
    arguments = [str(folder / "my.toml"), "--root", str(folder / "runs"), "--json"]
    places = ["--data-root", str(folder / "data")]
    done = CliRunner().invoke(command, [*arguments, *places, *QUICK, *options])
    assert done.exit_code == 0, done.output
    found: dict[str, list[dict[str, str]]] = json.loads(done.stdout)
    return found


def test_the_spec_of_about_ten_lines_trains_on_an_image_folder(flowers: Path) -> None:
    assert len(block("toml").splitlines()) <= 11
    found = run(flowers)
    assert len(found["runs"]) == 5  # plain, ekd, and three teachers
    methods = [
        json.loads((flowers / "runs" / entry["key"] / "spec.json").read_text())["method"]
        for entry in found["runs"]
    ]
    assert sorted(method["name"] for method in methods) == ["ekd", *["plain"] * 4]


@pytest.mark.usefixtures("dropped_method")
def test_a_method_dropped_as_one_file_is_found_and_trains(flowers: Path) -> None:
    options = ["-s", "method.name=of_the_readme", "-s", "teachers=T1", "-s", "student.branches=1"]
    found = run(flowers, *options)
    histories = [(flowers / "runs" / e["key"] / "history.jsonl").read_text() for e in found["runs"]]
    assert any('"soft"' in history for history in histories)
    assert '"weight": 0.9' in "".join(
        (flowers / "runs" / e["key"] / "spec.json").read_text() for e in found["runs"]
    )


def test_a_complete_method_has_about_20_lines() -> None:
    assert len([line for line in block("python", 1).splitlines() if line.strip()]) <= 22


@pytest.mark.usefixtures("dropped_method")
def test_the_readmes_method_is_the_suites_own_with_its_defaults(
    tmp_path: Path, tiny_npz: Path
) -> None:
    store = Store(tmp_path).open()
    losses = []
    for name in ("of_the_readme", "hinton"):
        run = tiny.ekd(tiny.data(tiny_npz), epochs=1)
        run = run.model_copy(update={"method": ekd.methods.discover()[name]()})
        history = tiny.trained(run, store).history()
        losses.append((history[-1]["train_accuracy"], history[-1]["accuracy"], history[-1]["nll"]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_the_snippet_loads_a_student_that_gives_what_was_kept(flowers: Path) -> None:
    found = run(flowers)
    for key in (entry["key"] for entry in found["runs"]):
        folder, names = flowers / "runs" / key, {}
        exec(block("python").replace("runs/KEY", str(folder)), names)
        about, splits = (
            names["about"],
            load(
                Data.model_validate({"path": str(flowers / "flowers"), "resolution": 8}),
                flowers / "data",
            ),
        )
        mean, std = torch.tensor(about["mean"]), torch.tensor(about["std"])
        pixels = splits.test.images.permute(0, 3, 1, 2) / 255
        logits = names["net"]((pixels - mean[:, None, None]) / std[:, None, None]).logits
        kept = np.load(folder / "test_outputs.npz")["student.logits"]
        assert np.allclose(logits.detach().numpy(), kept, atol=1e-4)
        assert about["classes"] == ["daisy", "rose", "tulip"]
