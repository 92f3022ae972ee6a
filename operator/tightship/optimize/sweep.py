"""The clean-up of a store: what nothing refers to is marked, and removed when the mark is old."""

import logging
import re
import time
from collections.abc import Iterable
from typing import Any

from tightship.api.artifact import UNUSED
from tightship.api.job import SweepRequest
from tightship.optimize.access import access
from tightship.optimize.answer import answered, read_request
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.storage import Entry, Storage, reclaim, remove, retire, run

LOG = logging.getLogger(__name__)
MAX_FILES = 500_000  # of a store; their list takes some 160 MB

_KEY = re.compile(r"[0-9a-f]{64}")


def main(folders: Folders | None = None) -> int:
    """Clean up once and write the termination message; returns the exit code."""
    folders = folders or Folders()
    return answered("sweep", folders, lambda: run(_sweep(folders)))


async def _sweep(folders: Folders) -> dict[str, Any]:
    request = read_request(SweepRequest.from_json)
    used = _used(folders)
    async with Storage(access(folders, request, "store-write")) as storage:
        return await sweep(storage, request, used, time.time())


async def sweep(
    storage: Storage, request: SweepRequest, used: frozenset[str], now: float
) -> dict[str, Any]:
    """Mark what is not used, take marks from what is, and remove what was marked long ago.

    Only folders whose names can be KEYs are touched. A file without a known age is young.

    Returns:
        Numbers of artifacts: found, in use, newly marked, removed, and to be removed by later runs.
    """
    root = f"{request.store_uri.rstrip('/')}/sha256/"
    folders = _folders(await storage.list(root, max_files=MAX_FILES))
    marked, due = 0, []
    for key, entries in sorted(folders.items()):
        mark = next((entry for entry in entries if entry.path == f"{key}/{UNUSED}"), None)
        if key in used:
            if mark:
                await reclaim(storage, f"{root}{key}/")
        elif mark is None:
            await retire(storage, f"{root}{key}/")
            marked += 1
        elif _newest(entries, now) <= now - request.retention:
            due.append((mark.modified or now, key))
    due.sort()
    removed = 0
    for _, key in due[: request.limit]:
        if await remove(storage, f"{root}{key}/"):
            removed += 1
            size = sum(entry.bytes for entry in folders[key])
            LOG.info("removed %s%s/: %d bytes that nothing refers to", root, key, size)
    found = {
        "artifacts": len(folders),
        "used": len(used & folders.keys()),
        "marked": marked,
        "removed": removed,
        "left": len(due[request.limit :]),
    }
    LOG.info("%s", ", ".join(f"{name}: {number}" for name, number in found.items()))
    return found


def _used(folders: Folders) -> frozenset[str]:
    """The KEYs in use; a list that is not exactly that must not look like an empty one."""
    try:
        lines = folders.keys.read_text().split()
    except FileNotFoundError as error:
        raise RefusalError(
            Reason.INVALID_REQUEST,
            "The list of artifacts in use is not mounted, so nothing was removed. The operator "
            "writes it into the pool's ConfigMap: see the operator's log.",
        ) from error
    if not all(_KEY.fullmatch(line) for line in lines):
        raise RefusalError(
            Reason.INVALID_REQUEST,
            "The list of artifacts in use cannot be read, so nothing was removed. Operator and "
            "converter image must be of one version.",
        )
    return frozenset(lines)


def _folders(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        key, _, rest = entry.path.partition("/")
        if rest and _KEY.fullmatch(key):
            found.setdefault(key, []).append(entry)
    return found


def _newest(entries: Iterable[Entry], now: float) -> float:
    return max(now if entry.modified is None else entry.modified for entry in entries)
