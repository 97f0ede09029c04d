"""Trouble with data and store ends with 4, and options reach what they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import Run


def test_trouble_with_the_data_ends_with_4(ekd_run: Run, spec: str, tiny_npz: Path) -> None:
    Path(spec).write_text(Path(spec).read_text().replace(str(tiny_npz), "/nowhere/x.npz"))
    ended = ekd_run(spec)
    assert ended.code == 4
    assert ended.err.startswith("Error: data.path '/nowhere/x.npz' is missing")
    assert ended.err.count("\n") == 1
    assert not Path("runs").exists()


def test_a_store_that_is_newer_or_cannot_be_written_ends_with_4(ekd_run: Run, spec: str) -> None:
    Path("new").mkdir()
    Path("new/store.json").write_text('{"format": 99}')
    ended = ekd_run(spec, "--root", "new")
    assert (ended.code, ended.err.count("\n")) == (4, 1)
    assert "newer ekd" in ended.err
    Path("file").touch()
    ended = ekd_run(spec, "--root", "file/runs")
    assert (ended.code, ended.err.count("\n")) == (4, 1)
    assert "cannot write" in ended.err


NAMED = """
title = "Named"
kind = "table"
[run]
data = { name = "digits", resolution = 8 }
recipe = { epochs = 1, batch_size = 16 }
[[rows]]
label = "1"
[[columns]]
label = "plain"
"""


def test_other_data_under_a_known_name_end_with_4(ekd_run: Run) -> None:
    Path("named.toml").write_text(NAMED)
    for seed, folder in enumerate(("one", "two")):
        Path(folder).mkdir()
        noise = np.random.default_rng(seed)
        np.savez(
            f"{folder}/digits.npz",
            train_images=noise.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8),
            train_labels=np.arange(20) % 10,
            test_images=noise.integers(0, 256, (10, 8, 8, 3), dtype=np.uint8),
            test_labels=np.arange(10),
        )
    assert ekd_run("named.toml", "--data-root", "one").code == 0
    ended = ekd_run("named.toml", "--data-root", "two", "--seeds", "1")
    assert ended.code == 4
    assert "digits here has the fingerprint" in ended.err
    assert ekd_run("named.toml", "--data-root", "two", "--root", "other").code == 0


def test_missing_data_stop_only_the_runs_that_need_them(ekd_run: Run) -> None:
    other = '[[columns]]\nlabel = "missing"\nset = { data.name = "tiny-imagenet" }\n'
    Path("two.toml").write_text(NAMED.replace("[[columns]]", other + "[[columns]]", 1))
    ended = ekd_run("two.toml")
    assert ended.code == 4
    assert "2 runs: 1 missing, 1 done" in ended.out
    assert ended.err.splitlines()[-1].startswith("Error: 1 run cannot start: Tiny ImageNet")


def test_a_fraction_that_lacks_a_class_is_a_fault_of_the_spec(ekd_run: Run) -> None:
    Path("named.toml").write_text(NAMED)
    ended = ekd_run("named.toml", "-s", "data.sampling=iid", "-s", "data.fraction=0.005")
    assert ended.code == 2
    assert "1 run cannot start: an iid fraction of 0.005 has no image" in ended.err


def test_an_override_may_be_of_the_method_that_another_one_chooses(ekd_run: Run) -> None:
    Path("named.toml").write_text(NAMED)
    texts = ["method.name=ekd", "method.beta=0.25", "teachers=resnet8"]
    options = [part for text in texts for part in ("-s", text)]
    ended = ekd_run("named.toml", "--plan", "--json", *options)
    assert '"beta": 0.25' in ended.out
    assert ended.code == 0


@pytest.mark.parametrize(
    "text", ["recipe.name=paper", "readings.name=torch2019", "teachers=resnet14", "teachers=T1"]
)
def test_where_meets_defaults_and_teachers_by_any_name(ekd_run: Run, text: str) -> None:
    spec = NAMED.replace(
        'label = "1"', 'label = "1"\nset = { method.name = "ekd", teachers = "T1" }'
    )
    Path("named.toml").write_text(spec)
    ended = ekd_run("named.toml", "--plan", "--where", text)
    assert (ended.code, ended.err) == (0, "")
