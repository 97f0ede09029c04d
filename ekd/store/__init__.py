"""The store of runs: atomic files, leases, checksums, requests."""

from ekd.store.files import read_json, sha256, write_atomic, write_json
from ekd.store.lease import Lease, LeaseLost, acquire
from ekd.store.run_folder import RunFolder, Status
from ekd.store.store import Request, Store
from ekd.store.verify import Verification, verify

__all__ = [
    "Lease",
    "LeaseLost",
    "Request",
    "RunFolder",
    "Status",
    "Store",
    "Verification",
    "acquire",
    "read_json",
    "sha256",
    "verify",
    "write_atomic",
    "write_json",
]
