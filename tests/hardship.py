"""The commands as forked children that meet something bad: no room, no rights, no streams."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

import processes
from command_line import Ended


@dataclass(frozen=True)
class Hardship:
    """What is set up in the child before the command starts."""

    largest_file: int | None = None
    """Bytes beyond which no file may grow: writes fail with EFBIG."""
    full_at: str = ""
    """Part of a file's name whose flush finds the disk full."""
    memory: int | None = None
    """Bytes of address space on top of what the child has."""
    ordinary: bool = False
    """Root gives up its power to write where no one may."""
    methods: str = ""
    """A second folder in which methods are found, as if its files were in ekd/methods."""
    streams: tuple[str, str] = ("", "")
    """stdout and stderr: "" to be read, "closed", or a file such as /dev/full."""
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """None takes a variable away."""


class Child:
    """A command that runs in `folder`, and what it writes."""

    def __init__(self, folder: Path, name: str, *arguments: str, hardship: Hardship) -> None:
        # Pipes, as a limit on files would stop what is written to a file.
        pipes = [processes.CONTEXT.Pipe(duplex=False) for _ in range(2)]
        self.streams = [reader for reader, _ in pipes]
        writers = [writer for _, writer in pipes]
        self.process = processes.start(_main, str(folder), name, arguments, hardship, writers)
        for writer in writers:
            writer.close()

    def ended(self, timeout: float = 120) -> Ended:
        """Wait for its end; give its code and what it wrote."""
        code = processes.code(self.process, timeout)
        out, err = (_text(reader) for reader in self.streams)
        return Ended(code, out, err)

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


def start(folder: Path, name: str, *arguments: str, hardship: Hardship | None = None) -> Child:
    """Start `ekd-run` or `ekd-report` in `folder`."""
    return Child(folder, name, *arguments, hardship=hardship or Hardship())


def command(folder: Path, name: str, *arguments: str, hardship: Hardship | None = None) -> Ended:
    """Run a command to its end."""
    return start(folder, name, *arguments, hardship=hardship).ended()


def _text(reader: Connection) -> str:
    parts = []
    while part := os.read(reader.fileno(), 65536):
        parts.append(part)
    reader.close()
    return b"".join(parts).decode()


def _main(
    folder: str,
    name: str,
    arguments: tuple[str, ...],
    hardship: Hardship,
    writers: list[Connection],
) -> None:
    from functools import partial

    import ekd.methods
    from ekd.cli import report, run
    from ekd.engines import local

    # Jobs in the background ignore Ctrl-C, those under nohup a hangup, and so do their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(folder)
    _redirect(writers, hardship.streams)
    for variable, value in hardship.environment.items():
        os.environ.pop(variable, None) if value is None else os.environ.update({variable: value})
    if hardship.methods:
        ekd.methods.__path__.append(hardship.methods)
        ekd.methods.discover.cache_clear()
    if hardship.full_at:
        _fill_at(hardship.full_at)
    if hardship.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hardship.largest_file,) * 2)
    if hardship.memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + hardship.memory,) * 2)
    if hardship.ordinary:
        _drop_capabilities()
    local.Saver = partial(local.Saver, seconds=0.04, ratio=0)  # type: ignore[misc]
    sys.argv = [name, *arguments]
    try:
        (run if name == "ekd-run" else report).main()
    finally:
        if hardship.streams[1] == "/dev/full":  # multiprocessing would end with 1, unlike Python
            sys.stderr = None  # type: ignore[assignment]


def _redirect(writers: list[Connection], streams: tuple[str, str]) -> None:
    """Give the process the standard streams that Python would have made at its start."""
    opened: list[TextIO | None] = []
    for number, (writer, kind) in enumerate(zip(writers, streams, strict=True), 1):
        if kind == "closed":
            os.close(number)
            opened.append(None)
            continue
        handle = writer.fileno() if kind == "" else os.open(kind, os.O_WRONLY)
        os.dup2(handle, number)
        errors = "backslashreplace" if number == 2 else "strict"
        text = open(number, "w", encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        text.reconfigure(line_buffering=number == 2)
        opened.append(text)
        writer.close()
    sys.stdout, sys.stderr = opened  # type: ignore[assignment]


def _fill_at(name: str) -> None:
    flush = os.fsync

    def fsync(handle: int) -> None:
        if name in Path(f"/proc/self/fd/{handle}").readlink().name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    os.fsync = fsync


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    return pages * resource.getpagesize()


def _drop_capabilities() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    version_3 = 0x20080522
    header, none = (ctypes.c_uint32 * 2)(version_3, 0), (ctypes.c_uint32 * 6)()
    assert library.capset(header, none) == 0, os.strerror(ctypes.get_errno())
