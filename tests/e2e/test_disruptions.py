"""Disruptions under a steady load: nobody notices, but for a gap where a single copy is killed."""

import sys
from collections.abc import Iterator

import pytest
from tests.e2e.support import disruption
from tests.e2e.support.client import Counts
from tests.e2e.support.cluster import Cluster


@pytest.fixture(scope="module")
def scene(cluster: Cluster) -> Iterator[disruption.Scene]:
    with disruption.scene(cluster, "e2e-disruptions") as made:
        yield made


@pytest.mark.parametrize("name", disruption.DISRUPTIONS)
def test_clients_notice_nothing_that_a_retry_does_not_heal(
    scene: disruption.Scene, name: str
) -> None:
    outcome = disruption.measure(scene, name)
    for copies, counts in (("one copy", outcome.one), ("two copies", outcome.two)):
        sys.stdout.write(f"{name}, {copies}: {told(counts)}\n")
    assert outcome.two.retried == {}
    assert outcome.one.retried == {} or name in disruption.GAP_ALLOWED
    assert outcome.one.raw.get("wrong", 0) == outcome.two.raw.get("wrong", 0) == 0


def told(counts: Counts) -> str:
    return (
        f"{counts.requests} requests, failed raw {counts.raw_failures} {dict(counts.raw)},"
        f" behind a retry {counts.failures} {dict(counts.retried)}, gap {counts.gap:.2f} s"
    )
