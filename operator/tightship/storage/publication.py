"""Publishing artifacts: everything first, the manifest last, and no publisher in another's way.

Layout below STORE/sha256/KEY/: each result lies in a folder named by the digest of its manifest, so
two publishers of one KEY never write the same name with other bytes; `manifest.json` beside these
folders is a copy of the first finished one and says which result the KEY has.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tightship.api.artifact import MANIFEST, MANIFEST_SCHEMA
from tightship.storage.digests import Download, FileDigest, Kind, file_digest
from tightship.storage.errors import (
    DIGEST_MISMATCH,
    INVALID_MANIFEST,
    SOURCE_NOT_FOUND,
    StorageError,
)
from tightship.storage.limits import Limits, Meter
from tightship.storage.sink import writing
from tightship.storage.tree import check_folder
from tightship.storage.uris import safe_path

if TYPE_CHECKING:
    from tightship.storage.client import Storage

_MAX_MANIFEST = 8 << 20
_SHA256_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One published artifact: the URI of its folder, the digest and the bytes of its manifest."""

    uri: str
    digest: str
    manifest: bytes

    @property
    def files(self) -> tuple[FileDigest, ...]:
        """Every file but the manifest, sorted; InvalidManifest when it lists none properly."""
        return _files(self.manifest, self.uri)


def artifact_uri(uri: str, digest: str) -> str:
    """The folder of one result: `uri` is STORE/sha256/KEY/, `digest` the sha256 of its manifest."""
    return f"{uri.rstrip('/')}/{digest}/"


def write_manifest(folder: Path, extra: Mapping[str, Any]) -> str:
    """Write manifest.json for all other files of a folder and return its digest (hex).

    `extra` are the manifest's other keys.
    """
    names = [name for name in check_folder(folder) if name != MANIFEST]
    digests = [file_digest(folder / name, name) for name in names]
    files = {file.path: {"sha256": file.sha256, "bytes": file.bytes} for file in digests}
    manifest = {**extra, "schema": MANIFEST_SCHEMA, "files": files}
    text = json.dumps(manifest, sort_keys=True, indent=1).encode()
    with writing(MANIFEST):
        (folder / MANIFEST).write_bytes(text)
    return hashlib.sha256(text).hexdigest()


async def publish(storage: "Storage", folder: Path, uri: str) -> Publication:
    """Upload an artifact folder below `uri` (STORE/sha256/KEY/).

    It may be repeated after any interruption, and several publishers may run at once: what is
    returned is whole in the store, and `manifest.json` of the KEY names the first that finished.

    Raises:
        StorageError: InvalidManifest when manifest.json is missing or does not fit the folder, and
            what writing may raise.
    """
    manifest = await asyncio.to_thread(_checked_manifest, folder)
    digest = hashlib.sha256(manifest).hexdigest()
    target = artifact_uri(uri, digest)
    if not await storage.exists(target + MANIFEST):
        await storage.put_folder(folder, target, last=MANIFEST)
    pointer = f"{uri.rstrip('/')}/{MANIFEST}"
    if not await storage.exists(pointer):
        await storage.put_bytes(manifest, pointer)
    return Publication(uri=target, digest=digest, manifest=manifest)


async def published(storage: "Storage", uri: str) -> Publication | None:
    """The result that a KEY's folder has, or None while it has none."""
    try:
        manifest = await storage.read(f"{uri.rstrip('/')}/{MANIFEST}", max_bytes=_MAX_MANIFEST)
    except StorageError as error:
        if error.reason == SOURCE_NOT_FOUND:
            return None
        raise
    digest = hashlib.sha256(manifest).hexdigest()
    return Publication(uri=artifact_uri(uri, digest), digest=digest, manifest=manifest)


async def fetch(
    storage: "Storage", uri: str, to: Path, *, digest: str, limits: Limits | None = None
) -> Download:
    """Download the result `digest` (hex) of a KEY's folder into `to`, manifest included.

    Raises:
        StorageError: DigestMismatch when any byte is not what the digest fixes; nothing of this
            artifact is then left in `to`.
    """
    digest = digest.lower().removeprefix("sha256:")
    source = artifact_uri(uri, digest)
    manifest = await storage.read(source + MANIFEST, max_bytes=_MAX_MANIFEST)
    if hashlib.sha256(manifest).hexdigest() != digest:
        raise _changed(source + MANIFEST)
    wanted = _files(manifest, source)
    meter = Meter(limits or Limits(), source)
    meter.expect(len(wanted), sum(file.bytes for file in wanted))
    found = await storage.copy_files(source, to, [file.path for file in wanted], meter)
    if wrong := sorted(set(found) - set(wanted)):
        for file in found:
            (to / file.path).unlink(missing_ok=True)
        raise _changed(source + wrong[0].path)
    with writing(MANIFEST):
        await asyncio.to_thread((to / MANIFEST).write_bytes, manifest)
    own = FileDigest(MANIFEST, digest, len(manifest))
    return Download(root=to, kind=Kind.FOLDER, files=tuple(sorted((*found, own))), digest=digest)


def _checked_manifest(folder: Path) -> bytes:
    names = check_folder(folder)
    if MANIFEST not in names:
        raise _invalid(str(folder.name), "there is no manifest.json")
    manifest = (folder / MANIFEST).read_bytes()
    listed = _files(manifest, folder.name)
    present = sorted(file_digest(folder / name, name) for name in names if name != MANIFEST)
    if list(listed) != present:
        raise _invalid(folder.name, "the files are not those that manifest.json lists")
    return manifest


def _files(manifest: bytes, subject: str) -> tuple[FileDigest, ...]:
    try:
        content = json.loads(manifest)
        schema, files = content["schema"], content["files"]
        found = [
            FileDigest(safe_path(path, subject), str(entry["sha256"]), int(entry["bytes"]))
            for path, entry in files.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _invalid(subject, "it is not JSON of the documented form") from error
    if schema != MANIFEST_SCHEMA:
        raise _invalid(subject, f"it has schema {schema!r}, {MANIFEST_SCHEMA} is supported")
    if not found or any(len(f.sha256) != _SHA256_DIGITS or f.bytes < 0 for f in found):
        raise _invalid(subject, "it lists no files, or digests and sizes that cannot be")
    return tuple(sorted(found))


def _invalid(subject: str, why: str) -> StorageError:
    return StorageError(
        INVALID_MANIFEST,
        f"the manifest of {subject} is not usable: {why}. Publish the model again.",
    )


def _changed(uri: str) -> StorageError:
    return StorageError(
        DIGEST_MISMATCH,
        f"{uri} is not what was published. Restore the store, or publish the model again.",
    )
