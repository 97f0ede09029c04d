from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from mirrored_run import (
    ABOUT,
    KEY,
    RESULT,
    alive,
    end,
    epochs_on_disk,
    eventually,
    flat,
    line,
    logged,
    only_segment,
    prepare,
    process_id,
    segments,
    train,
)
from wandb_reader import read

from ekd.spec.errors import SpecError
from ekd.tracking import About, Mirror, resolve_mode
from ekd.tracking.history import Tail, numbers, outcome
from ekd.tracking.segment import Segment, unsynced


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return prepare(tmp_path, monkeypatch)


def test_a_growing_history_is_mirrored_while_it_grows(root: Path) -> None:
    temporary = set(Path("/tmp").glob("tmp*wandb-*"))
    with Mirror(root, "offline") as mirror:
        mirror.start(KEY, ABOUT)
        train(root, range(1, 4))
        eventually(lambda: epochs_on_disk(root) == 3)
        with (root / KEY / "history.jsonl").open("a") as file:
            file.write(json.dumps(line(4))[:20])
            file.flush()
            time.sleep(0.5)
            file.write(json.dumps(line(4))[20:] + "\n")
        eventually(lambda: epochs_on_disk(root) == 4)
        train(root, range(5, 8))
        end(root, "result.json", RESULT)
        mirror.finish(KEY)
        assert mirror.close(timeout=60) == []
    contents = only_segment(root)
    assert logged(contents) == [flat(epoch) for epoch in range(1, 8)]
    assert (contents.id, contents.project, contents.name) == (KEY, "ekd", ABOUT.name)
    assert (contents.group, contents.job_type) == (ABOUT.group, "student")
    assert sorted(contents.tags) == sorted(ABOUT.tags)
    assert contents.config.items() >= ABOUT.config.items()
    expected = {
        "status": "done",
        "accuracy": 0.625,
        "nll": 1.25,
        "ece": 0.03,
        "branch_accuracy/0": 0.5,
        "branch_accuracy/1": 0.5625,
        "teacher-1/accuracy": 0.75,
    }
    assert contents.summary.items() >= expected.items()
    assert contents.exit_code == 0
    assert contents.step_metrics["*"] == "epoch"
    assert list((root.parent / "home").iterdir()) == []
    assert set(Path("/tmp").glob("tmp*wandb-*")) == temporary
    assert list(Path("/tmp").glob(f"wandb-{process_id(mirror)}-*")) == []
    assert [path.name for path in (root / "wandb").iterdir()] == [segments(root)[0].name]


def test_two_runs_at_once_stay_apart(root: Path) -> None:
    other = "f" * 16
    (root / other).mkdir()
    with Mirror(root, "offline") as mirror:
        mirror.start(KEY, ABOUT)
        mirror.start(other, About(other, "g", "teacher", "t", (), {}))
        train(root, range(1, 3))
        train(root, range(5, 9), other)
        end(root, "failure.json", {"kind": "diverged", "message": "loss is inf", "traceback": ""})
        mirror.finish(KEY)
        mirror.finish(other)
        assert mirror.close(timeout=60) == []
    both = {
        path.name.rsplit("-", 1)[1]: read(next(path.glob("*.wandb"))) for path in segments(root)
    }
    assert [row["epoch"] for row in logged(both[KEY])] == [1, 2]
    assert [row["epoch"] for row in logged(both[other])] == [5, 6, 7, 8]
    assert (both[KEY].summary["status"], both[KEY].exit_code) == ("diverged", 1)
    assert both[other].job_type == "teacher"


def test_after_a_kill_the_fresh_segment_replays_everything_and_replaces_the_old(root: Path) -> None:
    first = Mirror(root, "offline")
    first.start(KEY, ABOUT)
    train(root, range(1, 6))
    eventually(lambda: epochs_on_disk(root) == 5)
    killed = process_id(first)
    os.kill(killed, signal.SIGKILL)
    (problem,) = first.close()
    assert KEY in problem
    assert "ended early" in problem
    (old,) = segments(root)
    # The trainer goes on from its checkpoint after epoch 3 and writes epoch 4 again.
    lines = (root / KEY / "history.jsonl").read_text().splitlines(keepends=True)
    (root / KEY / "history.jsonl").write_text("".join(lines[:3]))
    with Mirror(root, "offline") as second:
        second.start(KEY, ABOUT)
        train(root, range(4, 8))
        end(root, "result.json", RESULT)
        second.finish(KEY)
        assert second.close(timeout=60) == []
    assert not old.exists()
    assert logged(only_segment(root)) == [flat(epoch) for epoch in range(1, 8)]


