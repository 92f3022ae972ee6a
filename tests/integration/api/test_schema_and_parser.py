"""The schema that a real API server enforces and the parser accept the same resources."""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from tests.support import accelerators, documents
from tests.support.apiserver import ApiServer
from tests.support.documents import Document

from tightship.api import names
from tightship.api.parse import SpecError, parse_model, parse_pool

_CASES = settings(
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_CORES = ("server", "resources", "requests", "cpu")
_ON_DEVICES = tuple(map(accelerators.pool, accelerators.TAKEN.values()))
_HOSTS = ("converter", "allowedHosts")


@dataclass
class Admission:
    """Asks the API server, on one connection, what it would make of a resource."""

    connection: http.client.HTTPSConnection
    token: str

    def create(self, plural: str, kind: str, spec: object) -> tuple[Document | None, str]:
        """The spec as the server would store it, or None and its message."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {"name": "case"},
            "spec": spec,
        }
        path = f"/apis/{names.API_VERSION}/namespaces/default/{plural}"
        self.connection.request(
            "POST",
            f"{path}?dryRun=All&fieldValidation=Strict",
            json.dumps(body),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status == 201:
            return answer["spec"], ""
        assert response.status in (400, 422), answer
        return None, answer["message"]


@pytest.fixture(scope="module")
def admission(apiserver: ApiServer) -> Iterator[Admission]:
    address = urlsplit(apiserver.url)
    context = ssl._create_unverified_context()  # noqa: S323 (its own certificate, on loopback)
    assert address.hostname
    connection = http.client.HTTPSConnection(address.hostname, address.port, context=context)
    yield Admission(connection, apiserver.token)
    connection.close()


def _agree(
    admission: Admission, plural: str, kind: str, spec: Document, parse: Callable[[object], object]
) -> None:
    stored, refusal = admission.create(plural, kind, spec)
    if stored is None:
        with pytest.raises(SpecError):
            raise AssertionError(f"only the schema refuses: {refusal} {parse(spec)}")
    else:
        assert parse(spec) == parse(stored), "the schema's defaults are not those of the values"


def _gated(gate: Document, metric: Document | None) -> Document:
    """A model with that gate, and evaluation data with that metric."""
    spec = {**documents.MINIMAL_MODEL, "optimization": {"accuracyGate": gate}}
    if metric is not None:
        spec["data"] = {"evaluation": {"storageUri": "s3://b/k", "metric": metric}}
    return spec


GATES: list[tuple[Document, Document | None]] = [
    (gate, metric)
    for gate in (
        {"maxDrop": "1"},
        {"maxDrop": "1.5"},
        {"maxDrop": "5", "worstValue": "999"},
        {"maxDrop": "x"},
        {"worstValue": "1.000001"},
        {"worstValue": "0"},
        {"worstValue": None, "maxClassDrop": "0"},
        {"maxClassDrop": "1"},
        {"maxClassDrop": "1.1"},
        {"worstClassValue": "0"},
        {"maxClassDrop": "0", "worstClassValue": "1"},
        {"worstClassValue": "1.1"},
    )
    for metric in (
        None,
        {},
        {"name": "f1", "positiveClass": 0},
        {"name": "auc", "positiveClass": 0},
        {"name": "rmse"},
        {"name": "mae", "positiveClass": None},
        {"name": "wer"},
    )
]


@pytest.mark.parametrize("gate", GATES, ids=str)
def test_what_a_gate_may_ask_of_a_metric(
    admission: Admission, gate: tuple[Document, Document | None]
) -> None:
    _agree(admission, names.OPTIMIZED_MODELS, names.OPTIMIZED_MODEL, _gated(*gate), parse_model)


SOURCES = [
    *(
        "oci://h/r",
        "oci://h:5000/r/s__t:1.0",
        "oci://h/r@sha256:" + "0" * 64,
        "oci://h",
        "oci://h/",
    ),
    *("oci://h/r:-", "oci://h/R", "oci://h/r/", "oci://h/r:1@sha256:" + "a" * 64, "oci:///r"),
    *("oci://h/r@sha256:" + "0" * 63, "oci://h/r@sha512:" + "0" * 128, "oci://h//r"),
    *("oci://u:p@h/r", "oci://h/r?x", "oci://h/r--s/t_u.v:" + "x" * 128, "oci://h/r:" + "x" * 129),
    *(
        "oci://h/r___s",
        "oci://h/r..s",
        "oci://h/-r",
        "oci://[::1]/r",
        "oci://h:0/r",
        "oci://h/r:1/s",
    ),
    *("oci://h/../r", "hf://o", "hf:///n", "hf://o:1/n", "hf://o/n?x", "hf://o/" + "n" * 97),
    *("hf://o/n", "hf://o/n/", "hf://o/n@main/onnx/model.onnx", "hf://o/n@refs%2Fpr%2F1"),
    *("hf://o/n@", "hf://o/n@a/b@c/", "hf://.o/n", "hf://o/n.", "hf://o/n//x", "hf://o/n/../x"),
    *("hf://o/n@../x", "hf://o/n@%2E", "gs://bkt/k", "gs://bkt/", "gs://Bkt/k", "gs://b/k"),
    *("gs://" + "b" * 222 + "/k", "gs://" + "b" * 223 + "/k", "gs://b_.t/k", "gs://bkt//k"),
]


@pytest.mark.parametrize("uri", SOURCES)
def test_addresses_of_sources(admission: Admission, uri: str) -> None:
    spec = documents.changed(documents.FULL_MODEL, ("model", "storageUri"), uri)
    spec = documents.changed(spec, ("data", "evaluation", "storageUri"), uri)
    _agree(admission, names.OPTIMIZED_MODELS, names.OPTIMIZED_MODEL, spec, parse_model)


SCHEDULES = [
    *(
        "* * * * *",
        "0 3 * * 1",
        "0 0 1,15 * *",
        "*/20 9-17 * 1-6 0,7",
        "59 23 31 12 7",
        "05 * * * *",
    ),
    *("0 3 * *", "0  3 * * 1", " 0 3 * * 1", "0 3 * * 1 *", "0 3 * * MON", "@daily", "", "?"),
    *(
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * 0 *",
        "* * * * 8",
    ),
    *("9-5 * * * *", "5-5 * * * *", "*/0 * * * *", "*/100 * * * *", "1,,2 * * * *", "1- * * * *"),
    *("001 * * * *", "5/20 * * * *", "0-30/10 * * * *", "0 0 30 2 *", "0 0 31,30-31 2,02 *"),
    *("0 0 31 2,4,06,9,11 *", "0 0 31 2-4 *", "0 0 31 */12 *", "0 0 31 11,12 *", "0 0 31,1 2 *"),
    *("0 0 29 2 *", "0 0 30 2 1", "0 0 30 4,2 *", "0 0 */31 2 *", "0 0 31 4 *,1", "0 0 29-31 2 *"),
    *("* * * * 0" + ",0" * 45, "* * * * 0" + ",0" * 46),
]


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedules(admission: Admission, text: str) -> None:
    place = ("monitoring", "evaluation", "schedule")
    spec = documents.changed(documents.FULL_MODEL, place, text)
    _agree(admission, names.OPTIMIZED_MODELS, names.OPTIMIZED_MODEL, spec, parse_model)


@pytest.mark.parametrize("entry", documents.ENTRY_POINTS)
def test_entry_points(admission: Admission, entry: str) -> None:
    for spec in documents.with_entry_point(entry):
        _agree(admission, names.OPTIMIZED_MODELS, names.OPTIMIZED_MODEL, spec, parse_model)


METRICS: list[Document] = [
    {"name": "own"},
    {"own": documents.OWN_MODEL["data"]["evaluation"]["metric"]["own"]},
    {"name": "mae", "own": {"storageUri": "s3://b/k", "entrypoint": "a:b"}},
    {"name": "own", "own": {}},
    {"name": "own", "own": {"storageUri": "s3://b/k", "entrypoint": "a:b"}, "positiveClass": 1},
    {"name": "own", "own": {"storageUri": "s3://b/k", "entrypoint": "a:b", "better": "higher"}},
    {"name": "own", "own": {"storageUri": "s3://b/k", "entrypoint": "a:b", "better": None}},
    {"name": None, "own": None},
]


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_own_metrics(admission: Admission, metric: Document) -> None:
    spec = documents.changed(documents.OWN_MODEL, ("data", "evaluation", "metric"), metric)
    _agree(admission, names.OPTIMIZED_MODELS, names.OPTIMIZED_MODEL, spec, parse_model)


STORES = [
    *(
        "gs://bkt",
        "gs://bkt/",
        "gs://bkt/a/b/",
        "gs://bkt//a",
        "gs://b",
        "gs://bkt/../a",
        "s3://bkt",
    ),
    *("oci://h/r", "hf://o/n", "https://h/p", "gs://bkt/a?x", "gs://k:s@bkt/a", "gs://-bkt/a"),
]


@pytest.mark.parametrize("uri", STORES)
def test_addresses_of_stores(admission: Admission, uri: str) -> None:
    spec = documents.changed(documents.FULL_POOL, ("store", "uri"), uri)
    _agree(admission, names.SERVING_POOLS, names.SERVING_POOL, spec, parse_pool)


CONSOLIDATIONS: list[Document] = [
    {},
    *({"policy": policy} for policy in ("WhenPossible", "Never", "whenPossible", "", None)),
    *({"after": after} for after in ("0s", "10s", "168h", "168h1ms", "-1s", "10", "", 10, None)),
    *({"budget": share} for share in ("1%", "10%", "99%", "100%", "101%", "0%", "010%", "10", 10)),
    *({"budget": share} for share in ("", "%", "1.5%", "10 %", "1%\n", None)),
    {"before": "10s"},
]


@pytest.mark.parametrize("consolidation", CONSOLIDATIONS, ids=str)
def test_consolidation(admission: Admission, consolidation: Document) -> None:
    spec = {**documents.MINIMAL_POOL, "consolidation": consolidation}
    _agree(admission, names.SERVING_POOLS, names.SERVING_POOL, spec, parse_pool)


DEVICES = [*accelerators.TAKEN.values(), *(each for each, _ in accelerators.REFUSED.values())]


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_accelerators(admission: Admission, device: Document) -> None:
    spec = accelerators.pool(device)
    _agree(admission, names.SERVING_POOLS, names.SERVING_POOL, spec, parse_pool)


@_CASES
@given(spec=documents.mutated(documents.MINIMAL_MODEL, documents.FULL_MODEL, documents.OWN_MODEL))
@example(spec=documents.MINIMAL_MODEL)
@example(spec=documents.FULL_MODEL)
@example(spec=documents.OWN_MODEL)
def test_models(admission: Admission, spec: Document) -> None:
    _agree(admission, names.OPTIMIZED_MODELS, names.OPTIMIZED_MODEL, spec, parse_model)


@_CASES
@given(spec=documents.mutated(documents.MINIMAL_POOL, documents.FULL_POOL, *_ON_DEVICES))
@example(spec=documents.MINIMAL_POOL)
@example(spec=documents.FULL_POOL)
@example(spec=documents.changed(documents.MINIMAL_POOL, _CORES, 2.0))
@example(spec=documents.changed(documents.MINIMAL_POOL, _HOSTS, ["a", "a"]))
def test_pools(admission: Admission, spec: Document) -> None:
    _agree(admission, names.SERVING_POOLS, names.SERVING_POOL, spec, parse_pool)
