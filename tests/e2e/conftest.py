"""One cluster with the operator for the session; a namespace for each test that asks."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from tests.e2e import demo as demonstration
from tests.e2e.support import cluster as clusters
from tests.e2e.support import deployment, store
from tests.e2e.support.client import Client
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.workspace import Workspace

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def bare_cluster() -> Cluster:
    """A cluster with the images, and nothing of ours on it that the tests rely on."""
    return clusters.found()


@pytest.fixture(scope="session")
def demo() -> Workspace:
    """What `make demo` leaves behind: three examples, served."""
    return demonstration.Demo().run()


@pytest.fixture(scope="session")
def cluster(bare_cluster: Cluster) -> Cluster:
    """A cluster with the store, the examples' files in it, and the operator."""
    return deployment.prepare(bare_cluster)


@pytest.fixture
def workspace(cluster: Cluster) -> Iterator[Workspace]:
    """An empty namespace with a pool of one server."""
    made = Workspace(cluster, f"e2e-{next(_numbers)}")
    made.create()
    yield made
    made.delete()


@pytest.fixture
def client(workspace: Workspace) -> Client:
    """A client in the namespace of the test."""
    return Client(workspace.kubectl, workspace.namespace, workspace.cluster.images["operator"])


@pytest.fixture(scope="session")
def put(cluster: Cluster) -> Callable[[str, bytes], None]:
    """Writes an object into the store."""

    def write(key: str, content: bytes) -> None:
        with store.bucket(cluster.kubectl) as bucket:
            bucket.put(key, content)

    return write
