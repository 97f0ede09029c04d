"""Official archives, brought by hand or downloaded, and used only where their checksum holds."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import sys
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from ekd.data.files import replacing
from ekd.spec.errors import EnvironmentProblem

TIMEOUT = 60  # seconds without a byte
BLOCK = 1 << 16  # bytes

md5 = partial(hashlib.md5, usedforsecurity=False)  # what the archives' owners publish


@dataclass(frozen=True)
class Archive:
    """A file on the network: of which data set, where, and its md5."""

    title: str
    url: str
    md5: str

    @property
    def name(self) -> str:
        """File name, the same in the data root."""
        return self.url.rpartition("/")[2]


def fetched(archive: Archive, root: Path) -> Path:
    """Give the path of the archive in the data root, where it is downloaded to if it is missing.

    Raises:
        EnvironmentProblem: where the file there is another one, or it cannot be downloaded whole.
    """
    path = root / archive.name
    try:
        if path.exists():
            _check_brought(archive, path)
        else:
            _download(archive, path)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is the answer as well
        reason = " ".join(str(error).split())  # a server's own words may have several lines
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free the disk or choose another --data-root" if full else "try again"
        raise EnvironmentProblem(
            f"{archive.title} cannot be fetched ({reason}): {remedy}, or put {archive.name} "
            f"from {archive.url} into {root}"
        ) from error
    return path


def _check_brought(archive: Archive, path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, md5).hexdigest()
    if found != archive.md5:
        raise EnvironmentProblem(
            f"{archive.title}: {path} is damaged, or not the official archive (its md5 is {found}, "
            f"not {archive.md5}): delete it, and it is downloaded"
        )


def _download(archive: Archive, path: Path) -> None:
    request = Request(archive.url, headers={"User-Agent": "ekd"})
    digest = md5()
    with replacing(path) as file, urlopen(request, timeout=TIMEOUT) as response:
        size = response.length  # None where the server does not say
        told = f"{size / 1e6:.0f} MB" if size else "size unknown"
        _tell(f"downloading {archive.url} ({told})")
        while block := response.read(BLOCK):
            digest.update(block)
            file.write(block)
        if size and file.tell() < size:
            raise OSError(f"it broke off after {file.tell()} of {size} bytes")
        if digest.hexdigest() != archive.md5:
            raise OSError(f"its md5 is {digest.hexdigest()}, not {archive.md5}")


def _tell(text: str) -> None:
    if sys.stderr:  # else print would take stdout
        with contextlib.suppress(OSError):  # a full disk under a log is no reason to stop
            print(text, file=sys.stderr, flush=True)
