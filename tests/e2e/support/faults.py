"""What goes wrong in a cluster, done on purpose: killed processes, deleted pods."""

from tests.e2e.support import deployment
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.workspace import Workspace

# A container of the pod sees the processes of all its containers, and may end those of its user.
_KILL = """
import os, pathlib, signal, sys
wanted = sys.argv[1]
for entry in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = entry.joinpath("cmdline").read_bytes().decode().split("\\0")
    except OSError:
        continue
    triton, agent = words[0].endswith("tritonserver"), "tightship.agent.main" in words
    if triton if wanted == "triton" else agent:
        os.kill(int(entry.name), signal.SIGKILL)
        print("killed", entry.name)
"""


class NothingKilledError(AssertionError):
    """The process that was to be killed is not there."""


def kill_triton(workspace: Workspace, server: str) -> None:
    """Triton's process ends without warning, as in a crash or when it is out of memory."""
    _kill(workspace, server, "triton")


def kill_agent(workspace: Workspace, server: str) -> None:
    """The agent's process ends without warning; its supervisor is left."""
    _kill(workspace, server, "agent")


def _kill(workspace: Workspace, server: str, what: str) -> None:
    said = workspace.kubectl(
        "exec", server, "-n", workspace.namespace, "-c", "agent", "--", "python3", "-c", _KILL, what
    )
    if "killed" not in said:
        raise NothingKilledError(f"no process of {what} in {server}")


def delete_server(workspace: Workspace, server: str) -> None:
    """A server's pod is deleted, as by a drained node."""
    workspace.kubectl("delete", "pod", server, "-n", workspace.namespace, "--wait=false")


def kill_operator(kubectl: Kubectl) -> None:
    """The operator's pod ends without a chance to say goodbye; its Deployment makes another."""
    selector = "app.kubernetes.io/name=tightship"
    kubectl(
        "delete", "pod", "-n", deployment.NAMESPACE, "-l", selector, "--grace-period=0", "--force"
    )
