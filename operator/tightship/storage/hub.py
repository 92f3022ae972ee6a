"""Repositories of models on the Hugging Face Hub, or on a server that speaks its API.

Source: the Hub's API endpoints (`/api/models/ORG/NAME/revision/REVISION`, `/tree/REVISION`) and its
download addresses (`/ORG/NAME/resolve/REVISION/PATH`). A revision is resolved to a commit once;
every file is checked by the sha256, or the sha1 of the Git object, in this commit's listing.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, unquote

import aiohttp
from yarl import URL

from tightship.storage.answers import refuse_packed
from tightship.storage.backend import Entry, Payload, Stat, not_found
from tightship.storage.credentials import Credentials
from tightship.storage.digests import FileDigest, GitBlob, Kind, checked, hexadecimal
from tightship.storage.errors import (
    ACCESS_DENIED,
    INVALID_RESPONSE,
    SOURCE_NOT_FOUND,
    TOO_MANY_FILES,
    UNSUPPORTED_OPERATION,
    StorageError,
)
from tightship.storage.hublayout import model_files
from tightship.storage.transport import Transport, chunks
from tightship.storage.uris import Uri

_REDIRECTS = 3  # to the repository's new name, and to where large files are kept
_MAX_PAGE = 8 << 20  # bytes of one answer of the API
_MAX_PAGES = 20
_REFUSALS: Final = frozenset({401, 403, 404})
_COMMIT_DIGITS = 40
_UNAUTHORIZED, _MISSING = 401, 404


class HubBackend:
    """Files and folders of repositories at one commit each; nothing can be written."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._endpoint = credentials.hub.endpoint
        token = credentials.hub.token
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._listed: dict[tuple[Uri, bool], tuple[FileDigest | GitBlob, ...]] = {}
        self._known: dict[Uri, FileDigest | GitBlob] = {}

    async def resolve(self, uri: Uri, digest: str | None) -> Uri:
        """The URI by the commit that its revision names now."""
        del digest  # of files: the Hub knows commits
        path = f"api/models/{uri.authority}/{uri.path}/revision/{_revision(uri)}"
        async with self._get(uri, self._address(path)) as response:
            try:
                commit = hexadecimal((await _json(response, uri))["sha"], _COMMIT_DIGITS)
            except (KeyError, TypeError, ValueError) as error:
                raise _not_the_hub(uri) from error
        return replace(uri, version=f"@{commit}")

    async def stat(self, uri: Uri) -> Stat:
        """A file by the listing of its folder, else a folder."""
        if uri.inside and not uri.folder:
            parent = uri.inside.rpartition("/")[0]
            for file in await self._files(replace(uri, inside=parent, folder=True), deep=False):
                if file.path == uri.inside:
                    return Stat(kind=Kind.FILE, bytes=file.bytes)
        if not await self._files(replace(uri, folder=True), deep=True):
            raise not_found(uri)
        return Stat(kind=Kind.FOLDER, bytes=None)

    async def list(self, uri: Uri, max_files: int) -> tuple[Entry, ...]:
        """Every file below a folder; of a whole repository, those that are its ONNX model."""
        files = await self._files(replace(uri, folder=True), deep=True)
        sizes = {file.path: file.bytes for file in files}
        prefix = f"{uri.inside}/" if uri.inside else ""
        names = sorted(sizes) if prefix else model_files(sizes, str(uri))
        return tuple(
            Entry(name.removeprefix(prefix), sizes[name]) for name in names[: max_files + 1]
        )

    async def stream(self, uri: Uri) -> AsyncGenerator[bytes, None]:
        """A file's bytes, which end in an error where they are not those that were listed."""
        if uri not in self._known:
            parent = uri.inside.rpartition("/")[0]
            await self._files(replace(uri, inside=parent, folder=True), deep=False)
        wanted = self._known.get(uri)
        if wanted is None:
            raise not_found(uri)
        path = f"{uri.authority}/{uri.path}/resolve/{_revision(uri)}/{quote(uri.inside)}"
        async with self._get(uri, self._address(path)) as response:
            refuse_packed(response, str(uri))
            async for chunk in checked(chunks(response), wanted, str(uri)):
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

    async def _files(self, uri: Uri, *, deep: bool) -> tuple[FileDigest | GitBlob, ...]:
        """The files of a folder, those below its folders too when `deep`; none where it is none."""
        if (uri, deep) not in self._listed:
            found = await self._pages(uri, deep=deep)
            self._known |= {replace(uri, inside=file.path, folder=False): file for file in found}
            self._listed[uri, deep] = found
        return self._listed[uri, deep]

    async def _pages(self, uri: Uri, *, deep: bool) -> tuple[FileDigest | GitBlob, ...]:
        tree = f"api/models/{uri.authority}/{uri.path}/tree/{_revision(uri)}/{quote(uri.inside)}"
        url = self._address(f"{tree.rstrip('/')}?recursive={str(deep).lower()}")
        found: list[FileDigest | GitBlob] = []
        for _ in range(_MAX_PAGES):
            async with self._get(uri, url) as response:
                found += _listed(await _json(response, uri), uri)
                following = _next(response, uri)
            if following is None:
                return tuple(found)
            if following.origin() != self._endpoint.origin():  # where the token would go
                raise _not_the_hub(uri)
            url = following
        raise StorageError(
            TOO_MANY_FILES, f"{uri} holds too many files. Name the model's own folder."
        )

    def _address(self, path: str) -> URL:
        return URL(f"{str(self._endpoint).rstrip('/')}/{path}", encoded=True)

    @asynccontextmanager
    async def _get(self, uri: Uri, url: URL) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._transport.request(
            "GET", url, self._headers, str(uri), statuses=_REFUSALS, redirects=_REDIRECTS
        ) as response:
            if response.status in _REFUSALS:
                raise _refused(uri, response, known=bool(self._headers))
            yield response


