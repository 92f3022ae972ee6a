"""What is served, evaluated again in the cluster: labels that have changed since are told."""

from collections.abc import Callable

import numpy as np
from tests.corpus.models import data
from tests.e2e.support import examples
from tests.e2e.support.client import Client
from tests.e2e.support.kubectl import Object
from tests.e2e.support.workspace import Workspace, condition, is_ready
from tests.e2e.test_serving import digit

_KEY = "examples/digits-later/evaluation.npz"


def evaluated(model: Object) -> bool:
    return "result" in model["status"].get("evaluation", {})


def missed(model: Object) -> bool:
    return condition(model, "Fresh").get("reason") == "GateFailed"


def test_labels_that_change_are_told_and_the_model_serves_on(
    workspace: Workspace, client: Client, put: Callable[[str, bytes], None]
) -> None:
    file = examples.files() / "digits" / "evaluation.npz"
    with np.load(file, allow_pickle=False) as opened:
        arrays = {name: opened[name] for name in opened.files}
    put(_KEY, data.npz(**arrays))
    workspace.apply_model(
        "digits",
        data={"evaluation": {"storageUri": f"s3://tightship/{_KEY}"}},
        monitoring={"evaluation": {"schedule": "* * * * *"}},
    )
    workspace.wait_ready("digits")
    good = workspace.wait_model("digits", evaluated)
    assert condition(good, "Fresh")["status"] == "True"
    metric = good["status"]["optimization"]["metric"]["after"]
    assert good["status"]["evaluation"]["result"]["value"] == metric

    put(_KEY, data.npz(**{**arrays, "labels": (arrays["labels"] + 1) % 10}))
    bad = workspace.wait_model("digits", missed)
    assert "maxDrop" in condition(bad, "Fresh")["message"]
    assert is_ready(bad)
    assert len(client.ask("digits", digit())["outputs"][0]["data"]) == 10
