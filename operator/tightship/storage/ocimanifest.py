"""Manifests of OCI registries: which layers of an artifact or image are files of a model.

Sources: OCI Image Specification 1.1 (manifest, image index, annotations), Docker image manifest
version 2 schema 2, and the annotations that the ORAS client writes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tightship.storage.digests import FileDigest
from tightship.storage.errors import (
    INVALID_RESPONSE,
    TOO_MANY_FILES,
    UNSAFE_FILE,
    UNSUPPORTED_ARTIFACT,
    StorageError,
)
from tightship.storage.layers import FOLDERS, IMAGE, LAYERS
from tightship.storage.uris import safe_path

MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MAX_MANIFEST: Final = 4 << 20  # bytes; what the specification asks registries to take
MAX_LAYERS: Final = 1000

_TITLE = "org.opencontainers.image.title"
_UNPACK = "io.deis.oras.content.unpack"  # "true": the layer is a tar of the folder of this title
_NOTHING = "application/vnd.oci.empty.v1+json"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAR = re.compile(r".*[.+]tar([.+]gzip)?")
_PLATFORM = {"os": "linux", "architecture": "amd64"}
_REMEDY = (
    "Push files with their names, as `oras push` does, or an image whose layers are tar or "
    "tar+gzip."
)


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests for several platforms: the digest (sha256:...) of the one to take."""

    digest: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """The layers that hold files. `path` is where each is stored below the download's folder."""

    layers: tuple[FileDigest, ...]


def read_manifest(body: bytes, media_type: str, subject: str) -> Index | Artifact:
    """Read a manifest. `media_type` is the server's, for manifests that do not tell their own.

    Raises:
        StorageError: InvalidResponse for what is no manifest, UnsupportedArtifact for one of
            another kind, UnsafeFile for titles that are no plain paths, TooManyFiles.
    """
    try:
        content = json.loads(body)
        kind = content.get("mediaType") or media_type.partition(";")[0].strip()
        if kind in INDEXES:
            return Index(_chosen([_Descriptor.of(one) for one in content["manifests"]], subject))
        if kind not in MANIFESTS:
            raise _unsupported(subject, f"has the media type {kind[:80]!a}")
        layers = [_Descriptor.of(one) for one in content["layers"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(
            INVALID_RESPONSE,
            f"the server of {subject} sends no manifest of an OCI artifact. Check that the host "
            "is a registry, and push the artifact again.",
        ) from error
    if len(layers) > MAX_LAYERS:
        raise StorageError(
            TOO_MANY_FILES,
            f"{subject} has {len(layers)} layers; {MAX_LAYERS} are allowed. Pack the model's files "
            "into one.",
        )
    return Artifact(_files(layers, subject))


@dataclass(frozen=True, slots=True)
class _Descriptor:
    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str]
    platform: Mapping[str, str]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "_Descriptor":
        digest, size = str(raw["digest"]), raw["size"]
        if not _DIGEST.fullmatch(digest) or not isinstance(size, int) or size < 0:
            raise ValueError(digest)
        return cls(
            str(raw["mediaType"]),
            digest,
            size,
            dict(raw.get("annotations") or {}),
            dict(raw.get("platform") or {}),
        )


def _chosen(manifests: Sequence[_Descriptor], subject: str) -> str:
    """The only manifest that is no attestation, or that for linux/amd64: data has no platform."""
    found = [
        one
        for one in manifests
        if one.platform.get("os") != "unknown" and one.media_type in MANIFESTS
    ]
    if len(found) > 1:
        found = [
            one
            for one in found
            if all(one.platform.get(key) == value for key, value in _PLATFORM.items())
        ]
    if not found:
        raise _unsupported(subject, "is an index without a manifest for linux/amd64")
    return found[0].digest


def _files(layers: Sequence[_Descriptor], subject: str) -> tuple[FileDigest, ...]:
    files: dict[str, FileDigest] = {}
    for number, layer in enumerate(layers):
        if layer.media_type == _NOTHING:
            continue
        path = _path(number, layer, subject)
        if path in files:
            raise StorageError(
                UNSAFE_FILE, f"{subject} holds {path!a} twice. Give each file a title of its own."
            )
        files[path] = FileDigest(path, layer.digest.removeprefix("sha256:"), layer.size)
    return tuple(sorted(files.values()))


def _path(number: int, layer: _Descriptor, subject: str) -> str:
    title = layer.annotations.get(_TITLE)
    if "foreign" in layer.media_type or "nondistributable" in layer.media_type:
        raise _unsupported(subject, "has a layer that is kept outside the registry")
    if title is None and not _TAR.fullmatch(layer.media_type):
        raise _unsupported(
            subject,
            f"has layer {number} of the type {layer.media_type[:80]!a} without a file's name",
        )
    if title is None:
        return f"{LAYERS}/{number:04d}{IMAGE}"
    if layer.annotations.get(_UNPACK) == "true":
        return f"{LAYERS}/{number:04d}{FOLDERS}"
    path = safe_path(title.removeprefix("./"), subject)
    if path.split("/", 1)[0] == LAYERS:
        raise StorageError(
            UNSAFE_FILE, f"{subject} holds {path[:80]!a}, a name of ours. Rename the file."
        )
    return path


def _unsupported(subject: str, what: str) -> StorageError:
    return StorageError(UNSUPPORTED_ARTIFACT, f"{subject} {what}. {_REMEDY}")
