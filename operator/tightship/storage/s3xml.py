"""The few XML messages of S3 that are read and written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tightship.storage.errors import INVALID_RESPONSE, SOURCE_UNREACHABLE, StorageError


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: keys, sizes, times of writing, and the token of the next page."""

    objects: tuple[tuple[str, int, float | None], ...]
    token: str | None


def parse_page(text: bytes, subject: str) -> Page:
    """Read a ListBucketResult (ListObjectsV2)."""
    root = _root(text, "ListBucketResult", subject)
    objects = []
    for item in root.iterfind("{*}Contents"):
        key, size = item.findtext("{*}Key"), item.findtext("{*}Size", "")
        if not key or not size.isdecimal():
            raise _unreadable(subject)
        objects.append((key, int(size), _seconds(item.findtext("{*}LastModified", ""))))
    more = root.findtext("{*}IsTruncated") == "true"
    return Page(
        tuple(objects), (root.findtext("{*}NextContinuationToken") or None) if more else None
    )


def parse_upload_id(text: bytes, subject: str) -> str:
    """Read an InitiateMultipartUploadResult."""
    upload = _root(text, "InitiateMultipartUploadResult", subject).findtext("{*}UploadId")
    if not upload:
        raise _unreadable(subject)
    return upload


def completion(tags: Sequence[str]) -> bytes:
    """Write a CompleteMultipartUpload; parts are numbered from 1."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
        for number, tag in enumerate(tags, start=1)
    )
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def parse_completion(text: bytes, subject: str) -> None:
    """Accept a CompleteMultipartUploadResult; S3 may send an error with status 200."""
    root = _parse(text, subject)
    if not root.tag.endswith("CompleteMultipartUploadResult"):
        raise StorageError(
            SOURCE_UNREACHABLE,
            f"the store could not put the parts of {subject} together. It is tried again.",
            retryable=True,
        )


def _seconds(stamp: str) -> float | None:
    """Seconds since the epoch; None for what is no time, since only a clean-up needs it."""
    try:
        found = datetime.fromisoformat(stamp)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _root(text: bytes, name: str, subject: str) -> ET.Element:
    root = _parse(text, subject)
    if root.tag.rpartition("}")[2] != name:
        raise _unreadable(subject)
    return root


def _parse(text: bytes, subject: str) -> ET.Element:
    # S3 never sends a document type; without one there are no entities to expand.
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise _unreadable(subject)
    try:
        return ET.fromstring(text)  # noqa: S314 (see above)
    except ET.ParseError as error:
        raise _unreadable(subject) from error


def _unreadable(subject: str) -> StorageError:
    return StorageError(
        INVALID_RESPONSE,
        f"the server of {subject} does not answer like an S3 store. Check the "
        "endpoint in the Secret.",
    )
