"""The permissions that the design page lists are enough, for the whole line."""

import json
import re
from pathlib import Path

from tests.integration.controller.harness import apply, eventually, model, operating, pool
from tests.integration.controller.test_line import line
from tests.support.apiserver import ApiServer
from tests.support.cache import REPOSITORY

from tightship.plan.plan import plan

_ROW = re.compile(r"^\| (\S+) \| ([a-z/, ]+?)(?: \(.*\))? \| ([a-z, ]+) \|$", re.MULTILINE)


def rules() -> list[dict[str, list[str]]]:
    page = (REPOSITORY / "docs" / "design" / "control-plane.md").read_text()
    table = page.partition("## Permissions")[2].partition("## ")[0]
    return [
        {
            "apiGroups": ["" if group == "(core)" else group],
            "resources": resources.split(", "),
            "verbs": verbs.split(", "),
        }
        for group, resources, verbs in _ROW.findall(table)
    ]


def account(apiserver: ApiServer, folder: Path) -> Path:
    """A kubeconfig of a service account with these permissions and no other."""
    kubectl, name = apiserver.kubectl, "operator"
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": rules(),
    }
    kubectl("create", "serviceaccount", name, "-n", "default")
    kubectl("apply", "-f", "-", stdin=json.dumps(role))
    flags = [f"--clusterrole={name}", f"--serviceaccount=default:{name}"]
    kubectl("create", "clusterrolebinding", name, *flags)
    token = kubectl("create", "token", name, "-n", "default").strip()
    config = json.loads(apiserver.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "account"
    path.write_text(json.dumps(config))
    return path


async def test_the_listed_permissions_are_enough(apiserver: ApiServer, tmp_path: Path) -> None:
    assert len(rules()) == 18
    kubeconfig = account(apiserver, tmp_path)
    async with (
        line(apiserver, tmp_path, 16) as found,
        operating(
            kubeconfig,
            plan,
            namespaces=(found.where,),
            agent_port=found.port,
            watch_nodes=True,
        ) as supervisor,
    ):
        store = {"uri": "s3://bucket/artifacts"}
        cleaned = pool(store={**store, "retention": "168h"})
        apply(apiserver, found.where, cleaned, model("a"))
        await found.until_ready("a")
        assert found.read("cronjobs")["items"]
        apply(apiserver, found.where, pool(store=store))
        await eventually(lambda: not found.read("cronjobs")["items"], "the clean-up goes")
        apply(apiserver, found.where, model("a", replicas=1, priority=7))
        apiserver.kubectl("-n", found.where, "delete", "om", "a")
        await eventually(lambda: not found.read("jobs")["items"], "nobody needs its Jobs")
        assert b'outcome="Forbidden"' not in supervisor.telemetry.text()
