"""What a training costs: operations as a multiple of another's, and seconds of an epoch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny
from planned import NOWHERE, derived

from ekd.cost import network_cost
from ekd.methods import discover
from ekd.plan import flatten, operations, sheets, training_macs, whole_operations
from ekd.report import Computed, EpochTime, collect, write
from ekd.spec import Run, SpecError
from ekd.store import Request, Store

IMAGES, EPOCHS = 50_000, 200
R8, R14, R26 = (network_cost(f"resnet{depth}", 1, 10, 32).macs for depth in (8, 14, 26))

ALONE14, ALONE26 = 3 * R14, 3 * R26
"""A teacher's own training."""
MULTIPLES = {
    "plain": 3 * R8,
    "hinton": 3 * R8 + R26 + ALONE26,
    "attention": 3 * R8 + R26 + ALONE26,
    "fitnet": 3 * R8 + R26 + ALONE26,  # the teacher is asked in both runs
    "fsp": 3 * R8 + 0.4 * R26 + ALONE26,  # only in the hint run
    "takd": 3 * R8 + R14 + (3 * R14 + R26) + ALONE26,
    "mutual": 3 * R8 + 3 * R26,
    "ekd": 3 * R8 + 3 * R26 + ALONE26,
    # Up to 64 of 128 images in three quarters of the epochs: ten steps of forward and the gradient
    # of the images, what the teacher says at the end, and the student's further step.
    "bss": 3 * R8 * (1 + 0.75 / 2) + R26 * (1 + 0.75 / 2 * (10 * 2 + 1)) + ALONE26,
}
"""Multiply-accumulates per training image and epoch with a ResNet26 teacher, by hand."""


def run_of(name: str, *more: str) -> Run:
    fair = ("data.name=cifar10", "recipe.name=fair", "teachers=resnet26", f"method.name={name}")
    return derived(*fair, *more)


def test_a_resnet8_costs_what_is_known_of_it() -> None:
    assert R8 == 12_501_632
    assert operations(run_of("plain"), NOWHERE) == 3 * 12_501_632 * 50_000 * 200


@pytest.mark.parametrize("name", sorted(discover()))
def test_each_methods_whole_training_is_counted(name: str) -> None:
    found = whole_operations(run_of(name), NOWHERE)
    assert found == pytest.approx(MULTIPLES[name] * IMAGES * EPOCHS, rel=1e-12)


def test_a_frozen_teacher_costs_one_pass() -> None:
    frozen = run_of("ekd", "method.teacher_update=frozen")
    assert operations(frozen, NOWHERE) == (3 * R8 + R26) * IMAGES * EPOCHS


def test_an_improved_teachers_run_counts_once_with_its_own_teacher() -> None:
    run = run_of("hinton", "teachers_from.name=ekd")
    expected = 3 * R8 + R26 + MULTIPLES["ekd"]
    assert whole_operations(run, NOWHERE) == pytest.approx(expected * IMAGES * EPOCHS)


def test_the_attack_counts_by_the_size_of_the_batch() -> None:
    small = run_of("bss", "recipe.batch_size=32")  # every image is attacked
    expected = 3 * R8 * 1.75 + R26 * (1 + 0.75 * 21)
    assert operations(small, NOWHERE) == pytest.approx(expected * IMAGES * EPOCHS)
    never = run_of("bss", "method.bss_start=0")
    assert operations(never, NOWHERE) == (3 * R8 + R26) * IMAGES * EPOCHS


def test_what_is_left_counts_evaluations_too() -> None:
    run = run_of("plain", "recipe.evaluations=10")
    whole = operations(run, NOWHERE) + 10 * 10_000 * R8
    assert training_macs(run, NOWHERE) == whole
    assert training_macs(run, NOWHERE, done_epochs=50) == pytest.approx(0.75 * whole)


SPEC = """
title = "Effort"
kind = "table"
compare = ["plain"]
[run]
data = {{ path = "{path}", resolution = 8 }}
teachers = "resnet14"
recipe = {{ epochs = 2, batch_size = 16, lr = 0.01, init = "kaiming" }}
[[rows]]
label = "plain"
set = {{ method.name = "plain" }}
[[rows]]
label = "fitnet"
set = {{ method.name = "fitnet" }}
[[rows]]
label = "ekd"
set = {{ method.name = "ekd" }}
[[columns]]
label = "accuracy"
[[columns]]
label = "training"
cost = "training"
[[columns]]
label = "seconds"
cost = "epoch"
"""


