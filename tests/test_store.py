"""The store: whatever happens while it writes, what it gives back is whole or refused."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import tiny

from ekd.spec import EnvironmentProblem
from ekd.store import Request, RunFolder, Store, read_json, sha256, write_atomic, write_json


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path, "0123456789abcdef")
    made.write_spec({"seed": 0})
    return made


@pytest.fixture(scope="module")
def done(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = tiny.plain(tiny.data(tiny_npz), epochs=2)
    return tiny.trained(run, Store(tmp_path_factory.mktemp("done")).open())


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("when", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(when, full)
    with pytest.raises(EnvironmentProblem, match=r"cannot write .*No space left.*--root"):
        write_atomic(path, b"new content")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_is_interrupted_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", b"content")
    assert list(tmp_path.iterdir()) == []


def test_the_content_is_on_disk_before_the_name_points_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    flush, replace = os.fsync, Path.replace

    def noted_flush(handle: int) -> None:
        events.append("flush")
        flush(handle)

    def noted_replace(path: Path, target: Path) -> Path:
        events.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_replace)
    digest = write_atomic(tmp_path / "file", b"content")
    assert events == ["flush", "rename", "flush"]  # the file, then the folder that names it
    assert digest == sha256(tmp_path / "file")


def test_json_that_is_damaged_or_not_finite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1')
    with pytest.raises(EnvironmentProblem, match="damaged"):
        read_json(tmp_path / "x.json", "delete it")
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "y.json", {"nll": float("nan")})
    assert not (tmp_path / "y.json").exists()


def test_a_torn_last_line_of_the_history_is_left_out_and_cut(folder: RunFolder) -> None:
    for epoch in (1, 2):
        folder.append_history({"epoch": epoch})
    path = folder.path / "history.jsonl"
    path.write_text(path.read_text() + '{"epoch": 3, "lo')
    assert [line["epoch"] for line in folder.history()] == [1, 2]
    assert folder.cut_history(2) == 2
    folder.append_history({"epoch": 3})
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_epochs_after_the_checkpoint_are_cut(folder: RunFolder) -> None:
    for epoch in (1, 2, 3):
        folder.append_history({"epoch": epoch})
    assert folder.cut_history(1) == 1
    assert folder.history() == [{"epoch": 1}]


def test_the_newest_undamaged_checkpoint_is_read(folder: RunFolder) -> None:
    assert folder.read_checkpoint() is None
    for content in (b"one", b"two", b"three"):
        folder.write_checkpoint(content)
        assert folder.read_checkpoint() == content
    files = {path.read_bytes(): path for path in folder.path.glob("checkpoint-*.pt")}
    assert set(files) == {b"two", b"three"}  # two slots
    files[b"three"].write_bytes(b"thrEe")
    assert folder.read_checkpoint() == b"two"
    files[b"two"].unlink()
    assert folder.read_checkpoint() is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_checkpoint(b"one")
    folder.write_checkpoint(b"two")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentProblem):
        folder.write_checkpoint(b"three")
    monkeypatch.undo()
    assert folder.read_checkpoint() == b"two"


def test_a_checkpoint_that_reads_back_wrong_is_not_taken_for_the_newest(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_checkpoint(b"one")
    monkeypatch.setattr("ekd.store.run_folder.sha256", lambda _: "0" * 64)
    with pytest.raises(EnvironmentProblem, match="check the disk"):
        folder.write_checkpoint(b"two")
    monkeypatch.undo()
    assert folder.read_checkpoint() == b"one"


def test_the_result_is_written_last(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.append_history({"epoch": 1})
    folder.write_checkpoint(b"state")
    written: list[str] = []

    def noted(path: Path, content: bytes) -> str:
        written.append(path.name)
        assert folder.status() == "partial"
        return write_atomic(path, content)

    monkeypatch.setattr("ekd.store.run_folder.write_atomic", noted)
    monkeypatch.setattr("ekd.store.files.write_atomic", noted)
    (folder.path / ".checkpoint-a.pt.1.tmp").write_bytes(b"left by a killed process")
    folder.write_outputs({"weights.safetensors": b"w", "test_outputs.npz": b"o"}, {"accuracy": 1})
    assert written == ["weights.safetensors", "test_outputs.npz", "result.json"]
    assert folder.status() == "done"
    kept = {"spec.json", "history.jsonl", "result.json", "weights.safetensors", "test_outputs.npz"}
    assert {path.name for path in folder.path.iterdir()} == kept


def test_a_flipped_byte_of_any_file_is_found(done: RunFolder) -> None:
    for name in ("weights.safetensors", "test_outputs.npz", "history.jsonl"):
        path = done.path / name
        whole = path.read_bytes()
        assert done.read_output(name) == whole
        path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        with pytest.raises(EnvironmentProblem, match=r"missing or damaged: delete .* to train"):
            done.read_output(name)
        path.write_bytes(whole)
    assert set(done.result()["files"]) == {"weights.safetensors", "test_outputs.npz",
                                           "history.jsonl"}  # fmt: skip


def test_a_missing_file_of_a_finished_run_is_told(done: RunFolder, tmp_path: Path) -> None:
    (done.path / "weights.safetensors").rename(tmp_path / "away")
    with pytest.raises(EnvironmentProblem, match="missing or damaged"):
        done.read_output("weights.safetensors")
    (tmp_path / "away").rename(done.path / "weights.safetensors")


def test_the_states_of_a_run(folder: RunFolder) -> None:
    assert folder.status() == "missing"
    folder.write_checkpoint(b"state")
    assert folder.status() == "partial"
    folder.write_failure("diverged", "the loss is nan", "")
    assert folder.status() == "diverged"
    folder.write_failure("failed", "KeyError", "Traceback")
    assert folder.status() == "failed"
    assert folder.failure() == {"kind": "failed", "message": "KeyError", "traceback": "Traceback"}
    folder.forget_failure()
    assert folder.status() == "partial"


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs").open()
    store.open()
    write_json(tmp_path / "runs" / "store.json", {"format": 2})
    with pytest.raises(EnvironmentProblem, match="newer ekd"):
        store.open()
    write_json(tmp_path / "runs" / "store.json", {"name": "another tool's"})
    with pytest.raises(EnvironmentProblem, match="choose another --root"):
        store.open()


def test_a_store_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        Store(tmp_path / "file" / "runs").open()


def test_other_data_under_the_same_name_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    store.check_data("digits", "aaaa")
    store.check_data("cifar10", "bbbb")
    store.check_data("digits", "aaaa")
    with pytest.raises(EnvironmentProblem, match=r"digits here has the fingerprint cccc.*aaaa"):
        store.check_data("digits", "cccc")
    store.check_data("digits", "aaaa")
    store.check_data("cifar10", "bbbb")


def test_a_request_is_kept_once_and_in_the_order_of_asking(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    assert store.requests() == []
    asked = [
        Request(exhibits=("table1",), scale="smoke"),
        Request(exhibits=("table1",), scale="smoke", seeds=(0, 1)),
        Request(exhibits=("table1",), scale="paper", overrides=("recipe.epochs=5",)),
    ]
    for number, request in enumerate([*asked, asked[0]]):
        store.add_request(request)
        for path in (tmp_path / "requests").iterdir():
            if path.stat().st_mtime > 1000:
                os.utime(path, (number, number))
    assert store.requests() == asked
    (tmp_path / "requests" / "x.json").write_text('{"exhibits": 5}')
    with pytest.raises(EnvironmentProblem, match="is not a request"):
        store.requests()
