"""Real servers for integration tests, started once a session: Triton, kube-apiserver, S3."""

from collections.abc import Iterator

import pytest
from tests.support import apiserver as apiserver_process
from tests.support import s3 as s3_process
from tests.support import triton as triton_process


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton_process.Triton]:
    """A Triton in explicit mode, its repository empty; each test uses model names of its own."""
    repository = tmp_path_factory.mktemp("models")
    with triton_process.serving(repository, "--cache-config=local,size=16777216") as server:
        yield server


@pytest.fixture(scope="session")
def apiserver() -> Iterator[apiserver_process.ApiServer]:
    """A kube-apiserver with the project's CRDs; each test uses a namespace of its own."""
    with apiserver_process.serving() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[s3_process.S3]:
    """An S3 server; each test uses a bucket of its own."""
    with s3_process.serving() as server:
        yield server
