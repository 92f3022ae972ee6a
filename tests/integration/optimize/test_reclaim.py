"""A conversion whose artifact the store has, but unused: it takes it back, or says so."""

import shutil
from pathlib import Path

import pytest
from tests.integration.optimize.harness import Pod
from tests.support.summaries import summary

from tightship.api.artifact import UNUSED
from tightship.storage import Access, Storage, run, write_manifest

KEY = "c" * 64
SUMMARY = summary(KEY)


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