def _revision(uri: Uri) -> str:
    return quote(unquote(uri.version.removeprefix("@")) or "main", safe="")


def _next(response: aiohttp.ClientResponse, uri: Uri) -> URL | None:
    """The address of a listing's next page, in GitHub's form of a Link header."""
    try:
        links = {relation: link.get("url") for relation, link in response.links.items()}
        found = links.get("next")
        following = None if found is None else URL(str(found), encoded=True)
    except ValueError as error:
        raise _not_the_hub(uri) from error
    if following is not None and not following.absolute:
        raise _not_the_hub(uri)
    return following


async def _json(response: aiohttp.ClientResponse, uri: Uri) -> Any:  # noqa: ANN401 (not yet read)
    body = bytearray()
    async for chunk in chunks(response):
        body += chunk
        if len(body) > _MAX_PAGE:
            raise _not_the_hub(uri)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _not_the_hub(uri) from error


def _listed(page: object, uri: Uri) -> list[FileDigest | GitBlob]:
    try:
        entries = [entry for entry in page if entry["type"] == "file"]  # type: ignore[attr-defined]
        return [_file(entry) for entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_the_hub(uri) from error


def _file(raw: Mapping[str, Any]) -> FileDigest | GitBlob:
    lfs = raw.get("lfs")
    if lfs:
        return FileDigest(str(raw["path"]), hexadecimal(lfs["oid"], 64), _size(lfs["size"]))
    return GitBlob(str(raw["path"]), hexadecimal(raw["oid"], _COMMIT_DIGITS), _size(raw["size"]))


def _size(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError
    return value


def _refused(uri: Uri, response: aiohttp.ClientResponse, *, known: bool) -> StorageError:
    """The error for a refusal, by the code that the Hub gives in a header."""
    code = response.headers.get("X-Error-Code", "")
    if code == "GatedRepo":
        return StorageError(
            ACCESS_DENIED,
            f"{uri} is gated. Accept its conditions on its page, and put a token of the account "
            "that did into the Secret as HF_TOKEN.",
        )
    if code == "RepoNotFound" or (response.status == _UNAUTHORIZED and not known):
        token = "that the token may read it" if known else "give a Secret with HF_TOKEN"
        return StorageError(
            SOURCE_NOT_FOUND,
            f"{uri}: there is no such repository of models, or it is private, or it lacks this "
            f"revision ({response.status}). Check the spelling; if it is private, {token}.",
        )
    if code == "RevisionNotFound":
        return StorageError(
            SOURCE_NOT_FOUND,
            f"{uri}: the repository has no such branch, tag or commit. Check what stands after @.",
        )
    if response.status == _MISSING:
        return not_found(uri)
    return StorageError(
        ACCESS_DENIED,
        f"access to {uri} was denied ({response.status}). Check HF_TOKEN in the Secret and what it "
        "may read.",
    )


def _not_the_hub(uri: Uri) -> StorageError:
    return StorageError(
        INVALID_RESPONSE,
        f"the server of {uri} does not answer as the Hugging Face Hub does. Check HF_ENDPOINT in "
        "the Secret.",
    )


def _read_only(uri: Uri) -> StorageError:
    return StorageError(
        UNSUPPORTED_OPERATION,
        f"nothing is written to the Hub ({uri}). Use s3://, gs:// or pvc:// for the store.",
    )
