"""A server that is not needed is given up in time, and clients of its models do not notice."""

from tests.e2e.support import examples
from tests.e2e.support.client import Client
from tests.e2e.support.kubectl import Object
from tests.e2e.support.workspace import POOL, Workspace, condition, is_observed

_MODELS = ("first", "second", "third")
_SAMPLES = "samples.npz"
_RATE = 5.0  # requests a second for each model
_BESIDE_MODELS = 364 * 2**20  # of a server's memory: Triton itself, and the response cache
_ROOM = 2.5  # models that fit a server: two of them with room to spare, never three
_SECONDS = 300  # a minute of counting, the wait, a load, a drain, and a pod that ends


def test_two_servers_with_little_load_become_one(workspace: Workspace, client: Client) -> None:
    alone, together = spread(workspace)
    stays, goes = together
    client.send_arrays(_SAMPLES, examples.surest("digits", 16))
    with client.load(alone, _SAMPLES, _RATE) as one, client.load(stays, _SAMPLES, _RATE) as two:
        workspace.delete_model(goes)
        workspace.wait_servers(1, seconds=_SECONDS)
        workspace.wait_ready(alone, stays)
        counts = one.counts(), two.counts()
    assert workspace.servers_of(alone) == workspace.servers_of(stays)
    for seen in counts:
        assert seen.requests > 0
        assert (seen.retried, seen.raw.get("wrong", 0)) == ({}, 0)
    assert {"Consolidating", "Consolidated"} <= reasons(workspace)
    pool = workspace.kubectl.get("servingpools", POOL, workspace.namespace)
    assert condition(pool, "Consolidated")["reason"] == "Consolidated"
    assert "consolidation" not in pool["status"]


def test_a_pool_says_what_it_would_give_up_and_keeps_it(workspace: Workspace) -> None:
    alone, (stays, goes) = spread(workspace, after="1h")
    workspace.delete_model(goes)
    pool = workspace.kubectl.wait_for(
        "servingpools", POOL, workspace.namespace, waits, seconds=_SECONDS
    )
    found = pool["status"]["consolidation"]
    assert found["copies"] == 1
    assert found["servers"] in (workspace.servers_of(alone), workspace.servers_of(stays))
    assert len(workspace.servers()) == 2


def spread(workspace: Workspace, after: str = "10s") -> tuple[str, tuple[str, str]]:
    """Three models on two servers of which each holds two: who is alone, and who is not."""
    probe = _MODELS[0]
    workspace.apply_model(probe)
    workspace.wait_ready(probe)
    memory = int(_BESIDE_MODELS + _ROOM * taken(workspace.status(probe)))
    workspace.delete_model(probe)  # it would be converted anew for other servers, while others load
    resources = {"requests": {"memory": str(memory)}}
    workspace.apply_pool(
        minServers=1,
        maxServers=2,
        consolidation={"after": after},
        server={"resources": resources},
    )
    workspace.kubectl.wait_for(
        "servingpools", POOL, workspace.namespace, replaced, seconds=_SECONDS
    )
    workspace.wait_servers(1)
    for name in _MODELS:
        workspace.apply_model(name)
    workspace.wait_ready(*_MODELS)
    workspace.wait_servers(2)
    workspace.kubectl.wait_for("servingpools", POOL, workspace.namespace, rests, seconds=_SECONDS)
    held: dict[str, list[str]] = {}
    for name in _MODELS:
        (server,) = workspace.servers_of(name)
        held.setdefault(server, []).append(name)
    (alone,), (stays, goes) = sorted(held.values(), key=len)
    return alone, (stays, goes)


def replaced(pool: Object) -> bool:
    return condition(pool, "Updated").get("status") == "True" and is_observed(pool)


def taken(status: Object) -> int:
    """Bytes that a copy counts with: those of its profile, or of its load where that took more."""
    measured = [entry.get("memory", 0) for entry in status["placement"]]
    return int(max([status["artifact"]["memory"], *measured]))


def rests(pool: Object) -> bool:
    """Whether nothing starts, loads or moves: what lies where will stay so."""
    return condition(pool, "Consolidated").get("reason") in {"AwaitingTraffic", "Consolidated"}


def waits(pool: Object) -> bool:
    return condition(pool, "Consolidated").get("reason") == "Consolidatable"


def reasons(workspace: Workspace) -> set[str]:
    """Reasons of the Events of the pool."""
    found = workspace.kubectl.listed("events", workspace.namespace)
    return {event["reason"] for event in found if event["involvedObject"]["kind"] == "ServingPool"}
