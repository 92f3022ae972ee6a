"""A conversion whose artifact the store has, but unused: it takes it back, or says so."""

import shutil
from pathlib import Path

import pytest
from tests.integration.optimize.harness import Pod

from tightship.api.artifact import UNUSED, Summary
from tightship.storage import Access, Storage, run, write_manifest

KEY = "c" * 64
SUMMARY = Summary(
    key=KEY,
    digest="",
    variant="original",
    technique="None",
    reason="Nothing was faster inside the gate.",
    bytes_before=1,
    bytes_after=1,
    speedup=1.0,
    p50_before=0.001,
    p50_after=0.001,
    p99=0.002,
    metric="agreement",
    metric_before=1.0,
    metric_after=1.0,
    gate_max_drop=0.01,
    candidates=1,
    memory=1,
    load_seconds=0.1,
    duty_seconds=0.001,
    max_batch=1,
)


@pytest.fixture
def stored(pod: Pod, tmp_path: Path) -> Path:
    """The folder of a KEY that the store has, and that the pod is asked for."""
    made = tmp_path / "made"
    (made / "model").mkdir(parents=True)
    (made / "model/config.pbtxt").write_text("")
    write_manifest(made, {"summary": SUMMARY.to_json()})
    run(_publish(made, f"{pod.request.store_uri}/sha256/{KEY}/"))
    pod.ask(key=KEY)
    return tmp_path / "store/sha256" / KEY


async def _publish(folder: Path, uri: str) -> None:
    async with Storage(Access(allow_file=True)) as storage:
        await storage.publish(folder, uri)


def test_an_artifact_in_use_is_not_written_to(pod: Pod, stored: Path) -> None:
    found = pod.run("fetch")
    shutil.rmtree(stored.parent)
    assert pod.run("publish") == found, "the store is not asked again"


def test_an_unused_artifact_is_taken_back(pod: Pod, stored: Path) -> None:
    (stored / UNUSED).touch()
    found = pod.run("fetch")
    assert (stored / UNUSED).exists(), "fetch has no right to write"
    assert pod.run("convert") == found
    assert pod.run("publish") == found
    assert not (stored / UNUSED).exists()


def test_an_artifact_that_is_removed_meanwhile_is_made_anew(pod: Pod, stored: Path) -> None:
    (stored / UNUSED).touch()
    pod.run("fetch")
    shutil.rmtree(stored)
    failure = pod.refused("publish")
    assert (failure.reason, failure.retryable) == ("PublishFailed", True)
    assert "next try" in failure.message
