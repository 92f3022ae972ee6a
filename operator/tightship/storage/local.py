"""Mounted folders: pvc:// claims, and file:// in development. No link is ever followed."""

import asyncio
import contextlib
import errno
import os
import secrets
import stat as modes
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from tightship.storage.backend import Entry, Payload, Stat, not_found
from tightship.storage.digests import CHUNK, Kind
from tightship.storage.errors import (
    ACCESS_DENIED,
    CLAIM_NOT_MOUNTED,
    SOURCE_NOT_FOUND,
    SOURCE_UNREACHABLE,
    StorageError,
)
from tightship.storage.sink import writing
from tightship.storage.tree import check_entry, unsafe
from tightship.storage.uris import Uri

_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalBackend:
    """Files below the root folder of each claim ("" for file://).

    A path is walked part by part from the root with descriptors, so a link that appears between a
    check and its use leads nowhere.
    """

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = roots

    async def stat(self, uri: Uri) -> Stat:
        """What lies at the path."""
        return await asyncio.to_thread(self._stat, uri)

    async def list(self, uri: Uri, max_files: int) -> tuple[Entry, ...]:
        """Every file below the folder, as far as one more than `max_files`."""
        return await asyncio.to_thread(self._list, uri, max_files)

    async def stream(self, uri: Uri) -> AsyncGenerator[bytes, None]:
        """The file's bytes."""
        with await asyncio.to_thread(self._open, uri) as file, _reading(uri):
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk

    async def put(self, uri: Uri, payload: Payload) -> None:
        """Write beside the target, then take its name."""
        await asyncio.to_thread(self._put, uri, payload.content)

    async def delete(self, uri: Uri) -> None:
        """Remove the file, and the folders that it leaves empty."""
        await asyncio.to_thread(self._delete, uri)

    async def close(self) -> None:
        """Nothing is held."""

    def _stat(self, uri: Uri) -> Stat:
        if not uri.path:
            return Stat(kind=Kind.FOLDER, bytes=None)
        with self._parent(uri) as (parent, name), _reading(uri):
            info = os.stat(name, dir_fd=parent, follow_symlinks=False)
            check_entry(info, uri.path)
        if modes.S_ISREG(info.st_mode) and not uri.folder:
            return Stat(kind=Kind.FILE, bytes=info.st_size)
        if modes.S_ISREG(info.st_mode) or not self._list(uri, 0):
            raise not_found(uri)
        return Stat(kind=Kind.FOLDER, bytes=None)

    def _list(self, uri: Uri, max_files: int) -> tuple[Entry, ...]:
        found: list[Entry] = []
        with self._folder(uri) as top, _reading(uri):
            for folder, folders, files, here in os.fwalk(".", dir_fd=top, onerror=_raise):
                if folder == "." and not uri.path and "lost+found" in folders:
                    folders.remove("lost+found")  # the file system's own, readable by root alone
                for name in (*folders, *files):
                    path = os.path.normpath(f"{folder}/{name}")
                    info = os.stat(name, dir_fd=here, follow_symlinks=False)
                    check_entry(info, path)
                    if modes.S_ISREG(info.st_mode):
                        found.append(Entry(path, info.st_size, info.st_mtime))
                if len(found) > max_files:
                    break
        return tuple(sorted(found))

    def _open(self, uri: Uri) -> IO[bytes]:
        with self._parent(uri) as (parent, name), _reading(uri):
            opened = os.open(name, _READ, dir_fd=parent)
            try:
                _check_file(os.fstat(opened), uri)
            except StorageError:
                os.close(opened)
                raise
            return os.fdopen(opened, "rb", buffering=0)

    def _put(self, uri: Uri, content: Path | bytes) -> None:
        part = f".{secrets.token_hex(8)}.part"
        with writing(str(uri)), self._parent(uri, create=True) as (parent, name):
            try:
                with os.fdopen(os.open(part, _WRITE, 0o644, dir_fd=parent), "wb") as file:
                    _pour(content, file)
                os.replace(part, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(part, dir_fd=parent)
                raise

    def _delete(self, uri: Uri) -> None:
        try:
            with writing(str(uri)), self._parent(uri) as (parent, name):
                os.unlink(name, dir_fd=parent)
        except StorageError as error:
            gone = isinstance(error.__cause__, FileNotFoundError)
            if not gone and error.reason != SOURCE_NOT_FOUND:
                raise
        self._remove_empty(uri)

    def _remove_empty(self, uri: Uri) -> None:
        parts = uri.path.split("/")[:-1]
        while parts:
            try:
                with self._walk(uri, parts[:-1], create=False) as parent:
                    os.rmdir(parts.pop(), dir_fd=parent)
            except (OSError, StorageError):  # not empty, or another one removes it too
                return

    @contextlib.contextmanager
    def _folder(self, uri: Uri) -> Iterator[int]:
        parts = uri.path.split("/") if uri.path else []
        with self._walk(uri, parts, create=False) as descriptor:
            yield descriptor

    @contextlib.contextmanager
    def _parent(self, uri: Uri, *, create: bool = False) -> Iterator[tuple[int, str]]:
        *parts, name = uri.path.split("/")
        with self._walk(uri, parts, create=create) as descriptor:
            yield descriptor, name

    @contextlib.contextmanager
    def _walk(self, uri: Uri, parts: Sequence[str], *, create: bool) -> Iterator[int]:
        root = self._roots.get(uri.authority)
        if root is None:
            raise StorageError(
                CLAIM_NOT_MOUNTED,
                f"claim {uri.authority!r} of {uri} is not mounted here. Check that the "
                "PersistentVolumeClaim exists in the model's namespace.",
            )
        with contextlib.ExitStack() as stack:
            here = _step(stack, uri, str(root), None)
            for part in parts:
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=here)
                here = _step(stack, uri, part, here)
            yield here


def _step(stack: contextlib.ExitStack, uri: Uri, part: str, parent: int | None) -> int:
    # The root itself may be a link: mounts are the cluster's, what lies below is the user's.
    flags = _STEP if parent is not None else _STEP & ~os.O_NOFOLLOW
    with _reading(uri):
        if parent is not None:
            check_entry(os.stat(part, dir_fd=parent, follow_symlinks=False), uri.path)
        descriptor = os.open(part, flags, dir_fd=parent)
    stack.callback(os.close, descriptor)
    return descriptor


def _pour(content: Path | bytes, file: IO[bytes]) -> None:
    if isinstance(content, bytes):
        file.write(content)
    else:
        with content.open("rb") as source:
            while chunk := source.read(CHUNK):
                file.write(chunk)
    file.flush()
    os.fsync(file.fileno())


def _check_file(info: os.stat_result, uri: Uri) -> None:
    check_entry(info, uri.path)
    if not modes.S_ISREG(info.st_mode):
        raise not_found(uri)


def _raise(error: OSError) -> None:
    raise error


@contextlib.contextmanager
def _reading(uri: Uri) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise not_found(uri) from error
    except PermissionError as error:
        raise StorageError(
            ACCESS_DENIED,
            f"{uri} may not be read by the pod's user. Correct the files' owner or mode, "
            "or set fsGroup for the volume.",
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise unsafe(uri.path, "a symbolic link") from error
        raise StorageError(
            SOURCE_UNREACHABLE,
            f"{uri} cannot be read: {error.strerror or 'input/output error'}. Check the volume.",
            retryable=True,
        ) from error
