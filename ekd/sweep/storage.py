"""Where trials are kept: a journal file by default, or any storage that Optuna knows by its URL."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ekd.spec import EnvironmentProblem, SpecError, nearest

Storage = Any
"""optuna.storages.BaseStorage; optuna is imported where it is used, and nowhere else."""
Study = Any
"""optuna.Study."""

GRPC = re.compile(r"grpc://([^:/]+|\[[^\]]+\]):([0-9]+)/?")
GRPC_SECONDS = 10.0
SUFFIX = ".journal"
ENTRY = b'{"op_code"'
"""How every line of a journal begins."""


def journal_of(root: Path, study: str, storage: str | None) -> Path | None:
    """Give the journal's path, or None where a URL names another kind of storage."""
    if storage is None:
        return root / "sweeps" / f"{study}{SUFFIX}"
    if not storage.strip():
        raise SpecError("--storage: the name is empty: give a journal's path or a URL")
    return None if "://" in storage else Path(storage)


def claims_of(root: Path, study: str, storage: str | None) -> Path:
    """Give the file whose lock a process holds while it takes a trial or looks for dead ones."""
    journal = journal_of(root, study, storage)
    if journal is None:
        return root / "sweeps" / f"{study}.claims"
    return journal.with_name(journal.name + ".claims")


def open_storage(root: Path, study: str, storage: str | None, *, create: bool = False) -> Storage:
    """Open the storage of a study; with `create` a journal that is not there yet is begun.

    Raises SpecError for a URL of no known kind, EnvironmentProblem where it cannot be reached or
    read.
    """
    quiet()
    journal = journal_of(root, study, storage)
    if journal is not None:
        return _open_journal(journal, create)
    assert storage is not None
    if storage.startswith("grpc:"):
        return _open_grpc(storage)
    return _open_database(storage)


def quiet() -> None:
    """Let Optuna log nothing: what concerns a person is told by the search."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Keep Optuna's remarks on what is experimental from the reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open_journal(path: Path, create: bool) -> Storage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if path.is_dir():
        raise EnvironmentProblem(f"{path} is a folder: give the path of a journal")
    if not path.exists() and not create:
        raise SpecError(_no_journal(path))
    _check_journal(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalFileOpenLock(str(path))
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot open the journal {path}: {error.strerror}: choose another --storage"
        ) from error
    except Exception as error:
        raise _damaged(path, f"Optuna cannot read it ({error!r})") from error


def _no_journal(path: Path) -> str:
    found = sorted(p.name.removesuffix(SUFFIX) for p in path.parent.glob(f"*{SUFFIX}"))
    name = path.name.removesuffix(SUFFIX)
    known = f"; there are {', '.join(found)}" if found else ""
    return (
        f"no study {name!r} in {path.parent}{nearest(name, found)}: begin it with ekd-sweep{known}"
    )


def _check_journal(path: Path) -> None:
    """Refuse what is no journal; a torn last line is no damage."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot read the journal {path}: {error.strerror}: check the disk and who may read it"
        ) from error
    for number, line in enumerate(lines, 1):
        if not _is_entry(line):
            raise _damaged(path, f"its line {number} is none of a journal's")
    if (
        not lines
        and path.exists()
        and not path.read_bytes().startswith(ENTRY[: path.stat().st_size])
    ):
        raise _damaged(path, "it does not begin as a journal does")


def _is_entry(line: bytes) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and "op_code" in entry


def _damaged(path: Path, reason: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{path} is no journal of Optuna's, or damaged: {reason}: put it back from a backup, or "
        "choose another --name"
    )


def repair(path: Path, say: Callable[[str], None]) -> None:
    """Cut off a last line that a crash or a full disk tore, so that the next one stands alone.

    A copy of the file as it was stays beside it. Whoever writes at the moment is waited for.
    """
    from optuna.storages.journal import JournalFileOpenLock

    if not path.is_file() or _ends_whole(path):
        return
    _check_journal(path)
    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    try:
        if _ends_whole(path):  # it was only under way
            return
        content = path.read_bytes()
        backup = _backup(path)
        shutil.copy2(path, backup)
        kept = content.rfind(b"\n") + 1
        with path.open("r+b") as file:
            file.truncate(kept)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot repair the journal {path}: {error.strerror}: free the disk"
        ) from error
    finally:
        lock.release()
    say(
        f"{path}: its last line was torn ({len(content) - kept} bytes) and is cut off; the file "
        f"as it was is {backup.name}"
    )


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if not size:
            return True
        file.seek(size - 1)
        return file.read(1) == b"\n"


def _backup(path: Path) -> Path:
    numbers = (path.with_name(f"{path.name}.torn-{n}") for n in range(1, 1_000_000))
    return next(candidate for candidate in numbers if not candidate.exists())


def _open_grpc(url: str) -> Storage:
    match = GRPC.fullmatch(url)
    if not match or not 0 < int(match[2]) < 65536:
        raise SpecError(f"--storage {url}: expected grpc://HOST:PORT")
    try:
        import grpc  # noqa: F401
    except ImportError:
        raise EnvironmentProblem(
            f"--storage {url}: grpcio is not installed: pip install grpcio"
        ) from None
    from optuna.storages import GrpcStorageProxy

    with no_warnings():
        proxy = GrpcStorageProxy(host=match[1], port=int(match[2]))
    try:
        proxy.wait_server_ready(timeout=GRPC_SECONDS)
    except ConnectionError:
        proxy.close()
        raise EnvironmentProblem(
            f"--storage {url}: nobody answers there: start optuna's run_grpc_proxy_server, or "
            "check the address"
        ) from None
    return proxy


def _open_database(url: str) -> Storage:
    from optuna.storages import get_storage
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        with no_warnings():
            return get_storage(url)
    except (ImportError, ValueError, ArgumentError) as error:
        raise SpecError(
            f"--storage {url}: no storage that can be opened here: give a journal's path, "
            f"sqlite:///FILE, postgresql://... or grpc://HOST:PORT ({_first_line(error)})"
        ) from error
    except SQLAlchemyError as error:
        raise EnvironmentProblem(
            f"--storage {url}: the database cannot be opened ({_first_line(error)}): check the "
            "address and that it runs"
        ) from error


def _first_line(error: Exception) -> str:
    return " ".join(str(error.__cause__ or error).split("\n")[0].rstrip(".").split(". "))
