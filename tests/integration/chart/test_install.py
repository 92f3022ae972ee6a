"""The chart on a real API server: definitions before pools, kept on uninstall, pods restricted."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import apiserver as apiserver_process
from tests.support import documents
from tests.support.apiserver import ApiServer
from tests.support.cache import REPOSITORY
from tests.support.helm import CHART, helm, render

from tightship.cli import crds

_RELEASE = "tightship"
_SYSTEM = "tightship-system"
_DEFINITIONS = ("optimizedmodels.tightship.dev", "servingpools.tightship.dev")


@pytest.fixture
def empty() -> Iterator[ApiServer]:
    """An API server without the project's CRDs, and two namespaces."""
    with apiserver_process.serving(crds=False) as server:
        for namespace in (_SYSTEM, "models"):
            server.kubectl("create", "namespace", namespace)
        yield server


def _values(**pool: object) -> dict[str, Any]:
    return {"pools": {"shared": {"namespace": "models", **documents.MINIMAL_POOL, **pool}}}


def _helm(server: ApiServer, *arguments: str, values: dict[str, Any] | None = None) -> str:
    place = ("--kubeconfig", str(server.kubeconfig), "--namespace", _SYSTEM)
    return helm(*arguments, *place, values=values)


def _pool(server: ApiServer) -> dict[str, Any]:
    pool: dict[str, Any] = yaml.safe_load(
        server.kubectl("get", "servingpool", "shared", "--namespace", "models", "--output=yaml")
    )
    return pool


def test_install_upgrade_uninstall(empty: ApiServer) -> None:
    _helm(empty, "install", _RELEASE, str(CHART), values=_values())
    assert _pool(empty)["spec"]["maxServers"] == 1
    # Nothing runs Jobs here, so the hook's command is run by the next test.
    _helm(empty, "upgrade", _RELEASE, str(CHART), "--no-hooks", values=_values(maxServers=3))
    assert _pool(empty)["spec"]["maxServers"] == 3
    _helm(empty, "uninstall", _RELEASE, "--no-hooks")
    names = empty.kubectl("get", "customresourcedefinitions", "--output=name")
    assert all(name in names for name in _DEFINITIONS)
    with pytest.raises(subprocess.CalledProcessError, match="servingpool"):
        _pool(empty)


def test_the_hook_renews_and_deletes_definitions(
    empty: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (REPOSITORY / "crds").glob("*.yaml"):
        old = yaml.safe_load(path.read_text())
        old["spec"]["names"]["categories"] = ["old"]
        (tmp_path / path.name).write_text(yaml.safe_dump(old))
    kubeconfig = ("--kubeconfig", str(empty.kubeconfig))
    empty.install_crds(tmp_path)
    assert crds.main(["apply", str(REPOSITORY / "crds"), *kubeconfig]) == 0
    live = yaml.safe_load(empty.kubectl("get", "crd", _DEFINITIONS[0], "--output=yaml"))
    assert live["spec"]["names"]["categories"] == ["tightship"]
    for _ in range(2):
        assert crds.main(["delete", str(REPOSITORY / "crds"), *kubeconfig]) == 0
    assert "delete: servingpools.tightship.dev" in capsys.readouterr().out


def test_every_pod_is_admitted_where_only_restricted_ones_are(apiserver: ApiServer) -> None:
    space, level = "chart", "pod-security.kubernetes.io/enforce=restricted"
    apiserver.kubectl("create", "namespace", space)
    apiserver.kubectl("label", "namespace", space, level)
    pods = 0
    for value in render({"crds": {"keep": False}}):
        if value["kind"] in ("Deployment", "Job", "Pod"):
            template = value["spec"].get("template", {"spec": value["spec"]})
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
            pod["metadata"] = {"generateName": "case-", "namespace": space}
            apiserver.kubectl(
                "create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(pod)
            )
            pods += 1
    assert pods == 4


def test_a_folder_without_definitions(capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main(["apply", str(REPOSITORY / "docs")]) == 1
    assert "holds no .yaml file" in capsys.readouterr().err
