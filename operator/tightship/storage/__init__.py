"""Model sources and the artifact store: one interface over all kinds of storage.

    access = Access(hosts=HostPolicy.of("s3.example.com"), credentials=credentials)
    async with Storage(access) as storage:
        found = await storage.download("s3://models/intent/", scratch, limits=Limits(max_bytes=GIB))

Storage is asynchronous (`run` drives one coroutine from synchronous code). What works on local
files only, `unpack`, `check_folder` and `write_manifest`, is synchronous.
Everything raises `StorageError(reason, message, retryable)`; the reasons are in `errors`.
"""

from tightship.storage.archive import Format, archive_format, unpack
from tightship.storage.backend import Entry, Stat
from tightship.storage.backends import Access
from tightship.storage.client import Storage, run
from tightship.storage.credentials import Credentials, S3Settings
from tightship.storage.digests import Download, FileDigest, Kind, file_digest, folder_digest
from tightship.storage.errors import StorageError
from tightship.storage.gcs import gcs_hosts
from tightship.storage.hosts import HostPolicy, normalise_host
from tightship.storage.hublayout import model_of
from tightship.storage.layers import assemble, has_layers
from tightship.storage.limits import Limits
from tightship.storage.publication import Publication, artifact_uri, write_manifest
from tightship.storage.retirement import is_retired, reclaim, remove, retire
from tightship.storage.s3 import bucket_url
from tightship.storage.tree import check_folder
from tightship.storage.unpacking import ArchiveLimits
from tightship.storage.uris import Scheme, Uri, parse_uri

__all__ = [
    "Access",
    "ArchiveLimits",
    "Credentials",
    "Download",
    "Entry",
    "FileDigest",
    "Format",
    "HostPolicy",
    "Kind",
    "Limits",
    "Publication",
    "S3Settings",
    "Scheme",
    "Stat",
    "Storage",
    "StorageError",
    "Uri",
    "archive_format",
    "artifact_uri",
    "assemble",
    "bucket_url",
    "check_folder",
    "file_digest",
    "folder_digest",
    "gcs_hosts",
    "has_layers",
    "is_retired",
    "model_of",
    "normalise_host",
    "parse_uri",
    "reclaim",
    "remove",
    "retire",
    "run",
    "unpack",
    "write_manifest",
]
