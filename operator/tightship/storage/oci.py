"""Artifacts and images of OCI registries as folders: manifests, and layers checked by digest.

Source: OCI Distribution Specification 1.1, the pull category. A registry is asked over https only.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import aiohttp
from yarl import URL

from tightship.storage.answers import refuse_packed
from tightship.storage.backend import Entry, Payload, Stat, not_found
from tightship.storage.credentials import Credentials
from tightship.storage.digests import FileDigest, Kind, checked, same_digest
from tightship.storage.dockerconfig import HUB
from tightship.storage.errors import (
    DIGEST_MISMATCH,
    INVALID_RESPONSE,
    UNSUPPORTED_OPERATION,
    StorageError,
)
from tightship.storage.hosts import HostPolicy
from tightship.storage.ocimanifest import (
    INDEXES,
    MANIFESTS,
    MAX_MANIFEST,
    Artifact,
    Index,
    read_manifest,
)
from tightship.storage.registryauth import RegistryLogin
from tightship.storage.transport import Transport, chunks
from tightship.storage.uris import Uri

_HUB_HOST = "registry-1.docker.io"
_REDIRECTS = 3  # registries keep layers in object stores and point there
_UNAUTHORIZED = 401
_ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}


class OciBackend:
    """Repositories of registries. An artifact is a folder of its layers that have names."""

    def __init__(self, transport: Transport, policy: HostPolicy, credentials: Credentials) -> None:
        self._transport = transport
        self._login = RegistryLogin(transport, policy, credentials)
        self._logging_in = asyncio.Lock()
        self._artifacts: dict[Uri, Artifact] = {}

    async def resolve(self, uri: Uri, digest: str | None) -> Uri:
        """The URI by the digest of its manifest or index, which fixes every byte below it."""
        if digest is not None:
            if uri.digest is not None and not same_digest(uri.digest, digest):
                raise _mismatch(uri, f"is not the wanted {digest}")
            return _pinned(uri, digest.lower().removeprefix("sha256:"))
        if uri.digest is not None:
            return _pinned(uri, uri.digest)
        return _pinned(uri, hashlib.sha256((await self._manifest(uri))[0]).hexdigest())

    async def stat(self, uri: Uri) -> Stat:
        """Always a folder, where there is an artifact with at least one file."""
        if not (await self._artifact(uri)).layers:
            raise not_found(uri)
        return Stat(kind=Kind.FOLDER, bytes=None)

    async def list(self, uri: Uri, max_files: int) -> tuple[Entry, ...]:
        """The layers that are files."""
        found = (await self._artifact(uri)).layers
        return tuple(Entry(layer.path, layer.bytes) for layer in found[: max_files + 1])

    async def stream(self, uri: Uri) -> AsyncGenerator[bytes, None]:
        """A layer's bytes, which end in an error where they are not those of its digest."""
        layer = await self._layer(uri)
        path = f"blobs/sha256:{layer.sha256}"
        async with self._get(uri, path, {"Accept": "*/*"}) as response:
            refuse_packed(response, str(uri))
            async for chunk in checked(chunks(response), layer, str(uri)):
                yield chunk

    async def put(self, uri: Uri, payload: Payload) -> None:
        """Not possible."""
        del payload
        raise _read_only(uri)

    async def delete(self, uri: Uri) -> None:
        """Not possible."""
        raise _read_only(uri)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _layer(self, uri: Uri) -> FileDigest:
        artifact = await self._artifact(replace(uri, inside=""))
        for layer in artifact.layers:
            if layer.path == uri.inside:
                return layer
        raise not_found(uri)

    async def _artifact(self, uri: Uri) -> Artifact:
        key = replace(uri, inside="", folder=True)
        if key not in self._artifacts:
            body, kind = await self._manifest(key)
            found = read_manifest(body, kind, str(key))
            if isinstance(found, Index):
                chosen = _pinned(key, found.digest.removeprefix("sha256:"))
                found = read_manifest(*await self._manifest(chosen), str(key))
            if isinstance(found, Index):
                raise StorageError(
                    INVALID_RESPONSE,
                    f"{key} is an index of indexes. Name the manifest by its digest.",
                )
            self._artifacts[key] = found
        return self._artifacts[key]

    async def _manifest(self, uri: Uri) -> tuple[bytes, str]:
        """A manifest's bytes, checked by the digest where the URI has one, and their type."""
        tag = uri.version.partition("@")[0].removeprefix(":") or "latest"
        reference = f"sha256:{uri.digest}" if uri.digest else tag
        async with self._get(uri, f"manifests/{reference}", _ACCEPT) as response:
            refuse_packed(response, str(uri))
            body = bytearray()
            async for chunk in chunks(response):
                body += chunk
                if len(body) > MAX_MANIFEST:
                    raise StorageError(
                        INVALID_RESPONSE,
                        f"{uri} has a manifest of more than {MAX_MANIFEST} bytes. Pack the model "
                        "into fewer layers.",
                    )
            kind = response.headers.get("Content-Type", "")
        if uri.digest and hashlib.sha256(body).hexdigest() != uri.digest:
            raise _mismatch(uri, "is another manifest than its digest says")
        return bytes(body), kind

    @asynccontextmanager
    async def _get(
        self, uri: Uri, path: str, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A GET below the repository; a challenge is answered once."""
        host = _HUB_HOST if uri.authority == HUB else uri.authority
        url = URL(f"https://{host}/v2/{uri.path}/{path}", encoded=True)
        async with AsyncExitStack() as stack:
            for again in (False, True):
                login = self._login.header(uri)
                response = await stack.enter_async_context(
                    self._transport.request(
                        "GET",
                        url,
                        {**headers, **login},
                        str(uri),
                        statuses={_UNAUTHORIZED},
                        redirects=_REDIRECTS,
                    )
                )
                if response.status != _UNAUTHORIZED:
                    yield response
                    return
                if again:
                    raise self._login.denied(uri)
                challenge = response.headers.getall("WWW-Authenticate", [])
                async with self._logging_in:
                    # Another request may have answered the same challenge in the meantime.
                    if self._login.header(uri) == login:
                        await self._login.answer(uri, challenge)


def _pinned(uri: Uri, digest: str) -> Uri:
    return replace(uri, version=f"@sha256:{digest}")


def _mismatch(uri: Uri, what: str) -> StorageError:
    return StorageError(
        DIGEST_MISMATCH, f"{uri} {what}. Correct the digest in the spec, or restore the source."
    )


def _read_only(uri: Uri) -> StorageError:
    return StorageError(
        UNSUPPORTED_OPERATION,
        f"nothing is written to a registry ({uri}). Use s3://, gs:// or pvc:// for the store.",
    )
