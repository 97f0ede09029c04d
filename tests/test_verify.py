"""What is damaged in a store is named, and what is intact is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny

from ekd.spec import EnvironmentProblem
from ekd.store import Request, RunFolder, Store, acquire, read_json, verify, write_json


@pytest.fixture(scope="module")
def filled(tiny_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with every kind of file: a finished run, one under way, one that failed."""
    store = Store(tmp_path_factory.mktemp("filled") / "runs").open()
    store.add_request(Request(exhibits=("table1",), scale="smoke", overrides=("seed=0",)))
    store.check_data("digits", "ab" * 32)
    finished, under_way, failed = (tiny.plain(tiny.data(tiny_npz), i, epochs=2) for i in range(3))
    for run in (finished, under_way, failed):
        store.folder(run).write_provenance([{"start": "2026-01-01T00:00:00+00:00", "threads": 1}])
    tiny.trained(finished, store)
    for run in (under_way, failed):
        training = tiny.epochs(run, store, between=0)
        next(training)
        training.close()
    store.folder(failed).write_failure("failed", "KeyError", "Traceback: line 1")
    return store


FILES = {
    "store.json": "store.json",
    "request": "requests/*.json",
    "data": "data/digits.json",
    "spec": "{finished}/spec.json",
    "history": "{finished}/history.jsonl",
    "weights": "{finished}/weights.safetensors",
    "outputs": "{finished}/test_outputs.npz",
    "provenance": "{finished}/provenance.json",
    "result": "{finished}/result.json",
    "newest checkpoint": "{under_way}/{newest}",
    "older checkpoint": "{under_way}/{older}",
    "list of checkpoints": "{under_way}/checkpoint.json",
    "history under way": "{under_way}/history.jsonl",
    "provenance under way": "{under_way}/provenance.json",
    "failure": "{failed}/failure.json",
}


def folders(store: Store) -> dict[str, RunFolder]:
    found = {}
    for path in store.root.glob("*/spec.json"):
        folder = RunFolder(store.root, path.parent.name)
        name = {"done": "finished", "partial": "under_way", "failed": "failed"}[folder.kept()]
        found[name] = folder
    return found


def path_of(store: Store, kind: str) -> Path:
    found = folders(store)
    newest, older = (slot.file for slot in found["under_way"].checkpoints())
    keys = {name: folder.key for name, folder in found.items()}
    (path,) = store.root.glob(FILES[kind].format(newest=newest, older=older, **keys))
    return path


def flips(path: Path) -> Iterator[bytes]:
    """The file with one byte changed, at positions spread over all of it."""
    whole = path.read_bytes()
    places = sorted({round(i * (len(whole) - 1) / 24) for i in range(25)})
    for number, place in enumerate(places):
        bit = 1 << number % 8
        yield whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]


def says_the_same(path: Path, content: bytes) -> bool:
    """Tell whether JSON says what it said: of 17 digits the last may mean nothing."""
    try:
        return path.suffix == ".json" and json.loads(content) == json.loads(path.read_bytes())
    except ValueError:
        return False


def test_an_intact_store_has_no_problem_and_is_not_changed(filled: Store) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in filled.root.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    found = verify(filled)
    assert found.problems == ()
    assert found.runs == 3
    specs_of_the_others = 2
    beside = 4  # the failed run's provenance, list of checkpoints, and two of them
    assert found.files == len(FILES) + specs_of_the_others + beside + 1  # and its history
    assert state() == before


@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_byte_is_named_with_its_file_and_what_to_do(filled: Store, kind: str) -> None:
    path = path_of(filled, kind)
    whole = path.read_bytes()
    tried = 0
    try:
        for content in flips(path):
            if says_the_same(path, content):
                continue
            path.write_bytes(content)
            (problem,) = verify(filled).problems
            assert str(path) in problem
            assert "delete" in problem or "update ekd" in problem
            assert "\n" not in problem
            tried += 1
            path.write_bytes(whole)
    finally:
        path.write_bytes(whole)
    assert tried >= min(len(whole) - 4, 20)
    assert verify(filled).problems == ()