@pytest.fixture
def spec(tmp_path: Path, tiny_npz: Path) -> Path:
    path = tmp_path / "effort.toml"
    path.write_text(SPEC.format(path=tiny_npz))
    return path


def asked(spec: Path) -> Request:
    return Request(exhibits=(str(spec),), scale="paper", seeds=(0, 1))


def test_such_columns_train_nothing(spec: Path, tmp_path: Path) -> None:
    found = sheets(asked(spec), tmp_path)
    assert len(flatten(found)) == 2 * (1 + 1 + 2 + 1)
    assert {column for _, column in found[0].runs} == {0}
    assert {column for _, column in found[0].costed} == {1, 2}


def test_before_anything_is_trained_operations_are_there_and_seconds_are_not(
    spec: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "runs").open()
    store.add_request(asked(spec))
    (report,) = collect(store, [str(spec)], None, tmp_path)
    cells = report.sections[0].cells
    one, fitnet = cells[0, 1], cells[1, 1]
    assert isinstance(one, Computed)
    assert isinstance(fitnet, Computed)
    small8, small14 = (network_cost(f"resnet{depth}", 1, 3, 8).macs for depth in (8, 14))
    assert one.value == 1
    assert fitnet.value == pytest.approx((3 * small8 + small14 + 3 * small14) / (3 * small8))
    assert cells[2, 2] == EpochTime((), ())


def test_the_page_shows_both_with_what_they_rest_on(spec: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs").open()
    store.add_request(asked(spec))
    found = sheets(asked(spec), tmp_path)[0]
    for entry in flatten([found]):
        threads = 1 if entry.run.seed == 0 else 2
        store.folder(entry.run).write_provenance([{"device": "cpu", "threads": threads}])
        tiny.trained(entry.run, store)
    (report,) = collect(store, [str(spec)], None, tmp_path)
    plain, fitnet = (report.sections[0].cells[row, 2] for row in (0, 1))
    assert isinstance(plain, EpochTime)
    alone = [store.folder(run).history() for run in found.runs[0, 0]]
    assert plain.seconds == tuple((one["seconds"] + two["seconds"]) / 2 for one, two in alone)
    assert plain.machines == ("cpu, 1 thread", "cpu, 2 threads")
    main = found.runs[1, 0][0]
    assert main.start
    both = [
        line["seconds"] for run in (main.start.run, main) for line in store.folder(run).history()
    ]
    assert isinstance(fitnet, EpochTime)
    assert fitnet.seconds[0] == pytest.approx(sum(both) / len(both))
    written = write(report, tmp_path / "out")
    text = written.markdown.read_text()
    assert plain.mean is not None
    assert f"{plain.mean:.2f}" in text
    assert "multiples of those of plain" in text
    assert "(on cpu, 1 thread; cpu, 2 threads)" in text
    html = written.page.read_text()
    assert "timed while training" in html
    assert "in those that it learns from" in html
    rows = [line.split(",") for line in written.csv.read_text().splitlines()[1:]]
    seconds = next(row for row in rows if row[3:5] == ["plain", "seconds"])
    assert (seconds[5], seconds[7], seconds[8]) == ("measured", f"{plain.mean:.2f}", "2")
    assert re.search(r"\\textit\{1\.00\}", written.latex.read_text())


def test_a_table_without_such_columns_explains_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs").open()
    store.add_request(Request(exhibits=("table1",), scale="smoke", seeds=(0,)))
    (report,) = collect(store, ["table1"], None, tmp_path)
    written = write(report, tmp_path / "out")
    assert "whole training" not in written.markdown.read_text() + written.page.read_text()


def test_a_multiple_of_nothing_is_refused(spec: Path, tmp_path: Path) -> None:
    spec.write_text(spec.read_text().replace('compare = ["plain"]\n', ""))
    with pytest.raises(SpecError, match="name the row that is 1 in compare"):
        sheets(asked(spec), tmp_path)


def test_a_row_of_one_that_a_scale_leaves_out_is_told_of_before_anything_trains(
    spec: Path, tmp_path: Path
) -> None:
    deeper = '[[rows]]\nlabel = "{0}"\nset = {{ student.arch = "resnet{0}" }}\n'
    text = spec.read_text().replace('compare = ["plain"]', 'compare = ["38"]')
    spec.write_text(text + deeper.format(32) + deeper.format(38))
    with pytest.raises(SpecError, match="scale smoke leaves out the row '38'"):
        sheets(Request(exhibits=(str(spec),), scale="smoke", seeds=(0,)), tmp_path)
