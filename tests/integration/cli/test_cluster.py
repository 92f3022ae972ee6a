"""What `tightship plan --from-cluster` reads of a real API server, and what it is refused."""

import json
from pathlib import Path

import pytest
import yaml
from tests.integration.controller.harness import apply, model, namespace, pool
from tests.support.apiserver import ApiServer

from tightship.cli import cluster, plan
from tightship.kube import client
from tightship.kube.client import Client
from tightship.kube.connection import Connection
from tightship.kube.resources import SERVICES
from tightship.whatif.errors import QuestionError

ARTIFACT = {
    "key": "a" * 64,
    "digest": "b" * 64,
    "variant": "original",
    "technique": "None",
    "bytes": 1000,
    "memory": 70_000_000,
    "maxBatch": 8,
    "loadTime": "1.8s",
    "busyTime": "1.91ms",
}


def server(name: str, of: str, node: str) -> dict[str, object]:
    labels = {
        "app.kubernetes.io/managed-by": "tightship",
        "app.kubernetes.io/component": "server",
        "tightship.dev/pool": of,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": False,
            "containers": [{"name": "triton", "image": "triton:1"}],
        },
    }


def running(apiserver: ApiServer, where: str) -> None:
    """Two pools; of `shared` two servers and two models, one of them on a server that is gone."""
    account: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default"},
    }
    apply(apiserver, where, account, pool(), pool("other"), model("one"), model("two"))
    apply(apiserver, where, server("s-1", "shared", "n-1"), server("s-2", "shared", "n-2"))
    apply(apiserver, where, server("o-1", "other", "n-3"))
    for name, on in (("one", ["s-1"]), ("two", ["s-2", "gone"])):
        placement = [{"server": each, "digest": "c" * 64} for each in on]
        traffic = {"requestsPerSecond": "40.00", "samplesPerRequest": "2.50", "burstiness": "1.50"}
        found = {"artifact": ARTIFACT, "placement": placement, "traffic": traffic}
        status = {"status": found}
        apiserver.kubectl(
            "patch", "om", name, "-n", where, "--subresource=status", "--type=merge",
            "-p", json.dumps(status),
        )  # fmt: skip


async def test_models_servers_and_where_they_are(apiserver: ApiServer) -> None:
    where = namespace(apiserver)
    running(apiserver, where)
    found = await cluster.read(where, kubeconfig=str(apiserver.kubeconfig), context=None)
    assert sorted(found.resources.models) == ["one", "two"]
    assert sorted(found.resources.pools) == ["other", "shared"]
    assert found.resources.models["one"].status["artifact"]["memory"] == 70_000_000
    now = found.running("shared")
    assert now.servers == {"s-1": "n-1", "s-2": "n-2"}
    assert now.placement == {"one": ("s-1",), "two": ("s-2",)}


def test_the_command_plans_from_what_runs(
    apiserver: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = namespace(apiserver)
    running(apiserver, where)
    more = tmp_path / "more.yaml"
    more.write_text(yaml.safe_dump_all([model("one", slo={"class": "None"}), model("three")]))
    there = ["--from-cluster", "-n", where, "--kubeconfig", str(apiserver.kubeconfig)]
    what = ["--pool", "shared", "-f", str(more), "--rate", "three=1", "--servers", "3"]
    assert plan.main([*there, *what, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = {m["name"]: (m["verdict"], m["rate"], m["cv"], m["profile"]) for m in found["models"]}
    assert told == {
        "one": ("NoObjective", 100, 1.5, "status"),
        "two": ("NoObjective", 100, 1.5, "status"),
        "three": ("NotMeasured", 1, 1, "not measured"),
    }
    assert found["changes"]["move"] == [{"model": "three", "from": None, "to": "new-1", "wave": 0}]
    assert found["changes"]["start"] == ["new-1"]


async def test_a_long_list_comes_in_pages(
    apiserver: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = namespace(apiserver)
    names = [f"service-{number}" for number in range(5)]
    services: list[dict[str, object]] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": {"half": name[-1]}},
            "spec": {"ports": [{"port": 80}]},
        }
        for name in names
    ]
    apply(apiserver, where, *services)
    monkeypatch.setattr(client, "_PAGE", 2)
    speaking = Client(await Connection.open(str(apiserver.kubeconfig)))
    found = [item async for item in speaking.list(SERVICES, where)]
    selected = [item async for item in speaking.list(SERVICES, where, selector="half in (1,2,3)")]
    await speaking.close()
    assert [item["metadata"]["name"] for item in found] == names
    assert [item["metadata"]["name"] for item in selected] == names[1:4]
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "Service")}


async def test_who_may_not_read_is_told_what_it_takes(apiserver: ApiServer, tmp_path: Path) -> None:
    config = yaml.safe_load(apiserver.kubeconfig.read_text())
    where = namespace(apiserver)
    account: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "reader"},
    }
    apply(apiserver, where, account)
    token = apiserver.kubectl("create", "token", "reader", "-n", where).strip()
    for user in config["users"]:
        user["user"] = {"token": token}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(QuestionError, match=f"it takes list of optimizedmodels.* in {where}"):
        await cluster.read(where, kubeconfig=str(file), context=None)


@pytest.mark.parametrize("text", ["", "a: [", "apiVersion: v1\nkind: Config\n"])
async def test_without_a_way_to_a_cluster(text: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(QuestionError, match="--from-cluster: no way to the API server"):
        await cluster.read("default", kubeconfig=str(file), context=None)
