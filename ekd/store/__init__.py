"""The store of runs: atomic files, leases, checksums, requests."""

from ekd.store.files import read_json, sha256, write_atomic, write_json
from ekd.store.lease import Lease, acquire
from ekd.store.run_folder import RunFolder, Status
from ekd.store.store import Request, Store

__all__ = [
    "Lease",
    "Request",
    "RunFolder",
    "Status",
    "Store",
    "acquire",
    "read_json",
    "sha256",
    "write_atomic",
    "write_json",
]
