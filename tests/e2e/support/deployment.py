"""The operator from its chart, as the README installs it."""

from tests.e2e.support import examples, store
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Kubectl
from tests.support.cache import REPOSITORY

NAMESPACE = "tightship-system"
RELEASE = "tightship"
ACCOUNT = "tightship"
CHART = REPOSITORY / "charts" / "tightship"
_SECONDS = 180


def install(cluster: Cluster, *values: str) -> None:
    """Installs or upgrades the chart; the operator runs when this returns."""
    repository, _, tag = cluster.images["operator"].rpartition(":")
    settings = [f"image.repository={repository}", f"image.tag={tag}", *values]
    chosen = [word for setting in settings for word in ("--set-string", setting)]
    cluster.kubectl.helm(
        "upgrade", "--install", RELEASE, CHART, "--namespace", NAMESPACE, "--create-namespace",
        *chosen, "--wait", f"--timeout={_SECONDS}s",
    )  # fmt: skip
    wait_operator(cluster.kubectl)


def prepare(cluster: Cluster) -> Cluster:
    """The cluster with the store, the examples' files in it, and the operator."""
    store.install(cluster.kubectl, cluster.images["store"])
    install(cluster)
    with store.bucket(cluster.kubectl) as bucket:
        bucket.upload(examples.files(), "examples")
        store.restore(bucket)
    return cluster


def upgrade_operator(cluster: Cluster) -> None:
    """An upgrade that replaces the operator's pod."""
    revision = len(cluster.kubectl.helm("history", RELEASE, "--namespace", NAMESPACE).splitlines())
    install(cluster, f"podAnnotations.revision=r{revision}")


def wait_operator(kubectl: Kubectl) -> None:
    """Waits until the operator's Deployment is available."""
    kubectl("rollout", "status", f"deployment/{RELEASE}", "-n", NAMESPACE, f"--timeout={_SECONDS}s")


def scale_operator(kubectl: Kubectl, replicas: int) -> None:
    """Takes the operator away, or brings it back; returns when that is done."""
    kubectl("scale", f"deployment/{RELEASE}", "-n", NAMESPACE, f"--replicas={replicas}")
    wait_operator(kubectl)