def test_any_path_will_do_for_a_store_also_one_too_long_for_a_socket(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    store = Path("a b", "ü 数据 '\"$(x)", "x" * 120)
    (store / KEY).mkdir(parents=True)
    with Mirror(store, "offline") as mirror:
        mirror.start(KEY, ABOUT)
        train(store, range(1, 3))
        eventually(lambda: epochs_on_disk(store) == 2)
        assert len(list(mirror.scratch.glob("tmp/wandb-*/socket"))) == 1
        assert list(Path("/tmp").glob(f"wandb-{process_id(mirror)}-*")) == []
        mirror.finish(KEY)
        assert mirror.close(timeout=60) == []
    assert logged(only_segment(store)) == [flat(1), flat(2)]
    assert {path.name for path in root.iterdir()} == {KEY, "a b"}
    assert all(path.exists() for path in store.rglob("*"))  # no link leads nowhere


def test_no_epoch_is_logged_twice_or_to_a_server_that_has_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    run = SimpleNamespace(
        resumed=True,
        step=3,  # the server holds steps up to 2
        define_metric=lambda *names, **options: None,
        log=lambda row, step, commit: steps.append(step),
    )
    wandb = SimpleNamespace(Settings=dict, init=lambda **options: run)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    train(root, range(1, 6))
    segment = Segment(root, asdict(ABOUT), "online")
    segment.follow()
    assert steps == [3, 4, 5]
    (root / KEY / "history.jsonl").write_text("")
    train(root, range(1, 5))
    segment.follow()
    train(root, range(5, 7))
    segment.follow()
    assert steps == [3, 4, 5, 6]


def test_synced_segments_and_those_of_other_runs_are_left_alone(tmp_path: Path) -> None:
    names = [f"20260101_000000-{KEY}", f"20260101_000000-{KEY}-1", f"20260101_000001-{KEY}"]
    names += ["20260101_000000-other", f"20260101_000000-{KEY}0"]
    folders = [tmp_path / f"offline-run-{name}" for name in names]
    for folder in folders:
        folder.mkdir()
    (folders[2] / f"run-{KEY}.wandb.synced").touch()
    assert sorted(unsynced(tmp_path, KEY)) == folders[:2]


def test_a_killed_trainer_leaves_an_interrupted_run_and_no_process(root: Path) -> None:
    train(root, range(1, 4))
    script = f"""
import os, signal, sys
from pathlib import Path
from ekd.tracking import About, Mirror
mirror = Mirror(Path({str(root)!r}), "offline")
mirror.start({KEY!r}, About({KEY!r}, "g", "student", "n", (), {{}}))
print(mirror.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    trainer = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    eventually(lambda: not alive(int(trainer.stdout)))
    contents = only_segment(root)
    assert [row["epoch"] for row in logged(contents)] == [1, 2, 3]
    assert contents.summary["status"] == "interrupted"
    assert [path.name for path in (root / "wandb").iterdir()] == [segments(root)[0].name]


def test_the_flag_overrules_the_variable_and_offline_is_the_default() -> None:
    assert resolve_mode(None, {}) == "offline"
    assert resolve_mode(None, {"WANDB_MODE": ""}) == "offline"
    assert resolve_mode(None, {"WANDB_MODE": "online"}) == "online"
    assert resolve_mode("disabled", {"WANDB_MODE": "online"}) == "disabled"
    with pytest.raises(SpecError, match=r"--wandb is 'ofline' \(did you mean 'offline'\?\)"):
        resolve_mode("ofline", {})
    with pytest.raises(SpecError, match="WANDB_MODE is 'dryrun'"):
        resolve_mode(None, {"WANDB_MODE": "dryrun"})


def test_numbers_get_flat_names_and_anything_else_is_left_out() -> None:
    nested = {"a": {"b": [1, {"c": 2.5}]}, "text": "x", "true": True, "none": None}
    assert dict(numbers(nested)) == {"a/b/0": 1, "a/b/1/c": 2.5}


def test_a_tail_starts_again_when_the_file_shrinks_or_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    tail = Tail(path)
    assert tail.read() == []
    path.write_text('{"epoch": 1}\n{"epoch": 2}\n{"ep')
    assert tail.read() == [{"epoch": 1}, {"epoch": 2}]
    assert tail.read() == []
    with path.open("r+") as file:
        file.truncate(13)
    assert tail.read() == [{"epoch": 1}]
    (tmp_path / "new").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n')
    (tmp_path / "new").replace(path)
    assert tail.read() == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}]


def test_a_result_outranks_an_earlier_failure(tmp_path: Path) -> None:
    assert outcome(tmp_path) == {"status": "interrupted"}
    (tmp_path / "failure.json").write_text('{"kind": "failed"}')
    assert outcome(tmp_path) == {"status": "failed"}
    (tmp_path / "result.json").write_text('{"accuracy": 0.5}')
    assert outcome(tmp_path) == {"status": "done", "accuracy": 0.5}
