from typing import Any

import pytest

from tightship.kube.resources import (
    ENDPOINT_SLICES,
    JOBS,
    OPTIMIZED_MODELS,
    PODS,
    SERVICES,
    SERVING_POOLS,
)
from tightship.kube.store import Store, is_older

POOL, OTHER = ("ns", "shared"), ("ns", "spare")


def thing(
    name: str,
    version: int,
    *,
    uid: str | None = None,
    pool: str | None = "shared",
    **more: Any,  # noqa: ANN401
) -> dict[str, Any]:
    labels = {"tightship.dev/pool": pool} if pool else {}
    metadata = {
        "name": name,
        "namespace": "ns",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "labels": labels,
        "managedFields": [{"manager": "m"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": metadata | more.pop("metadata", {}),
        **more,
    }


def model(name: str, version: int, pool: str = "shared", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return thing(name, version, pool=None, spec={"serving": {"poolRef": {"name": pool}}}, **more)


def test_a_change_concerns_the_pool() -> None:
    store = Store()
    assert store.put(SERVICES, thing("a", 1)) == {POOL}
    assert store.put(OPTIMIZED_MODELS, model("a", 2)) == {POOL}
    assert store.put(SERVING_POOLS, thing("shared", 3, pool=None)) == {POOL}
    assert store.pools() == {POOL}


def test_the_same_version_is_no_news() -> None:
    store = Store()
    store.put(SERVICES, thing("a", 7))
    assert store.put(SERVICES, thing("a", 7)) == set()


def test_an_older_event_is_passed_over_but_a_list_is_believed() -> None:
    store = Store()
    store.put(SERVICES, thing("a", 10, spec={"type": "new"}))
    assert store.put(SERVICES, thing("a", 9, spec={"type": "old"})) == set()
    assert store.put(SERVICES, thing("a", 9, spec={"type": "old"}), listed=True) == {POOL}
    entry = store.get(SERVICES, "ns", "a")
    assert entry is not None
    assert entry.value["spec"] == {"type": "old"}


def test_versions_are_compared_as_numbers() -> None:
    assert is_older("9", "10")
    assert not is_older("10", "9")
    assert not is_older("opaque", "10")


def test_a_model_that_moves_concerns_both_pools() -> None:
    store = Store()
    store.put(OPTIMIZED_MODELS, model("a", 1))
    assert store.put(OPTIMIZED_MODELS, model("a", 2, pool="spare")) == {POOL, OTHER}
    assert store.of_pool(OPTIMIZED_MODELS, POOL) == []
    assert [e.name for e in store.of_pool(OPTIMIZED_MODELS, OTHER)] == ["a"]


def test_a_job_concerns_the_pools_of_its_owners() -> None:
    store = Store()
    store.put(OPTIMIZED_MODELS, model("a", 1, pool="spare"))
    owners: dict[str, Any] = {"metadata": {"ownerReferences": [{"uid": "uid-a"}]}}
    assert store.put(JOBS, thing("j", 2, **owners)) == {POOL, OTHER}
    assert [e.name for e in store.of_pool(JOBS, OTHER)] == ["j"]


def test_objects_are_found_by_owner() -> None:
    store = Store()
    owners: dict[str, Any] = {"metadata": {"ownerReferences": [{"uid": "job"}]}}
    store.put(PODS, thing("p", 1, **owners))
    assert [e.name for e in store.owned_by(PODS, "job")] == ["p"]
    store.remove(PODS, thing("p", 2, **owners))
    assert store.owned_by(PODS, "job") == []


def test_a_list_finds_unseen_deletions() -> None:
    store = Store()
    for name in ("kept", "gone"):
        store.put(SERVICES, thing(name, 5))
    store.put(ENDPOINT_SLICES, thing("other-kind", 5))
    assert store.relisted(SERVICES, None, {"uid-kept"}, "8") == {POOL}
    assert [e.name for e in store.of_pool(SERVICES, POOL)] == ["kept"]
    assert store.count(ENDPOINT_SLICES) == 1


def test_a_list_of_another_namespace_deletes_nothing() -> None:
    store = Store()
    store.put(SERVICES, thing("a", 5))
    assert store.relisted(SERVICES, "elsewhere", set(), "8") == set()
    assert store.count(SERVICES) == 1


def test_what_is_newer_than_the_list_stays() -> None:
    store = Store()
    store.put(SERVICES, thing("own-write", 9))
    assert store.relisted(SERVICES, None, set(), "8") == set()
    assert store.count(SERVICES) == 1


def test_an_empty_list_empties_the_kind() -> None:
    store = Store()
    store.put(SERVICES, thing("a", 5))
    assert store.relisted(SERVICES, None, set(), "8") == {POOL}
    assert store.pools() == set()


def test_a_late_deletion_does_not_hit_the_successor() -> None:
    store = Store()
    store.put(SERVICES, thing("a", 5, uid="old"))
    store.put(SERVICES, thing("a", 9, uid="new"))
    assert store.remove(SERVICES, thing("a", 8, uid="old")) == set()
    entry = store.get(SERVICES, "ns", "a")
    assert entry is not None
    assert entry.uid == "new"


def test_derived_facts_go_with_the_version_and_parsed_specs_stay_for_the_generation() -> None:
    store = Store()
    store.put(OPTIMIZED_MODELS, model("a", 1, metadata={"generation": 1}))
    entry = store.get(OPTIMIZED_MODELS, "ns", "a")
    assert entry is not None
    entry.derived, entry.parsed = "fact", "spec"
    store.put(OPTIMIZED_MODELS, model("a", 2, metadata={"generation": 1}))
    entry = store.get(OPTIMIZED_MODELS, "ns", "a")
    assert entry is not None
    assert (entry.derived, entry.parsed) == (None, "spec")
    store.put(OPTIMIZED_MODELS, model("a", 3, metadata={"generation": 2}))
    entry = store.get(OPTIMIZED_MODELS, "ns", "a")
    assert entry is not None
    assert entry.parsed is None


@pytest.mark.parametrize(
    ("spec", "pool"),
    [({}, ""), ({"serving": {}}, ""), ({"serving": {"poolRef": {"name": "x"}}}, "x")],
)
def test_a_model_without_a_pool_does_not_break_the_store(spec: dict[str, Any], pool: str) -> None:
    store = Store()
    assert store.put(OPTIMIZED_MODELS, thing("a", 1, pool=None, spec=spec)) == {("ns", pool)}


def test_what_nobody_reads_is_not_kept() -> None:
    store = Store()
    store.put(PODS, thing("p", 1, spec={"nodeName": "n", "containers": [{"name": "big"}]}))
    entry = store.get(PODS, "ns", "p")
    assert entry is not None
    assert entry.value["spec"] == {"nodeName": "n"}
    assert "managedFields" not in entry.value["metadata"]
