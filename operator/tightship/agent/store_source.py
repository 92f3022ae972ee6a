"""Artifacts from the pool's store, with the storage package's errors in the agent's reasons."""

from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from tightship.agent.failures import (
    ARTIFACT_CORRUPT,
    ARTIFACT_MISSING,
    NO_SPACE_LEFT,
    STORE_UNREACHABLE,
    LoadingError,
)
from tightship.api.agent import ModelAssignment
from tightship.storage import (
    Access,
    Credentials,
    HostPolicy,
    Limits,
    Scheme,
    Storage,
    StorageError,
    gcs_hosts,
    parse_uri,
)

_GIB = 1 << 30
_REASONS = {
    "SourceNotFound": ARTIFACT_MISSING,
    "DigestMismatch": ARTIFACT_CORRUPT,
    "InvalidManifest": ARTIFACT_CORRUPT,
    "UnsafeFile": ARTIFACT_CORRUPT,
    "SourceTooLarge": ARTIFACT_CORRUPT,
    "NoSpaceLeft": NO_SPACE_LEFT,
    "WriteFailed": NO_SPACE_LEFT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSource:
    """The store at `uri`, with the Secret mounted in `credentials`, read anew for each fetch."""

    uri: str
    credentials: Path
    claims: Path
    limits: Limits = Limits(max_bytes=64 * _GIB)  # noqa: RUF009 (frozen)

    async def fetch(self, wanted: ModelAssignment, to: Path) -> None:
        """Writes all files of an artifact into a folder, every byte checked."""
        uri = f"{self.uri.rstrip('/')}/sha256/{wanted.key}/"
        try:
            async with Storage(self._access()) as storage:
                await storage.fetch(uri, to, digest=wanted.digest, limits=self.limits)
        except StorageError as error:
            reason = _REASONS.get(error.reason, STORE_UNREACHABLE)
            raise LoadingError(reason, error.message) from error

    def _access(self) -> Access:
        uri = parse_uri(self.uri)
        remote = uri.scheme in (Scheme.S3, Scheme.GS, Scheme.HTTPS)
        credentials = Credentials.from_folder(self.credentials) if remote else Credentials()
        hosts = []
        if uri.scheme is Scheme.HTTPS:
            hosts.append(uri.authority)
        if uri.scheme is Scheme.S3:
            hosts.append(_s3_host(credentials, uri.authority))
        if uri.scheme is Scheme.GS:
            hosts += gcs_hosts(credentials)
        claims = {}
        if uri.scheme is Scheme.PVC:
            claims[uri.authority] = self.claims / uri.authority
        return Access(
            hosts=HostPolicy.of(*hosts),
            credentials=credentials,
            claims=claims,
            allow_file=uri.scheme is Scheme.FILE,
        )


def _s3_host(credentials: Credentials, bucket: str) -> str:
    """The endpoint of the Secret, with the bucket in front where buckets are names of hosts."""
    settings = credentials.s3
    endpoint = settings.endpoint or f"s3.{settings.region}.amazonaws.com"
    host = URL(endpoint if "://" in endpoint else f"//{endpoint}").authority
    virtual = settings.virtual_bucket
    if virtual is None:
        virtual = settings.endpoint is None
    return f"{bucket}.{host}" if virtual else host
