"""What a stage of a Job may reach: hosts, credentials, volumes, and its place in the store."""

import os

from tightship.api.job import EvaluateRequest, JobRequest, SweepRequest
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.storage import (
    Access,
    Credentials,
    HostPolicy,
    Scheme,
    bucket_url,
    gcs_hosts,
    parse_uri,
)

ALLOW_FILE_VARIABLE = "TIGHTSHIP_ALLOW_FILE"  # development and tests: file:// addresses
_STORE_SECRETS = ("store", "store-write")

Request = JobRequest | SweepRequest | EvaluateRequest


def access(folders: Folders, request: Request, use: str) -> Access:
    """What a stage may reach with the Secret that is mounted for this use."""
    claims = folders.claims.iterdir() if folders.claims.is_dir() else ()
    return Access(
        hosts=HostPolicy.of(*request.allowed_hosts, *_store_hosts(folders, request)),
        credentials=Credentials.from_folder(folders.secrets / use),
        claims={folder.name: folder for folder in claims},
        allow_file=os.environ.get(ALLOW_FILE_VARIABLE) == "1",
    )


def _store_hosts(folders: Folders, request: Request) -> list[str]:
    """The store's own host, which is always allowed; known where its Secret is mounted."""
    uri = parse_uri(request.store_uri)
    if uri.scheme is Scheme.HTTPS:
        return [uri.authority]
    if uri.scheme not in {Scheme.S3, Scheme.GS}:
        return []
    mounted = [use for use in _STORE_SECRETS if (folders.secrets / use).is_dir()]
    credentials = [Credentials.from_folder(folders.secrets / use) for use in mounted]
    if uri.scheme is Scheme.GS:
        return [host for each in credentials for host in gcs_hosts(each)]
    urls = [bucket_url(each.s3, uri.authority) for each in credentials]
    return [url.host_port_subcomponent for url in urls if url.host_port_subcomponent]


def artifact_uri(request: JobRequest | EvaluateRequest) -> str:
    """Folder of the KEY's artifact in the store.

    Raises:
        RefusalError: the Job has no KEY.
    """
    if request.key is None:
        raise RefusalError(
            Reason.INVALID_REQUEST, "A conversion needs a KEY, and the Job has none."
        )
    return f"{request.store_uri.rstrip('/')}/sha256/{request.key}/"
