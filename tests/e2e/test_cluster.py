"""The project's own cluster: what its nodes give to pods, and what is left of them afterwards."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.support import deployment
from tests.e2e.support.cluster import Cluster
from tests.support.tools import CLUSTER

pytestmark = pytest.mark.skipif(
    "TIGHTSHIP_KUBECONFIG" in os.environ, reason="the given cluster is not ours"
)


def test_a_pod_may_start_as_many_processes_as_it_likes(cluster: Cluster) -> None:
    pod = ("exec", f"deployment/{deployment.RELEASE}", "-n", deployment.NAMESPACE)
    files = "/sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max"  # of cgroup v1 and v2
    limit = cluster.kubectl(*pod, "--", "sh", "-c", f"cat {files} 2>/dev/null || true")
    assert limit.split() == ["max"]


class _Engine:
    """The container engine's volumes."""

    def __init__(self) -> None:
        self._command = shutil.which("podman") or shutil.which("docker")

    def __call__(self, *arguments: str) -> str:
        assert self._command is not None
        done = subprocess.run(
            [self._command, "volume", *arguments], check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.strip()


@pytest.fixture
def volumes() -> Iterator[dict[str, str]]:
    """Volumes by their label: those of a cluster's nodes, and two that only look like it."""
    engine = _Engine()
    labels = ("gone-control-plane", "gone-worker", "gone-worker2", "gone-worker-3", "gone2-worker")
    made = {label: engine("create", "--label", f"{label}=true") for label in labels}
    yield made
    left = set(engine("ls", "-q").split()) & set(made.values())
    if left:
        engine("rm", *left)


def test_a_deleted_cluster_leaves_no_volumes_of_its_own(
    volumes: dict[str, str], tmp_path: Path
) -> None:
    env = {**os.environ, "TIGHTSHIP_CLUSTER": "gone", "TIGHTSHIP_CACHE": str(tmp_path)}
    subprocess.run([CLUSTER, "down"], check=True, env=env)
    existing = set(_Engine()("ls", "-q").split())
    left = {label for label, volume in volumes.items() if volume in existing}
    assert left == {"gone-worker-3", "gone2-worker"}
