"""Which backend serves which scheme, and what a process may reach through them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tightship.storage.backend import Backend
from tightship.storage.credentials import Credentials
from tightship.storage.gcs import GcsBackend
from tightship.storage.hosts import HostPolicy
from tightship.storage.https import HttpsBackend
from tightship.storage.hub import HubBackend
from tightship.storage.local import LocalBackend
from tightship.storage.oci import OciBackend
from tightship.storage.s3 import S3Backend
from tightship.storage.transport import IDLE_SECONDS, Transport
from tightship.storage.uris import Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one process may reach, and with which keys.

    `claims` maps a PersistentVolumeClaim's name to the folder where it is mounted. `allow_file`
    permits file:// (development and tests). `idle_seconds` is how long a server may be silent.
    """

    hosts: HostPolicy = field(default_factory=HostPolicy)
    credentials: Credentials = field(default_factory=Credentials)
    claims: Mapping[str, Path] = field(default_factory=dict)
    allow_file: bool = False
    idle_seconds: float = IDLE_SECONDS


def opened(scheme: Scheme, access: Access) -> Backend:
    """The backend of a scheme; it connects with its first request."""
    credentials = access.credentials
    transport = Transport(
        access.hosts,
        credentials,
        access.idle_seconds,
        verify=credentials.s3.verify_ssl or scheme is not Scheme.S3,
    )
    made: dict[Scheme, Callable[[], Backend]] = {
        Scheme.S3: lambda: S3Backend(transport, credentials),
        Scheme.GS: lambda: GcsBackend(transport, credentials),
        Scheme.HTTPS: lambda: HttpsBackend(transport, credentials.authorization),
        Scheme.OCI: lambda: OciBackend(transport, access.hosts, credentials),
        Scheme.HF: lambda: HubBackend(transport, credentials),
        Scheme.PVC: lambda: LocalBackend(access.claims),
        Scheme.FILE: lambda: LocalBackend({"": Path("/")}),
    }
    return made[scheme]()
