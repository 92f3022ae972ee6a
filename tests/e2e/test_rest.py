"""At rest the operator writes nothing and computes next to nothing."""

import sys
from collections.abc import Iterator

import pytest
from tests.e2e.support import rest
from tests.e2e.support.cluster import Cluster


@pytest.fixture
def quiet(cluster: Cluster) -> Iterator[rest.Quiet]:
    with rest.ten_models(cluster, "e2e-rest") as made:
        yield made


def test_no_write_in_two_minutes(quiet: rest.Quiet) -> None:
    seen = rest.observe(quiet, seconds=120)
    requests, memory = seen.requests, seen.memory / 2**20
    sys.stdout.write(f"{requests}, CPU {seen.cpu:.2%}, memory {memory:.0f} MiB\n")
    assert seen.requests.writes == 0, seen.log
    assert seen.requests.leases > 0, "the Lease is renewed, so the counter would have seen a write"
