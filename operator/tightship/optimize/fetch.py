"""The stage fetch: sources, data and code are downloaded with caps and digests, or found done."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from tightship.api.artifact import IntakeResult, Summary
from tightship.api.code import CodeRequest
from tightship.api.job import DataRequest, EvaluateRequest, JobRequest
from tightship.optimize import artifact, space
from tightship.optimize.access import access, artifact_uri
from tightship.optimize.budget import Budget
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.proof import TritonAddress
from tightship.storage import Download, Limits, Storage, is_retired, run

LOG = logging.getLogger(__name__)


def fetch(request: JobRequest, folders: Folders, triton: TritonAddress) -> dict[str, Any]:
    """Download all sources with caps and digests; a conversion first asks the store for KEY."""
    del triton
    # Triton is the next container to start, and ends at once without its model repository.
    folders.models.mkdir(parents=True, exist_ok=True)
    if request.key is not None:
        done = run(_published(request, folders))
        if done is not None:
            folders.done.parent.mkdir(parents=True, exist_ok=True)
            folders.done.write_text(json.dumps(done.to_json()))
            return done.to_json()
    result = run(_fetched(request, folders))
    folders.fetched.write_text(json.dumps(result.to_json()))
    return result.to_json()


async def _published(request: JobRequest, folders: Folders) -> Summary | None:
    uri = artifact_uri(request)
    async with Storage(access(folders, request, "store")) as storage:
        retired = await is_retired(storage, uri)  # before the look-up: see storage.retirement
        found = await storage.published(uri)
    if found is None:
        return None
    if retired:
        folders.reclaim.parent.mkdir(parents=True, exist_ok=True)
        folders.reclaim.touch()
    try:
        return artifact.stored_summary(found.manifest)
    except ValueError as error:
        LOG.warning("the store's manifest of this KEY is not usable (%s): converting again", error)
        return None


async def _fetched(request: JobRequest, folders: Folders) -> IntakeResult:
    shutil.rmtree(folders.source, ignore_errors=True)
    room = space.room(folders.work, request.scratch_bytes)
    limits = Limits(max_bytes=request.max_source_bytes, room=room)
    async with Storage(access(folders, request, "source")) as storage:
        source: Download = await storage.download(
            request.source_uri, folders.source, limits=limits, digest=request.source_digest
        )
    digests = {
        name: await _data(request, folders, name, asked, target)
        for name, asked, target in (
            ("calibration", request.calibration, folders.calibration),
            ("evaluation", request.evaluation, folders.evaluation),
        )
    }
    return IntakeResult(
        trainer_digest=await fetch_code(
            request, folders, "trainer", request.trainer, folders.trainer
        ),
        metric_digest=await fetch_code(
            request, folders, "metric", request.own_metric, folders.metric
        ),
        source_digest=source.digest,
        source_bytes=source.bytes,
        calibration_digest=digests["calibration"],
        evaluation_digest=digests["evaluation"],
    )


async def fetch_code(
    request: JobRequest | EvaluateRequest,
    folders: Folders,
    name: str,
    asked: CodeRequest | None,
    target: Path,
) -> str | None:
    """Download code, held to the bounds of a source; it is unpacked later, without credentials."""
    if asked is None:
        return None
    shutil.rmtree(target, ignore_errors=True)
    room = space.room(folders.work, request.scratch_bytes)
    limits = Limits(max_bytes=request.max_source_bytes, room=room)
    async with Storage(access(folders, request, name)) as storage:
        found = await storage.download(asked.uri, target, limits=limits, digest=asked.digest)
    return found.digest


async def _data(
    request: JobRequest, folders: Folders, name: str, asked: DataRequest | None, target: Path
) -> str | None:
    return None if asked is None else await fetch_data(request, folders, name, asked, target)


async def fetch_data(
    request: JobRequest | EvaluateRequest,
    folders: Folders,
    name: str,
    asked: DataRequest,
    target: Path,
) -> str:
    """Download one data file with the Secret of its use; returns its digest.

    Raises:
        RefusalError: it is a folder.
        StorageError: it cannot be had, or has another digest than was asked for.
    """
    incoming = target.with_name(f"{name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    room = space.room(folders.work, request.scratch_bytes)
    limits = Limits(max_bytes=Budget().max_data_bytes, room=room)
    async with Storage(access(folders, request, name)) as storage:
        found = await storage.download(asked.uri, incoming, limits=limits, digest=asked.digest)
    if len(found.files) != 1:
        raise RefusalError(
            Reason.DATA_INVALID, f"The {name} data are a folder. Name one .npz file as storageUri."
        )
    (incoming / found.files[0].path).replace(target)
    shutil.rmtree(incoming)
    return found.digest
