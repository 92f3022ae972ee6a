"""At rest the operator writes nothing and computes next to nothing."""

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
    print(f"leases {seen.requests.leases}, writes {seen.requests.writes}, other {seen.requests.reads}")
    print(f"CPU {seen.cpu:.2%}, memory {seen.memory / 2**20:.0f} MiB")
    assert seen.requests.writes == 0
    assert seen.requests.leases > 0, "the Lease is renewed, so the counter would have seen a write"
