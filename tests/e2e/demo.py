"""`make demo`: from nothing to the first right answer of three models on one Triton server.

Prints what happens as it happens, then for each model the chosen variant, the speed-up, the metric
before and after, and the median latency. What it makes is left running, to be looked at.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tests.e2e.support import cluster, deployment, examples, store
from tests.e2e.support.client import Client
from tests.e2e.support.kubectl import CommandError, NotReachedError, Object
from tests.e2e.support.workspace import CONVERSION_SECONDS, Workspace, condition, is_ready

NAMESPACE = "demo"
_COLUMNS = "{:<8} {:<28} {:>8} {:>22} {:>22} {:>8}"


@dataclass
class Demo:
    """One run; `say` prints a line with the seconds since it began."""

    begin: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.begin

    def say(self, line: str) -> None:
        """Prints a line of progress."""
        sys.stdout.write(f"[{self.seconds:6.1f} s] {line}\n")
        sys.stdout.flush()

    def run(self) -> Workspace:
        """Everything; returns the namespace in which the three models are served.

        Raises:
            NotReachedError: a model did not become ready.
            RefusedModelError: a model will not become ready.
            WrongAnswerError: the model's answer is not the right one.
        """
        self.say("the cluster and the images")
        found = cluster.found()
        workspace = Workspace(found, NAMESPACE)
        self.say("the store and the operator")
        store.install(found.kubectl, found.images["store"])
        deployment.install(found)
        self.say("models and their data, from packages")
        with store.bucket(found.kubectl) as bucket:
            bucket.upload(examples.files(), "examples")
            store.restore(bucket)
        self.say("a namespace with one ServingPool and three OptimizedModels")
        workspace.create()
        for name in examples.NAMES:
            workspace.apply_model(name, name)
        self._await(workspace)
        self._ask(workspace)
        with store.bucket(found.kubectl) as bucket:
            store.keep(bucket, [workspace.status(name) for name in examples.NAMES])
        return workspace

    def _await(self, workspace: Workspace) -> None:
        reached = _Progress(self.say)
        workspace.kubectl.watch_until(
            "optimizedmodels", workspace.namespace, reached, seconds=CONVERSION_SECONDS
        )

    def _ask(self, workspace: Workspace) -> None:
        """One labelled image of a digit, through the model's Service."""
        data = np.load(examples.files() / "digits" / "evaluation.npz", allow_pickle=False)
        pixels, label = data["pixels"][0], int(data["labels"][0])
        client = Client(
            workspace.kubectl, workspace.namespace, workspace.cluster.images["operator"]
        )
        answer = client.ask("digits", [_tensor("pixels", pixels)])
        scores = answer["outputs"][0]["data"]
        found = int(np.argmax(scores))
        if found != label:
            raise WrongAnswerError(f"digits says {found}, the image shows a {label}")
        self.say(f"first right answer: the image shows a {label}, probability {max(scores):.3f}")


class WrongAnswerError(AssertionError):
    """A served model gave a wrong answer."""


class RefusedModelError(AssertionError):
    """A model is not served until somebody acts; the message says why."""


class _Progress:
    """Whether all models are ready; says what changed on the way."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: dict[str, str] = {}

    def __call__(self, models: list[Object]) -> bool:
        for model in models:
            name, ready = model["metadata"]["name"], condition(model, "Ready")
            text = f"{ready.get('reason')}: {ready.get('message')}"
            if ready.get("status") == "False":
                raise RefusedModelError(f"{name}: {text}")
            if ready and self._said.get(name) != text:
                self._said[name] = text
                self._say(f"{name}: {text}")
        return len(models) == len(examples.NAMES) and all(is_ready(model) for model in models)


def _tensor(name: str, values: np.ndarray) -> dict[str, Any]:
    rounded = [round(float(value), 4) for value in values]
    return {"name": name, "shape": [1, len(values)], "datatype": "FP32", "data": rounded}


def table(workspace: Workspace) -> str:
    """What was chosen for each model, and the servers that hold them."""
    head = ("model", "variant", "speed-up", "metric", "p50", "size")
    rows, servers = [head], set()
    for name in examples.NAMES:
        status = workspace.status(name)
        result, metric = status["optimization"], status["optimization"]["metric"]
        size = result["size"]
        rows.append(
            (
                name,
                status["artifact"]["variant"],
                f"x{result['speedup']}",
                f"{metric['name']} {metric['before']} -> {metric['after']}",
                f"{result['latency']['before']} -> {result['latency']['after']}",
                f"{size['after'] / size['before']:.0%}",
            )
        )
        servers |= {place["server"] for place in status["placement"]}
    lines = [_COLUMNS.format(*row) for row in rows]
    return "\n".join([*lines, f"all on one server: {', '.join(sorted(servers))}"])


_FAILURES = (
    CommandError,
    NotReachedError,
    RefusedModelError,
    WrongAnswerError,
    cluster.MissingImageError,
)


def main() -> int:
    """Runs the demo; 1 and one plain line when it fails."""
    demo = Demo()
    try:
        workspace = demo.run()
    except _FAILURES as error:
        demo.say(f"failed: {error}")
        return 1
    kubectl = workspace.kubectl
    sys.stdout.write(f"\n{table(workspace)}\n\n$ kubectl get om -n {NAMESPACE}\n")
    sys.stdout.write(kubectl("get", "om", "-n", NAMESPACE))
    sys.stdout.write(f"\nlook around: export KUBECONFIG={kubectl.kubeconfig}\n")
    sys.stdout.write("take it down: make down\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
