"""A deleted OptimizedModel leaves nothing behind, whatever was under way, and never hangs."""

from tests.e2e.support import deployment
from tests.e2e.support.kubectl import Object
from tests.e2e.support.workspace import Workspace, condition

from tightship.api.progress import Stage

_LIMIT_SECONDS = 30


def test_a_served_model(workspace: Workspace) -> None:
    workspace.apply_model("digits")
    workspace.wait_ready("digits")
    workspace.delete_model("digits")
    wait_nothing_left(workspace, "digits")


def test_while_the_operator_is_down(workspace: Workspace) -> None:
    workspace.apply_model("digits")
    workspace.wait_ready("digits")
    deployment.scale_operator(workspace.kubectl, 0)
    try:
        workspace.delete_model("digits")
    finally:
        deployment.scale_operator(workspace.kubectl, 1)
    wait_nothing_left(workspace, "digits")


def test_during_its_conversion(workspace: Workspace) -> None:
    workspace.apply_model("magika", "magika", optimization={"minSpeedup": "1.07"})
    workspace.wait_model("magika", is_converting)
    workspace.delete_model("magika")
    wait_nothing_left(workspace, "magika")


def is_converting(model: Object) -> bool:
    """And says which candidate it is at, which its log alone tells."""
    progress = model.get("status", {}).get("conversion", {}).get("progress", "")
    converting = condition(model, "Converted").get("reason") == "Converting"
    return converting and progress.startswith(f"{Stage.CANDIDATES}, ")


def wait_nothing_left(workspace: Workspace, name: str) -> None:
    kubectl, namespace = workspace.kubectl, workspace.namespace
    for kind in ("jobs", "services", "optimizedmodels"):
        kubectl.watch_until(kind, namespace, lambda items: not items, seconds=_LIMIT_SECONDS)
    label = f"model.tightship.dev/{name}"

    def unrouted(pods: list[Object]) -> bool:
        return not any(label in pod["metadata"].get("labels", {}) for pod in pods)

    kubectl.watch_until("pods", namespace, unrouted, seconds=_LIMIT_SECONDS)
    kubectl.watch_until("servingpools", namespace, unloaded, seconds=_LIMIT_SECONDS)


def unloaded(pools: list[Object]) -> bool:
    """Whether no server holds a model; what a server holds is its agent's answer."""
    servers = [server for pool in pools for server in pool.get("status", {}).get("serverList", [])]
    return bool(pools) and all(server["models"] == 0 for server in servers)
