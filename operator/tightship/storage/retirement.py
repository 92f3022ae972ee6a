"""Artifacts that nothing refers to: the mark that says since when, taking back, and removal.

A mark is a file beside a KEY's manifest. It makes a store that is cleaned up and a conversion that
finds its artifact there safe beside each other, without a lock:

- the clean-up removes only what is marked, and it takes KEY's manifest away *before* it looks for
  the mark a last time;
- whoever takes the artifact again removes the mark *before* it looks for KEY's manifest.

So one of them sees the other: either the clean-up finds no mark and puts the manifest back, or the
other finds no manifest and makes the artifact anew. A reader that finds no mark and then a manifest
needs no right to write: a mark that is set later has to grow old first, and by then the artifact is
known to be in use.
"""

from typing import TYPE_CHECKING

from tightship.api.artifact import MANIFEST, UNUSED
from tightship.storage.publication import published

if TYPE_CHECKING:
    from tightship.storage.client import Storage


async def is_retired(storage: "Storage", uri: str) -> bool:
    """Whether a KEY's folder is marked; ask it before `published`."""
    return await storage.exists(_mark(uri))


async def retire(storage: "Storage", uri: str) -> None:
    """Mark a KEY's folder. The time of the mark is that of the store's clock."""
    await storage.put_bytes(
        b"Nothing refers to this artifact since this file was written.\n", _mark(uri)
    )


async def reclaim(storage: "Storage", uri: str) -> None:
    """Remove the mark, if there is one; what `published` then finds stays."""
    if await is_retired(storage, uri):
        await storage.delete(_mark(uri))


async def remove(storage: "Storage", uri: str) -> bool:
    """Remove a marked KEY's folder; False when it has been taken back meanwhile, and stays."""
    found = await published(storage, uri)
    manifest = f"{uri.rstrip('/')}/{MANIFEST}"
    await storage.delete(manifest)
    if not await is_retired(storage, uri):
        if found is not None:
            await storage.put_bytes(found.manifest, manifest)
        return False
    await storage.delete_folder(uri)
    return True


def _mark(uri: str) -> str:
    return f"{uri.rstrip('/')}/{UNUSED}"
