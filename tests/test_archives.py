"""Official archives: right images or one sentence, nothing left behind, and a second try works."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import archives
import numpy as np
import processes
import pytest
import torch
from command_line import Run
from served import Server, serving

from ekd.data import Splits, load
from ekd.spec.errors import EnvironmentProblem
from ekd.spec.values import Data

NAMES = tuple(archives.FILE_NAMES)

every_archive = pytest.mark.parametrize("name", NAMES)


def known(name: str) -> Data:
    return Data.model_validate({"name": name})


def sentence(name: str, root: Path) -> str:
    with pytest.raises(EnvironmentProblem) as caught:
        load(known(name), root)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 4
    return text


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve the small archives, each of which stands for its official one."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving({file: archives.made(name) for name, file in archives.FILE_NAMES.items()}) as it:
        for name, file in archives.FILE_NAMES.items():
            archives.install(name, it.url("whole", file), monkeypatch.setattr)
        yield it


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def content(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def complete(splits: Splits, name: str) -> bool:
    counts = (12, 5) if name == "tiny-imagenet" else (100, 20)
    return (len(splits.train.labels), len(splits.test.labels)) == counts


@every_archive
def test_an_archive_is_downloaded_once_and_decoded_once(
    name: str,
    server: Server,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    splits = load(known(name), root)
    assert complete(splits, name)
    file = archives.FILE_NAMES[name]
    assert content(root) == {"cache", f"cache/{name}-32.npz", file}
    assert (root / file).read_bytes() == server.content[file]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"downloading {server.url('whole', file)} (0 MB)\n"
    monkeypatch.setattr("ekd.data.known.DOWNLOADED", {name: None})
    again = load(known(name), root)
    assert torch.equal(again.train.images, splits.train.images)
    assert again.fingerprint == splits.fingerprint
    assert len(server.requests) == 1


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_keeps_its_order_its_pixels_and_its_names(
    name: str, classes: int, server: Server, root: Path
) -> None:
    splits = load(known(name), root)
    assert splits.classes == tuple(f"c{i}" for i in range(classes))
    assert splits.train.labels.tolist() == [i % classes for i in range(100)]
    pixels = archives.cifar_pixels(20, 1 if classes == 100 else 5)
    assert np.array_equal(splits.test.images.numpy(), pixels.transpose(0, 2, 3, 1))


@every_archive
@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("half", "it broke off after"),
        ("other", "its md5 is"),
        ("gone", "HTTP Error 404"),
        ("none", "Remote end closed connection"),
        ("noise", "220 this is another service"),
        ("silent", "timed out"),
    ],
)
def test_a_download_that_fails_is_one_sentence_and_can_be_tried_again(
    name: str, way: str, words: str, server: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = archives.FILE_NAMES[name]
    archives.install(name, server.url(way, file), monkeypatch.setattr)
    monkeypatch.setattr("ekd.data.download.TIMEOUT", 0.3 if way == "silent" else 30)
    text = sentence(name, root)
    assert words in text
    assert f"put {file} from {server.url(way, file)} into {root}" in text
    assert content(root) == set()
    archives.install(name, server.url("whole", file), monkeypatch.setattr)
    monkeypatch.setattr("ekd.data.download.TIMEOUT", 30)
    assert complete(load(known(name), root), name)


def test_a_full_disk_is_told_from_a_bad_network(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device): free the disk" in sentence("cifar10", root)
    assert content(root) == set()


def test_where_stderr_is_closed_a_download_leaves_stdout_alone(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert complete(load(known("cifar10"), root), "cifar10")
    assert capsys.readouterr().out == ""


@every_archive
def test_no_network_is_one_sentence(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound, but nobody listens
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/{archives.FILE_NAMES[name]}"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        archives.install(name, url, monkeypatch.setattr)
        assert "Connection refused" in sentence(name, root)
    assert content(root) == set()


@every_archive
def test_an_archive_brought_by_hand_needs_no_network(name: str, server: Server, root: Path) -> None:
    root.mkdir()
    (root / archives.FILE_NAMES[name]).write_bytes(archives.made(name))
    assert complete(load(known(name), root), name)
    assert server.requests == []


@every_archive
def test_an_archive_that_was_cut_off_is_named_and_kept(
    name: str, server: Server, root: Path
) -> None:
    root.mkdir()
    path = root / archives.FILE_NAMES[name]
    path.write_bytes(archives.made(name)[:-100])
    text = sentence(name, root)
    assert f"{path} is damaged, or not the official archive" in text
    assert "delete it" in text
    assert content(root) == {path.name}
    assert server.requests == []
    path.unlink()
    assert complete(load(known(name), root), name)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_unpacked_batches_brought_by_hand_are_read_and_checked(
    name: str, server: Server, root: Path
) -> None:
    import tarfile

    root.mkdir()
    archive = root.parent / "archive"
    archive.write_bytes(archives.made(name))
    with tarfile.open(archive) as packed:
        packed.extractall(root, filter="data")
    assert complete(load(known(name), root), name)
    assert server.requests == []
    (folder,) = [path for path in root.iterdir() if path.name != "cache"]
    (root / "cache" / f"{name}-32.npz").unlink()
    batch = next(path for path in folder.iterdir() if "meta" not in path.name)
    batch.write_bytes(batch.read_bytes()[:-1])
    text = sentence(name, root)
    assert f"{folder} is damaged" in text
    assert "delete it" in text


@every_archive
def test_a_data_root_that_cannot_be_made_is_one_sentence(
    name: str, server: Server, root: Path
) -> None:
    root.write_text("a file where the folder should be")
    assert "cannot be fetched" in sentence(name, root)


def test_a_temporary_folder_that_cannot_be_written_is_one_sentence(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(root / "gone"))
    assert "set TMPDIR" in sentence("cifar10", root)
    monkeypatch.undo()


def test_what_a_killed_download_left_goes_an_hour_later(server: Server, root: Path) -> None:
    root.mkdir()
    file = archives.FILE_NAMES["cifar10"]
    dead, alive = root / f".{file}.1.partial", root / f".{file}.2.partial"
    for path in (dead, alive):
        path.write_bytes(b"half of it")
    hours_ago = dead.stat().st_mtime - 7200
    os.utime(dead, (hours_ago, hours_ago))
    assert complete(load(known("cifar10"), root), "cifar10")
    assert not dead.exists()
    assert alive.exists()


@every_archive
def test_two_processes_at_once_download_and_decode_once(
    name: str, server: Server, root: Path
) -> None:
    url = server.url("whole", archives.FILE_NAMES[name])
    both = [processes.start(_load, name, url, str(root)) for _ in range(2)]
    assert [processes.code(process) for process in both] == [0, 0]
    assert len(server.requests) == 1
    assert content(root) == {"cache", f"cache/{name}-32.npz", archives.FILE_NAMES[name]}


def _load(name: str, url: str, root: str) -> None:
    os.environ["no_proxy"] = "127.0.0.1"
    archives.install(name, url, setattr)
    assert complete(load(known(name), Path(root)), name)


SPEC = """
title = "Named"
kind = "table"
run = { data.name = "cifar10", recipe = { epochs = 1, batch_size = 50 } }
columns = [{ label = "accuracy" }]
[[rows]]
label = "1"
"""


def test_with_json_stdout_holds_one_object_through_a_download_and_its_failure(
    server: Server, ekd_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = archives.FILE_NAMES["cifar10"]
    Path("named.toml").write_text(SPEC)
    archives.install("cifar10", server.url("half", file), monkeypatch.setattr)
    ended = ekd_run("named.toml", "--json")
    assert ended.code == 4
    assert [run["state"] for run in json.loads(ended.out)["runs"]] == ["missing"]
    assert "CIFAR-10 cannot be fetched" in ended.err.splitlines()[-1]
    archives.install("cifar10", server.url("whole", file), monkeypatch.setattr)
    ended = ekd_run("named.toml", "--json")
    assert ended.code == 0
    assert [run["state"] for run in json.loads(ended.out)["runs"]] == ["done"]
