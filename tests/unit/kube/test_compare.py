import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.kube.compare import contains

_CONTAINED = {
    "the server's defaults are further fields": (
        {"spec": {"type": "ClusterIP", "sessionAffinity": "None"}},
        {"spec": {"type": "ClusterIP"}},
    ),
    "a quantity in canonical form": (
        {"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}},
        {"resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}}},
    ),
    "a quantity as a number": ({"requests": {"cpu": "2"}}, {"requests": {"cpu": 2}}),
    "exponents": ({"limits": {"memory": "1e3"}}, {"limits": {"memory": "1k"}}),
    "a size limit": ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1073741824"}}),
    "named containers in another order, with an injected one": (
        {"containers": [{"name": "injected"}, {"name": "b", "image": "2"}, {"name": "a"}]},
        {"containers": [{"name": "a"}, {"name": "b", "image": "2"}]},
    ),
    "mounts by path": (
        {"volumeMounts": [{"name": "w", "mountPath": "/a"}, {"name": "w", "mountPath": "/b"}]},
        {"volumeMounts": [{"name": "w", "mountPath": "/b"}, {"name": "w", "mountPath": "/a"}]},
    ),
    "an empty list is left out by the server": ({"spec": {}}, {"spec": {"tolerations": []}}),
    "an empty map is left out": ({"spec": {}}, {"spec": {"nodeSelector": {}}}),
    "a false that the server leaves out": ({"name": "w"}, {"name": "w", "readOnly": False}),
    "owners by uid": (
        {"ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}]},
        {"ownerReferences": [{"uid": "2", "name": "b"}]},
    ),
    "plain lists in order": ({"args": ["a", "b"]}, {"args": ["a", "b"]}),
}

_DIFFERENT = {
    "another value": ({"spec": {"type": "NodePort"}}, {"spec": {"type": "ClusterIP"}}),
    "a missing field": ({"spec": {}}, {"spec": {"type": "ClusterIP"}}),
    "another quantity": ({"limits": {"cpu": "500m"}}, {"limits": {"cpu": "501m"}}),
    "text that only looks like a quantity": (
        {"env": [{"name": "A", "value": "1000m"}]},
        {"env": [{"name": "A", "value": "1"}]},
    ),
    "a container is gone": ({"containers": [{"name": "a"}]}, {"containers": [{"name": "b"}]}),
    "fewer arguments": ({"args": ["a", "b"]}, {"args": ["a"]}),
    "arguments in another order": ({"args": ["b", "a"]}, {"args": ["a", "b"]}),
    "a pointer's false was removed": ({}, {"automountServiceAccountToken": False}),
    "true for one": ({"replicas": 1}, {"replicas": True}),
    "zero is kept by the server": ({}, {"replicas": 0}),
    "a map became text": ({"a": "x"}, {"a": {"b": "c"}}),
    "a list became text": ({"a": "xy"}, {"a": ["x", "y"]}),
    "an empty selector is not any selector": (
        {"podSelector": {"matchLabels": {"a": "b"}}},
        {"podSelector": {"matchLabels": {"a": "c"}}},
    ),
}


@pytest.mark.parametrize("case", _CONTAINED)
def test_live_holds_what_is_wanted(case: str) -> None:
    live, wanted = _CONTAINED[case]
    assert contains(live, wanted)


@pytest.mark.parametrize("case", _DIFFERENT)
def test_drift_is_seen(case: str) -> None:
    live, wanted = _DIFFERENT[case]
    assert not contains(live, wanted)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_JSON)
def test_everything_contains_itself(value: object) -> None:
    assert contains(value, value)


@given(st.dictionaries(st.sampled_from("abcdef"), _JSON, max_size=4), _JSON)
def test_further_fields_never_matter(wanted: dict[str, object], more: object) -> None:
    assert contains({**wanted, "zz": more}, wanted)
