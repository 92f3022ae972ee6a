"""Artifacts from real servers of object stores, and a store that is not there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.agent import harness
from tests.integration.agent.harness import Agent, AgentClient, Store
from tests.support import gcs
from tests.support.s3 import S3
from tests.support.triton import Triton

from tightship.storage import Access, Credentials, HostPolicy


@pytest.fixture
def store(s3: S3, tmp_path: Path) -> Store:
    s3.bucket("models")
    credentials = {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "AWS_REGION": s3.region,
        "S3_ENDPOINT": s3.endpoint,
    }
    return harness.s3_store(s3.endpoint, "models", credentials, tmp_path)


@pytest.fixture
def agent(tmp_path: Path, store: Store, server: Triton) -> Iterator[Agent]:
    with harness.agent(tmp_path, store, server) as running:
        yield running


async def test_loads_from_s3(operator: AgentClient, store: Store, server: Triton) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    assert await harness.factor(server, "model") == 2.0


async def test_refused_credentials_are_told_and_corrected_without_a_restart(
    operator: AgentClient, store: Store, tmp_path: Path
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    secret = tmp_path / "secrets" / "store" / "AWS_SECRET_ACCESS_KEY"
    right = secret.read_text()
    secret.write_text("not-the-key")
    await operator.assign(model)
    found = await operator.until_failed("model")
    assert found.failure is not None
    assert (found.failure.reason, found.failure.retryable) == ("StoreUnreachable", True)
    assert "not-the-key" not in found.failure.message
    secret.write_text(right)
    await operator.until_loaded(model)


async def test_loads_from_google_cloud_storage(tmp_path: Path, server: Triton) -> None:
    with gcs.serving("models") as running:
        credentials = {"STORAGE_EMULATOR_HOST": running.endpoint, "ca.crt": running.ca}
        access = Access(
            hosts=HostPolicy.of(running.host), credentials=Credentials.from_mapping(credentials)
        )
        store = Store("gs://models/artifacts", access, tmp_path, credentials)
        with harness.agent(tmp_path, store, server) as agent:
            async with agent.client() as operator:
                model = (await store.publish(2.0)).as_model("model")
                await operator.assign(model)
                await operator.until_loaded(model)
    assert await harness.factor(server, "model") == 2.0
