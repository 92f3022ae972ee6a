"""What the chart renders: each switch, rights verb by verb, restricted pods."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.support import documents
from tests.support.cache import REPOSITORY
from tests.support.helm import CHART, HelmError, find, helm, render

from tightship.api import names
from tightship.kube import resources
from tightship.manifests.network import OPERATOR_LABELS

_Object = dict[str, Any]

EVERYTHING: _Object = {
    "replicas": 2,
    "crds": {"keep": False},
    "nodes": {"watch": True},
    "serviceMonitor": {"enabled": True},
    "imagePullSecrets": [{"name": "registry"}],
    "pools": {"shared": {"namespace": "models", **documents.FULL_POOL}},
}


def _pods(objects: list[_Object]) -> Iterator[tuple[str, _Object]]:
    for value in objects:
        name = f"{value['kind']} {value['metadata']['name']}"
        if value["kind"] == "Pod":
            yield name, value["spec"]
        elif value["kind"] in ("Deployment", "Job"):
            yield name, value["spec"]["template"]["spec"]


def _roles(objects: list[_Object]) -> list[_Object]:
    return find(objects, "Role") + find(objects, "ClusterRole")


def _deployment(values: _Object | None = None) -> _Object:
    (deployment,) = find(render(values), "Deployment")
    return deployment


def _container(values: _Object | None = None) -> _Object:
    container: _Object = _deployment(values)["spec"]["template"]["spec"]["containers"][0]
    return container


def _environment(values: _Object | None = None) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in _container(values)["env"]}


def test_lint() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), values=EVERYTHING)


def test_every_pod_is_restricted() -> None:
    pods = dict(_pods(render(EVERYTHING)))
    assert len(pods) == 4, sorted(pods)
    for name, pod in pods.items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


def test_rights_are_named_one_by_one() -> None:
    for role in _roles(render(EVERYTHING)):
        for rule in role["rules"]:
            for part in ("apiGroups", "resources", "verbs"):
                assert rule[part]
                assert "*" not in rule[part], role["metadata"]["name"]


def test_secrets_are_never_listed() -> None:
    for role in _roles(render(EVERYTHING)):
        for rule in role["rules"]:
            if "secrets" in rule["resources"]:
                assert set(rule["verbs"]) == {"get", "create", "update"}


def test_the_operator_may_watch_what_it_watches() -> None:
    (role,) = find(render(), "ClusterRole", "tightship")
    watched = {
        (group, resource)
        for rule in role["rules"]
        if {"list", "watch"} <= set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert watched == {(each.group, each.plural) for each in resources.WATCHED}


@pytest.mark.parametrize("namespaces", [[], ["search"]], ids=str)
def test_nodes_are_watched_where_it_is_asked_for(namespaces: list[str]) -> None:
    assert not find(render({"namespaces": namespaces}), "ClusterRole", "tightship-nodes")
    assert _environment()["TIGHTSHIP_WATCH_NODES"] == "false"
    values = {"namespaces": namespaces, "nodes": {"watch": True}}
    objects = render(values)
    (role,) = find(objects, "ClusterRole", "tightship-nodes")
    assert [(r["apiGroups"], r["resources"], r["verbs"]) for r in role["rules"]] == [
        ([each.group], [each.plural], ["list", "watch"]) for each in resources.INVENTORY
    ]
    (binding,) = find(objects, "ClusterRoleBinding", "tightship-nodes")
    assert binding["subjects"][0]["name"] == "tightship"
    assert _environment(values)["TIGHTSHIP_WATCH_NODES"] == "true"
    unbound = render({**values, "rbac": {"create": False}})
    assert not find(unbound, "ClusterRole", "tightship-nodes")


def test_rights_in_all_namespaces() -> None:
    objects = render()
    assert find(objects, "ClusterRoleBinding", "tightship")
    assert not find(objects, "Role", "tightship")
    assert _environment()["TIGHTSHIP_NAMESPACES"] == ""


def test_rights_in_a_list_of_namespaces() -> None:
    values = {"namespaces": ["search", "ads"]}
    objects = render(values)
    assert not find(objects, "ClusterRole", "tightship")
    for kind in ("Role", "RoleBinding"):
        spaces = [value["metadata"]["namespace"] for value in find(objects, kind, "tightship")]
        assert spaces == ["search", "ads"]
    (everywhere,) = find(render(), "ClusterRole", "tightship")
    assert all(r["rules"] == everywhere["rules"] for r in find(objects, "Role", "tightship"))
    assert _environment(values)["TIGHTSHIP_NAMESPACES"] == "search,ads"


def test_no_rights() -> None:
    objects = render({"rbac": {"create": False}, "crds": {"upgrade": False}})
    assert not _roles(objects)
    assert not find(objects, "RoleBinding")


def test_the_lease_is_the_only_one_that_may_change() -> None:
    (role,) = find(render(), "Role", "tightship-lease")
    change, create = role["rules"]
    assert change["resourceNames"] == [_environment()["TIGHTSHIP_LEASE_NAME"]]
    assert create["verbs"] == ["create"]


def test_one_operator_is_recreated() -> None:
    assert _deployment()["spec"]["strategy"] == {"type": "Recreate"}


def test_two_operators_are_replaced_one_after_the_other() -> None:
    spec = _deployment({"replicas": 2})["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


_DIGEST = "sha256:" + "0" * 64
IMAGES = {
    "default": ({}, "tightship/operator:0.1.0"),
    "tag": ({"repository": "r.example/op", "tag": "1"}, "r.example/op:1"),
    "digest": (
        {"tag": "1", "digest": f"sha256:{'0' * 64}"},
        f"tightship/operator@sha256:{'0' * 64}",
    ),
}


@pytest.mark.parametrize("case", IMAGES)
def test_image(case: str) -> None:
    image, wanted = IMAGES[case]
    assert _container({"image": image})["image"] == wanted


def test_settings_reach_the_operator() -> None:
    settings = {"workers": 9, "resync": 60, "writeRate": 7, "writeBurst": 8, "leaseDuration": 30}
    found = _environment({"settings": {**settings, "logLevel": "debug", "logFormat": "text"}})
    expected = {"WORKERS": "9", "RESYNC": "60", "WRITE_RATE": "7", "WRITE_BURST": "8"}
    expected |= {"LEASE_DURATION": "30", "LOG_LEVEL": "debug", "LOG_FORMAT": "text"}
    assert expected == {name: found[f"TIGHTSHIP_{name}"] for name in expected}


def test_pod_options_reach_the_pod() -> None:
    values = {
        "nodeSelector": {"role": "system"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "imagePullSecrets": [{"name": "registry"}],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "podAnnotations": {"revision": "r2"},
        "podLabels": {"team": "ml", "app.kubernetes.io/component": "other"},
    }
    template = _deployment(values)["spec"]["template"]
    pod = template["spec"]
    for name in (
        "nodeSelector",
        "tolerations",
        "affinity",
        "priorityClassName",
        "imagePullSecrets",
    ):
        assert pod[name] == values[name]
    assert pod["containers"][0]["resources"] == values["resources"]
    assert template["metadata"]["annotations"] == values["podAnnotations"]
    assert template["metadata"]["labels"]["team"] == "ml"


def test_servers_let_the_operator_in() -> None:
    labels = _deployment()["spec"]["template"]["metadata"]["labels"]
    assert OPERATOR_LABELS.items() <= labels.items()


def test_hooks_are_not_the_operator() -> None:
    selector = _deployment()["spec"]["selector"]["matchLabels"]
    objects = render(EVERYTHING)
    for hook in find(objects, "Job"):
        labels = hook["spec"]["template"]["metadata"]["labels"]
        assert not selector.items() <= labels.items()


def test_service_account() -> None:
    named = {"serviceAccount": {"name": "robot", "annotations": {"a": "b"}}}
    (account,) = find(render({**named, "crds": {"upgrade": False}}), "ServiceAccount")
    assert account["metadata"]["name"] == "robot"
    assert account["metadata"]["annotations"] == {"a": "b"}
    foreign = {"serviceAccount": {"create": False, "name": "robot"}, "crds": {"upgrade": False}}
    assert not find(render(foreign), "ServiceAccount")
    assert _deployment(foreign)["spec"]["template"]["spec"]["serviceAccountName"] == "robot"


def test_full_name() -> None:
    assert _deployment({"fullnameOverride": "ship"})["metadata"]["name"] == "ship"


SWITCHES: dict[str, _Object] = {
    "PodDisruptionBudget": {"podDisruptionBudget": {"enabled": False}},
    "NetworkPolicy": {"networkPolicy": {"enabled": False}},
    "Service": {"metrics": {"service": {"enabled": False}}},
    "Job": {"crds": {"upgrade": False}},
}


@pytest.mark.parametrize("kind", SWITCHES)
def test_switched_off(kind: str) -> None:
    assert find(render(), kind)
    assert not find(render(SWITCHES[kind]), kind)


def test_network_policy_options() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    options = {"apiServerCIDRs": ["10.0.0.1/32"], "apiServerPorts": [6443], "metricsFrom": [peer]}
    (policy,) = find(render({"networkPolicy": options}), "NetworkPolicy")
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"from": [peer], "ports": [{"port": 8080, "protocol": "TCP"}]}]
    _, api_server, agents = spec["egress"]
    assert api_server["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    assert [port["port"] for port in api_server["ports"]] == [6443]
    assert [port["port"] for port in agents["ports"]] == [names.AGENT_PORT]
    assert agents["to"][0]["podSelector"]["matchLabels"] == {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.COMPONENT_LABEL: "server",
    }


def test_metrics_service() -> None:
    options = {"port": 9090, "annotations": {"a": "b"}}
    (service,) = find(render({"metrics": {"service": options}}), "Service")
    assert service["metadata"]["annotations"] == {"a": "b"}
    assert service["spec"]["ports"][0]["port"] == 9090


def test_service_monitor() -> None:
    assert not find(render(), "ServiceMonitor")
    options = {"enabled": True, "interval": "10s", "labels": {"release": "prometheus"}}
    (monitor,) = find(render({"serviceMonitor": options}), "ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["endpoints"][0]["interval"] == "10s"


def test_a_service_monitor_needs_the_service() -> None:
    with pytest.raises(HelmError, match=r"needs metrics\.service\.enabled"):
        render({"serviceMonitor": {"enabled": True}, "metrics": {"service": {"enabled": False}}})


def test_helm_test_asks_the_service() -> None:
    pod = next(v for v in render() if v["kind"] == "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (service,) = find(render(), "Service")
    assert service["metadata"]["name"] in pod["spec"]["containers"][0]["command"][-1]


def test_definitions_are_those_of_the_repository() -> None:
    shipped = find(render(None, "--include-crds"), "CustomResourceDefinition")
    files = sorted((REPOSITORY / "crds").glob("*.yaml"))
    assert shipped == [yaml.safe_load(path.read_text()) for path in files]


def test_an_upgrade_writes_the_definitions_first() -> None:
    hooks = [value for value in render() if "pre-upgrade" in _hook(value)]
    assert {value["kind"] for value in hooks} == {
        *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Job")
    }
    (config,) = find(hooks, "ConfigMap")
    for path in (REPOSITORY / "crds").glob("*.yaml"):
        assert yaml.safe_load(config["data"][path.name]) == yaml.safe_load(path.read_text())
    (job,) = find(hooks, "Job")
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command == ["tightship", "crds", "apply", "/crds"]


def test_definitions_outlive_an_uninstall_unless_told_otherwise() -> None:
    assert not [value for value in render() if "post-delete" in _hook(value)]
    hooks = [value for value in render({"crds": {"keep": False}}) if "post-delete" in _hook(value)]
    (job,) = find(hooks, "Job")
    assert "delete" in job["spec"]["template"]["spec"]["containers"][0]["command"]
    (role,) = find(hooks, "ClusterRole")
    (rule,) = role["rules"]
    assert set(rule["verbs"]) == {"get", "delete"}
    assert rule["resourceNames"] == ["optimizedmodels.tightship.dev", "servingpools.tightship.dev"]


def test_no_pool_by_default() -> None:
    assert not find(render(), names.SERVING_POOL)


def test_pools_carry_their_spec() -> None:
    (pool,) = find(render(EVERYTHING), names.SERVING_POOL, "shared")
    assert pool["metadata"]["namespace"] == "models"
    assert pool["spec"] == documents.FULL_POOL


def test_classes_of_all_pools_are_filled_in() -> None:
    classes = {"Interactive": {"latency": {"target": "20ms"}}, "Batch": None}
    first = {"namespace": "models", **documents.MINIMAL_POOL}
    second = {**first, "sloClasses": {"Slow": {"latency": {"target": "9s"}}}}
    objects = render({"sloClasses": classes, "pools": {"one": first, "two": second}})
    found = {v["metadata"]["name"]: v["spec"]["sloClasses"] for v in find(objects, "ServingPool")}
    assert found["one"]["Interactive"]["latency"]["target"] == "20ms"
    assert found["two"].keys() == {"Interactive", "Slow"}


def _hook(value: _Object) -> str:
    annotations = value["metadata"].get("annotations") or {}
    return str(annotations.get("helm.sh/hook", ""))
