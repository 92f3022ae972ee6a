"""Resources of the what-if planner: what the operator takes, and one line for what it refuses."""

import pytest
from tests.support.cache import REPOSITORY

from tightship.whatif import resources
from tightship.whatif.errors import QuestionError
from tightship.whatif.resources import Model, Resources

EXAMPLE = REPOSITORY / "examples" / "plan"
MODEL = """
apiVersion: tightship.dev/v1alpha1
kind: OptimizedModel
metadata: {name: one}
spec:
  model: {storageUri: s3://models/one.onnx}
  serving: {poolRef: {name: shared}}
"""


def test_the_example_is_read() -> None:
    found = resources.read((EXAMPLE / "models.yaml").read_text(), "models.yaml")
    assert len(found.models) == 9
    assert found.models["bert-6-layers"].spec.serving.replicas == 2
    pool = resources.read((EXAMPLE / "pool.yaml").read_text(), "pool.yaml")
    assert pool.pools["gpus"].spec.max_servers == 6


def test_a_list_of_kubectl_is_taken_apart_and_other_kinds_are_passed_over() -> None:
    other = "kind: Deployment\nmetadata: {name: web}\n---\njust words\n---\n"
    listed = "kind: List\napiVersion: v1\nitems:\n- " + MODEL.strip().replace("\n", "\n  ")
    found = resources.read(other + listed + "\n  status: {artifact: {memory: 5}}\n", "x")
    assert found.models["one"].status == {"artifact": {"memory": 5}}


def test_a_file_wins_over_the_cluster_but_its_status_stays() -> None:
    spec = resources.read(MODEL, "x").models["one"].spec
    changed = resources.read(MODEL.replace("one.onnx", "two.onnx"), "x")
    known = Resources(models={"one": Model(name="one", spec=spec, status={"url": "u"})})
    both = known.under(changed).models["one"]
    assert both.status == {"url": "u"}
    assert both.spec.model.storage_uri == "s3://models/two.onnx"


REFUSED = {
    "no YAML": ("a: [", "x.yaml: not YAML"),
    "another version": (
        MODEL.replace("v1alpha1", "v1"),
        "x.yaml: OptimizedModel one: apiVersion must be tightship.dev/v1alpha1",
    ),
    "no name": (
        MODEL.replace("{name: one}", "{}"),
        "x.yaml: OptimizedModel None: metadata.name must be a lower-case letter",
    ),
    "a name that no Service has": (
        MODEL.replace("{name: one}", '{name: "<b>\\e[1m"}'),
        "x.yaml: OptimizedModel <b>\ufffd[1m: metadata.name must be a lower-case letter",
    ),
    "no pool": (
        MODEL.replace("{poolRef: {name: shared}}", "{}"),
        "x.yaml: OptimizedModel one: spec.serving.poolRef: is required",
    ),
    "twice": (f"{MODEL}---{MODEL}", "x.yaml: OptimizedModel one: is there twice"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_operator_refuses_is_one_line(name: str) -> None:
    text, told = REFUSED[name]
    with pytest.raises(QuestionError) as caught:
        resources.read(text, "x.yaml")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
