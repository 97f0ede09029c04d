"""The store: whatever happens while it writes, what it gives back is whole or refused."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny

from ekd.spec import EnvironmentProblem
from ekd.store import Request, RunFolder, Store, read_json, sha256, write_atomic, write_json
from ekd.store.store import request_name


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
    folder.cut_history(2)
    folder.append_history({"epoch": 3})
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_epochs_after_the_checkpoint_are_cut(folder: RunFolder) -> None:
    for epoch in (1, 2, 3):
        folder.append_history({"epoch": epoch})
    folder.cut_history(1)
    assert folder.history() == [{"epoch": 1}]
    with pytest.raises(EnvironmentProblem, match=r"history.jsonl .* lacks epochs .*: delete"):
        folder.cut_history(2)


def test_a_history_that_is_not_the_checkpoints_is_refused(folder: RunFolder) -> None:
    folder.append_history({"epoch": 1, "loss": 0.25})
    folder.write_checkpoint(b"state")
    path = folder.path / "history.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0.25", b"0.24"))
    with pytest.raises(EnvironmentProblem, match=r"history.jsonl is damaged .*: delete"):
        folder.cut_history(1)
    path.write_bytes(whole)
    folder.cut_history(1)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("tail", [b'{"epoch": 2}', b"\xff\xfe\n", b"7\n", b'{"epoch": 3}\n'])
def test_a_history_ends_where_a_line_is_torn_damaged_or_out_of_turn(
    folder: RunFolder, tail: bytes
) -> None:
    folder.append_history({"epoch": 1})
    path = folder.path / "history.jsonl"
    path.write_bytes(path.read_bytes() + tail)
    assert folder.history() == [{"epoch": 1}]


def test_a_damaged_history_of_a_finished_run_is_not_read(folder: RunFolder) -> None:
    folder.append_history({"epoch": 1, "loss": 0.25})
    folder.write_outputs({}, {"accuracy": 1})
    path = folder.path / "history.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.25", b"0.24"))
    with pytest.raises(EnvironmentProblem, match=r"history\.jsonl is missing or damaged"):
        folder.history()


def test_a_spec_that_is_not_the_runs_is_written_again(folder: RunFolder) -> None:
    path = folder.path / "spec.json"
    before = path.stat().st_mtime_ns, path.read_bytes()
    folder.write_spec({"seed": 0})
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    for damaged in ('{"seed": 1}', '{"seed": 0', ""):
        path.write_text(damaged)
        folder.write_spec({"seed": 0})
        assert path.read_bytes() == before[1]


def test_the_newest_undamaged_checkpoint_is_read(folder: RunFolder) -> None:
    assert folder.read_checkpoint() is None
    for content in (b"one", b"two", b"three"):
        folder.write_checkpoint(content)
        assert folder.read_checkpoint() == content
    files = {path.read_bytes(): path for path in folder.path.glob("checkpoint-*.pt")}
    assert set(files) == {b"two", b"three"}
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
    monkeypatch.setattr("ekd.store.checkpoints.sha256", lambda _: "0" * 64)
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

    monkeypatch.setattr("ekd.store.guarded.write_atomic", noted)
    monkeypatch.setattr("ekd.store.files.write_atomic", noted)
    (folder.path / ".checkpoint.json.1.tmp").write_bytes(b"left by a killed process")
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
                                           "history.jsonl", "spec.json"}  # fmt: skip


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


def test_a_result_that_was_changed_is_refused_and_one_without_a_checksum_is_older(
    folder: RunFolder,
) -> None:
    folder.append_history({"epoch": 1})
    folder.write_outputs({}, {"accuracy": 0.5})
    path = folder.path / "result.json"
    whole = path.read_text()
    assert folder.result()["accuracy"] == 0.5
    renamed = whole.replace('"checksum"', '"checksun"')
    for damaged in (whole.replace("0.5", "0.6"), renamed, whole.replace("{", "[", 1)):
        path.write_text(damaged)
        with pytest.raises(EnvironmentProblem, match=r"result.json is damaged.*: delete .* again"):
            folder.result()
    older = json.loads(whole)
    del older["checksum"]
    path.write_text(json.dumps(older))
    assert folder.result() == older


def test_what_a_killed_process_left_is_noticed_and_removed(folder: RunFolder) -> None:
    assert not RunFolder(folder.path, "nowhere").leftovers()
    folder.append_history({"epoch": 1})
    folder.write_checkpoint(b"state")
    folder.write_failure("failed", "no", "")
    assert not folder.leftovers()  # they are needed
    (folder.path / ".weights.safetensors.1.tmp").write_bytes(b"half")
    assert folder.leftovers()
    folder.tidy()
    assert folder.status() == "failed"
    assert folder.read_checkpoint() == b"state"
    assert not folder.leftovers()
    needed = {p.name: p.read_bytes() for p in folder.path.iterdir() if p.name != "history.jsonl"}
    folder.write_outputs({}, {})
    kept = {path.name for path in folder.path.iterdir()}
    for name, content in needed.items():
        if name in kept:
            continue
        (folder.path / name).write_bytes(content)
        assert folder.leftovers(), name
        folder.tidy()
        assert not folder.leftovers()
        assert {path.name for path in folder.path.iterdir()} == kept


READERS = {
    *("again", "check_history", "check_output", "checkpoints", "failure", "guard", "history"),
    *("kept", "key", "leftovers", "path", "provenance", "read_checkpoint", "read_output"),
    *("result", "status"),
}
WRITERS: dict[str, tuple[Any, ...]] = {
    "append_history": ({"epoch": 2},),
    "cut_history": (0,),
    "forget_failure": (),
    "tidy": (),
    "write_checkpoint": (b"new",),
    "write_failure": ("failed", "no", ""),
    "write_outputs": ({"weights.safetensors": b"w"}, {"accuracy": 1}),
    "write_provenance": ([{"start": "now"}],),
    "write_spec": ({"seed": 1},),
}


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_written_once_the_guard_raises(folder: RunFolder, name: str) -> None:
    def lost() -> None:
        raise PermissionError("the lease is lost")

    folder.append_history({"epoch": 1})
    folder.write_failure("failed", "no", "")
    folder.write_checkpoint(b"one")
    (folder.path / ".result.json.1.tmp").write_bytes(b"half")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.path.iterdir()}
    folder.guard = lost
    with pytest.raises(PermissionError, match="lease"):
        getattr(folder, name)(*WRITERS[name])
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.path.iterdir()}
    assert after == before
    assert {n for n in dir(folder) if not n.startswith("_")} == {*READERS, *WRITERS}


def test_a_lease_that_is_lost_while_the_end_is_written_leaves_no_result(
    folder: RunFolder,
) -> None:
    folder.append_history({"epoch": 1})
    allowed = iter([None])  # the weights; by then another process has the run

    def lost() -> None:
        try:
            next(allowed)
        except StopIteration:
            raise PermissionError from None

    folder.guard = lost
    with pytest.raises(PermissionError):
        folder.write_outputs({"weights.safetensors": b"w", "test_outputs.npz": b"o"}, {})
    assert folder.status() == "missing"
    assert not (folder.path / "test_outputs.npz").exists()


def test_a_failure_that_another_process_forgets_meanwhile_is_none(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = RunFolder.failure

    def forgotten(self: RunFolder) -> dict[str, str]:
        self.forget_failure()
        return failure(self)

    folder.write_failure("failed", "no", "")
    monkeypatch.setattr(RunFolder, "failure", forgotten)
    assert folder.status() == "missing"


def test_a_damaged_reason_for_a_failure_is_one_sentence(folder: RunFolder) -> None:
    folder.write_failure("failed", "KeyError", "Traceback")
    path = folder.path / "failure.json"
    path.write_text(path.read_text().replace('"kind"', '"kine"'))
    with pytest.raises(EnvironmentProblem, match="damaged: delete that file to try the run again"):
        folder.status()
    path.write_text('{"kind": "failed", "message": "KeyError", "traceback": ""}')  # an older ekd's
    assert folder.status() == "failed"


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


def test_a_damaged_fingerprint_is_not_taken_for_other_data(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    store.check_data("digits", "aaaa")
    path = tmp_path / "data" / "digits.json"
    path.write_text(path.read_text().replace("aaaa", "aaab"))
    with pytest.raises(EnvironmentProblem, match="damaged: delete that file, it is written again"):
        store.check_data("digits", "aaaa")
    path.write_text('{"fingerprint": "aaaa"}')  # as an older ekd wrote it
    store.check_data("digits", "aaaa")


def _see(root: str, name: str, rounds: int) -> None:
    """Be, at one instant with others, the first to see each of many data sets."""
    accepted = []
    for number in range(rounds):
        processes.meet(Path(root), f"{number}", name, 2)
        with contextlib.suppress(EnvironmentProblem):
            Store(Path(root) / "runs").check_data(f"data-{number}", f"fingerprint-{name}")
            accepted.append(number)
    (Path(root) / f"accepted-{name}").write_text(json.dumps(accepted))


def test_of_several_that_see_other_data_first_at_one_instant_exactly_one_is_accepted(
    tmp_path: Path,
) -> None:
    rounds = 15
    Store(tmp_path / "runs").open()
    seeing = [processes.start(_see, str(tmp_path), name, rounds) for name in "ab"]
    assert [processes.code(process) for process in seeing] == [0, 0]
    accepted = [json.loads((tmp_path / f"accepted-{name}").read_text()) for name in "ab"]
    assert sorted(number for numbers in accepted for number in numbers) == list(range(rounds))
    assert not list((tmp_path / "runs").rglob("*.tmp"))


def test_a_file_that_was_being_written_at_a_kill_goes_with_the_next_write(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    store.check_data("digits", "aaaa")
    store.add_request(Request(exhibits=("table1",), scale="smoke"))
    for folder in (tmp_path, tmp_path / "data", tmp_path / "requests"):
        (folder / ".x.json.1.tmp").write_text("{")
    store.add_request(Request(exhibits=("table1",), scale="smoke"))
    assert not list(tmp_path.rglob("*.tmp"))


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
    path = min((tmp_path / "requests").iterdir())
    path.write_text(path.read_text().replace("table1", "table2"))
    with pytest.raises(EnvironmentProblem, match="damaged or not a request: delete that file"):
        store.requests()
    path.unlink()
    other = {"exhibits": 5}
    write_json(tmp_path / "requests" / f"{request_name(other)}.json", other)
    with pytest.raises(EnvironmentProblem, match="is not a request"):
        store.requests()