@pytest.mark.parametrize("kind", sorted(set(FILES) - {"request", "data", "failure", "store.json"}))
def test_a_lost_file_is_named_or_costs_nothing_but_time(filled: Store, kind: str) -> None:
    path = path_of(filled, kind)
    away = filled.root.parent / "away"
    path.rename(away)
    try:
        problems = verify(filled).problems
    finally:
        away.rename(path)
    # Without its result a run is not done, without its list it has no checkpoint: both can be.
    harmless = {"result", "list of checkpoints", "provenance under way"}
    assert len(problems) == (0 if kind in harmless else 1)


def test_what_another_process_removes_meanwhile_is_no_problem(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(filled, "failure")
    whole = path.read_bytes()
    failure = RunFolder.failure

    def forgotten(self: RunFolder) -> dict[str, str]:
        path.unlink(missing_ok=True)
        return failure(self)

    monkeypatch.setattr(RunFolder, "failure", forgotten)
    try:
        assert verify(filled).problems == ()
    finally:
        path.write_bytes(whole)


def test_a_spec_that_is_no_json_is_named_in_a_run_under_way(filled: Store) -> None:
    path = folders(filled)["under_way"].path / "spec.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    (problem,) = verify(filled).problems
    path.write_bytes(whole)
    assert "spec.json is damaged" in problem
    assert "delete it, it is written again" in problem


def test_a_run_that_is_being_trained_is_left_alone(filled: Store) -> None:
    folder = folders(filled)["under_way"]
    path = path_of(filled, "newest checkpoint")
    whole = path.read_bytes()
    path.write_bytes(b"the next one")
    lease = acquire(folder.path)
    assert lease is not None
    assert verify(filled).problems == ()
    lease.release()
    assert len(verify(filled).problems) == 1
    path.write_bytes(whole)


def test_what_an_older_version_left_is_accepted(filled: Store, tmp_path: Path) -> None:
    old = Store(tmp_path)
    for path in filled.root.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(filled.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    for path in (p for p in tmp_path.rglob("*.json") if "checksum" in p.read_text()):
        content = {k: v for k, v in read_json(path, "").items() if k != "checksum"}
        for name in ("spec.json", "provenance.json"):
            content.get("files", {}).pop(name, None)
        for slot in content.get("slots", []):
            del slot["epochs"], slot["history"]
        write_json(path, content)
    assert "checksum" not in "".join(p.read_text() for p in tmp_path.rglob("*.json"))
    found = folders(old)
    assert verify(old).problems == ()
    assert found["finished"].result()["epochs"] == 2
    assert found["under_way"].read_checkpoint() is not None
    found["under_way"].cut_history(1)
    old.check_data("digits", "ab" * 32)


def test_a_folder_without_a_store_is_named(tmp_path: Path) -> None:
    (problem,) = verify(Store(tmp_path / "nowhere")).problems
    assert "store.json is missing" in problem
    assert not (tmp_path / "nowhere").exists()


def test_a_store_of_a_newer_format_is_named(filled: Store) -> None:
    path = filled.root / "store.json"
    whole = path.read_bytes()
    write_json(path, {"format": 2})
    (problem,) = verify(filled).problems
    path.write_bytes(whole)
    assert "newer ekd" in problem


def test_files_that_cannot_be_read_are_problems_and_no_traceback(filled: Store) -> None:
    path = path_of(filled, "weights")
    away = path.with_name("away")
    path.rename(away)
    path.mkdir()
    try:
        (problem,) = verify(filled).problems
        with pytest.raises(EnvironmentProblem, match=r"cannot read .*: check the disk"):
            folders(filled)["finished"].read_output("weights.safetensors")
    finally:
        path.rmdir()
        away.rename(path)
    assert f"cannot read {path}" in problem
