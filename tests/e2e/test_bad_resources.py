"""Resources that only the operator can refuse: a reason for each, and no harm to others."""

from collections.abc import Iterator

import pytest
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Object
from tests.e2e.support.told import told
from tests.e2e.support.workspace import Workspace, condition, is_ready
from tests.support import corpus
from tests.support.corpus import BadManifest

_CASES = corpus.manifests("status")
_LIMIT_SECONDS = 120.0  # intakes run four at a time; each has a minute from its Job's start
_GOOD = "good"


@pytest.fixture(scope="module")
def applied(cluster: Cluster) -> Iterator[Workspace]:
    """One good model, served, and then all bad ones at once beside it."""
    workspace = Workspace(cluster, "e2e-bad-resources")
    workspace.create()
    workspace.apply_model(_GOOD)
    workspace.wait_ready(_GOOD)
    for case in _CASES:
        for document in case.documents:
            document["metadata"]["namespace"] = workspace.namespace
            workspace.kubectl.apply(document)
    yield workspace
    workspace.delete()


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_the_status_names_cause_and_remedy(applied: Workspace, case: BadManifest) -> None:
    def refused(model: Object) -> bool:
        return condition(model, "Ready").get("reason") == case.reason

    name = case.resource["metadata"]["name"]
    model = applied.wait_model(name, refused, seconds=_LIMIT_SECONDS)
    ready = told(applied, model, "Ready")
    assert ready["status"] == "False"
    assert case.says in ready["message"]


@pytest.mark.parametrize("case", corpus.manifests("api-server"), ids=lambda case: case.name)
def test_nothing_else_is_let_in(applied: Workspace, case: BadManifest) -> None:
    resource = case.resource
    resource["metadata"]["namespace"] = applied.namespace
    assert case.says in applied.kubectl.refusal(resource)


def test_the_good_model_is_still_served(applied: Workspace) -> None:
    assert is_ready(applied.model(_GOOD))
    assert applied.servers_of(_GOOD)
