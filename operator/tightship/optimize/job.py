"""The stages of both Jobs in their pods: fetch, inspect, convert, publish."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from typing import Any

from tightship.api.artifact import Summary
from tightship.api.job import JobRequest
from tightship.api.names import HTTP_PORT, METRICS_PORT
from tightship.optimize import answer, artifact, fetch, intake, pipeline
from tightship.optimize.access import access, artifact_uri
from tightship.optimize.budget import Budget
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.proof import TritonAddress
from tightship.storage import Storage, reclaim, run

LOG = logging.getLogger(__name__)
TRITON = TritonAddress(f"127.0.0.1:{HTTP_PORT}", f"127.0.0.1:{METRICS_PORT}")


def main(stage: str, folders: Folders | None = None, triton: TritonAddress = TRITON) -> int:
    """Run one stage of a Job and write its termination message; returns the exit code."""
    folders = folders or Folders()
    return answer.answered(stage, folders, lambda: _STAGES[stage](_request(), folders, triton))


def _request() -> JobRequest:
    return answer.read_request(JobRequest.from_json)


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
    uri = artifact_uri(request)
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
    "fetch": fetch.fetch,
    "inspect": inspect,
    "convert": convert,
    "publish": publish,
}
