"""The cluster under test, the project's own or a given one, and the images in it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.support.kubectl import Kubectl
from tests.support.tools import CLUSTER

IMAGES = ("operator", "converter", "triton-cpu", "store")
_TORCH = "converter-torch"


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `images` holds a reference for each name of IMAGES."""

    kubectl: Kubectl
    images: dict[str, str]


class MissingImageError(RuntimeError):
    """A cluster was given without the images to run on it."""


def found() -> Cluster:
    """The given cluster, or the project's own, started and filled if need be.

    TIGHTSHIP_KUBECONFIG names a cluster; then TIGHTSHIP_IMAGES_OPERATOR, _CONVERTER, _TRITON_CPU
    and _STORE name images that it can pull.

    Raises:
        MissingImageError: one of these variables is missing.
    """
    given = os.environ.get("TIGHTSHIP_KUBECONFIG")
    if given:
        return Cluster(Kubectl(Path(given)), {name: _given_image(name) for name in IMAGES})
    _cluster("up")
    kubeconfig = _cluster("kubeconfig").strip()
    return Cluster(Kubectl(Path(kubeconfig)), _images())


def with_torch() -> tuple[str, dict[str, str]]:
    """The converter image with torch, and the labels of the nodes that have it.

    It has several GB, so that the project's own cluster holds it on one node, from when it is first
    asked for. A given cluster pulls what TIGHTSHIP_IMAGES_CONVERTER_TORCH names, on any node.

    Raises:
        MissingImageError: that variable is missing.
    """
    if os.environ.get("TIGHTSHIP_KUBECONFIG"):
        return _given_image(_TORCH), {}
    return _images(_TORCH)[_TORCH], {f"tightship.dev/has-{_TORCH}": "true"}


def _images(*names: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in _cluster("images", *names).split())


def _given_image(name: str) -> str:
    variable = f"TIGHTSHIP_IMAGES_{name.upper().replace('-', '_')}"
    if not os.environ.get(variable):
        raise MissingImageError(
            f"TIGHTSHIP_KUBECONFIG is set: set {variable} to an image it can pull"
        )
    return os.environ[variable]


def _cluster(*command: str) -> str:
    done = subprocess.run([CLUSTER, *command], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout
