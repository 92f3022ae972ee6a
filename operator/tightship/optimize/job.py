"""The stages of both Jobs: fetch, inspect, convert, publish; each ends with one JSON answer."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tightship.api import job
from tightship.api.artifact import TERMINATION_MESSAGE_MAX, IntakeResult, Summary
from tightship.api.code import CodeRequest
from tightship.api.failures import Failure
from tightship.api.job import DataRequest, EvaluateRequest, JobRequest, SweepRequest
from tightship.api.names import HTTP_PORT, METRICS_PORT
from tightship.optimize import artifact, intake, pipeline, space
from tightship.optimize.budget import Budget
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.proof import TritonAddress
from tightship.storage import (
    Access,
    Credentials,
    Download,
    HostPolicy,
    Limits,
    Scheme,
    Storage,
    StorageError,
    bucket_url,
    gcs_hosts,
    is_retired,
    parse_uri,
    reclaim,
    run,
)

LOG = logging.getLogger(__name__)
TRITON = TritonAddress(f"127.0.0.1:{HTTP_PORT}", f"127.0.0.1:{METRICS_PORT}")
ALLOW_FILE_VARIABLE = "TIGHTSHIP_ALLOW_FILE"  # development and tests: file:// addresses
_STORE_SECRETS = ("store", "store-write")
_NO_SPACE = 28  # errno

R = TypeVar("R")
Request = JobRequest | SweepRequest | EvaluateRequest


def main(stage: str, folders: Folders | None = None, triton: TritonAddress = TRITON) -> int:
    """Run one stage of a Job and write its termination message; returns the exit code."""
    folders = folders or Folders()
    return answered(stage, folders, lambda: _STAGES[stage](_request(), folders, triton))


def answered(stage: str, folders: Folders, work: Callable[[], dict[str, Any]]) -> int:
    """Do the work of a stage and write what became of it; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        found: dict[str, Any] | Failure = work()
    except (RefusalError, StorageError) as refusal:
        found = refusal.to_failure()
        LOG.warning("%s: %s", found.reason, found.message)
    except OSError as error:
        LOG.exception("the stage %s failed", stage)
        found = _disk(error)
    except MemoryError:
        LOG.exception("the stage %s failed", stage)
        found = _unexpected(Reason.OUT_OF_MEMORY, "Give the pool's converter more memory.")
    except Exception:
        LOG.exception("the stage %s failed", stage)
        found = _unexpected(
            Reason.INTERNAL, f"Its log names the place; the Job is tried again. Stage: {stage}."
        )
    _tell(found, folders.termination_log)
    return 1 if isinstance(found, Failure) else 0


def _request() -> JobRequest:
    return read_request(JobRequest.from_json)


def read_request(read: Callable[[str], R]) -> R:
    """The stage's request, from its environment.

    Raises:
        RefusalError: it is missing or of another version.
    """
    text = os.environ.get(job.REQUEST_VARIABLE, "")
    try:
        return read(text)
    except ValueError as error:
        raise RefusalError(
            Reason.INVALID_REQUEST,
            f"{job.REQUEST_VARIABLE} cannot be read ({error}). Operator and converter image must "
            "be "
            "of one version.",
        ) from error


def _disk(error: OSError) -> Failure:
    if error.errno == _NO_SPACE:
        message = (
            "No space is left in the Job's scratch volume. Raise spec.converter.scratchSize of the "
            "ServingPool."
        )
        return RefusalError(Reason.NO_SPACE, message).to_failure()
    return _unexpected(Reason.INTERNAL, f"The system said: {error.strerror}.")


def _unexpected(reason: Reason, remedy: str) -> Failure:
    return RefusalError(reason, f"The converter failed unexpectedly. {remedy}").to_failure()


def _tell(found: dict[str, Any] | Failure, log: Path) -> None:
    """Write the answer within the kubelet's limit; a long sentence is cut, never the JSON."""
    text = job.answer(found)
    while len(text.encode()) > TERMINATION_MESSAGE_MAX and isinstance(found, dict):
        found = {**found, "reason": f"{str(found['reason'])[: len(found['reason']) // 2]}…"}
        text = job.answer(found)
    if len(text.encode()) > TERMINATION_MESSAGE_MAX and isinstance(found, Failure):
        text = job.answer(Failure.from_json({**found.to_json(), "message": found.message[:300]}))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)


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


def _store(request: JobRequest) -> str:
    if request.key is None:
        raise RefusalError(
            Reason.INVALID_REQUEST, "A conversion needs a KEY, and the Job has none."
        )
    return f"{request.store_uri.rstrip('/')}/sha256/{request.key}/"


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
    uri = _store(request)
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


def inspect(request: JobRequest, folders: Folders, triton: TritonAddress) -> dict[str, Any]:
    """Refuse hostile or unusable files; the answer is what fetch found, and what limits serving."""
    del triton
    found = intake.take(request, folders, _budget(request))
    LOG.info("contract: %s", json.dumps(found.contract.to_json()))
    result: dict[str, Any] = json.loads(folders.fetched.read_text())
    return {**result, "limitations": list(found.limitations)}


def _budget(request: JobRequest) -> Budget:
    return Budget(scratch_bytes=request.scratch_bytes)


def convert(request: JobRequest, folders: Folders, triton: TritonAddress) -> dict[str, Any]:
    """All optimizing stages; leaves the artifact's folder and the summary for publish."""
    if folders.done.exists():
        return _done(folders)
    found = pipeline.convert(
        request, folders, _budget(request), triton, lambda fact: LOG.info("%s", fact.line)
    )
    summary = artifact.write(found, folders.artifact)
    if summary is None:
        raise RefusalError(Reason.TRITON_FAILED, "The model was not proven in Triton.")
    folders.summary.write_text(json.dumps(summary.to_json()))
    shutil.rmtree(folders.scratch, ignore_errors=True)
    return summary.to_json()


def publish(request: JobRequest, folders: Folders, triton: TritonAddress) -> dict[str, Any]:
    """Upload, manifest last, and answer with what the store then says."""
    del triton
    if folders.done.exists() and not folders.reclaim.exists():
        return _done(folders)
    return run(_publish(request, folders)).to_json()


async def _publish(request: JobRequest, folders: Folders) -> Summary:
    uri = _store(request)
    async with Storage(access(folders, request, "store-write")) as storage:
        await reclaim(storage, uri)
        if not folders.done.exists():
            await storage.publish(folders.artifact, uri)
        stored = await storage.published(uri)
    if stored is None and folders.done.exists():
        raise RefusalError(
            Reason.PUBLISH_FAILED,
            "The artifact had not been used for long, and was removed from the store when it was "
            "asked for. The next try makes it anew.",
        )
    if stored is None:
        raise RefusalError(
            Reason.PUBLISH_FAILED,
            "The store took the artifact and does not show it. Check the store's consistency and "
            "that its write Secret may also read.",
        )
    return artifact.stored_summary(stored.manifest)


def _done(folders: Folders) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(folders.done.read_text())
    return summary


_STAGES: Mapping[str, Callable[[JobRequest, Folders, TritonAddress], dict[str, Any]]] = {
    "fetch": fetch,
    "inspect": inspect,
    "convert": convert,
    "publish": publish,
}
