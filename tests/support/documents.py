"""Resources for property tests: valid documents, and mutations of them at every place."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]
Path = tuple[str | int, ...]

MINIMAL_MODEL: Document = {
    "model": {"storageUri": "s3://models/intent/model.onnx"},
    "serving": {"poolRef": {"name": "shared"}},
}

FULL_MODEL: Document = {
    "model": {
        "storageUri": "https://models.example.com:8443/intent/model.onnx",
        "modelFormat": {"name": "triton"},
        "secretRef": {"name": "models-s3"},
        "digest": "sha256:" + "0123456789abcdef" * 4,
        "refreshInterval": "12h",
    },
    "data": {
        "calibration": {
            "storageUri": "pvc://data/intent/calibration.npz",
            "secretRef": {"name": "data.s3"},
            "maxSamples": 64,
        },
        "evaluation": {
            "storageUri": "s3://data/evaluation.npz",
            "secretRef": {"name": "data"},
            "maxSamples": 500,
            "metric": {"name": "f1", "positiveClass": 3},
        },
    },
    "optimization": {
        "techniques": {
            "quantize": {},
            "halfPrecision": {},
            "openvino": {},
            "prune": {"sparsity": "0.7"},
        },
        "accuracyGate": {
            "maxDrop": "0.02",
            "worstValue": "0.75",
            "maxClassDrop": "0.1",
            "worstClassValue": "0.6",
            "confidence": "0.9",
        },
        "objective": "throughput",
        "minSpeedup": "1.2",
        "search": {"strategy": "Random", "maxTrials": 12, "maxDuration": "90s"},
        "trainer": {
            "storageUri": "s3://models/intent/trainer.tar.gz",
            "entrypoint": "train.digits:Digits",
            "secretRef": {"name": "trainer"},
            "options": {
                "techniques": ["zeros", "channels"],
                "epochs": 12,
                "batchSize": 128,
                "optimizer": "sgd",
                "learningRate": "0.05",
                "schedule": "one-cycle",
                "l1": "0.0001",
                "l2": "0",
                "precision": "bf16",
                "patience": 3,
                "temperature": "4",
                "alpha": "0.7",
                "seed": 11,
                "maxDuration": "5m",
            },
        },
    },
    "serving": {
        "poolRef": {"name": "shared-1"},
        "slo": {"class": "Batch", "latency": {"percentile": 95, "target": "1m30s"}},
        "priority": 7,
        "replicas": 3,
        "dynamicBatching": {"enabled": False, "maxQueueDelay": "2.5ms"},
        "responseCache": {},
    },
    "monitoring": {
        "maxAge": "720h",
        "evaluation": {"schedule": "0 3 * * 1"},
        "drift": {"maxPSI": "0.25", "sampleRate": "0.05", "samples": 1000},
    },
}

OWN_MODEL: Document = {
    **MINIMAL_MODEL,
    "data": {
        "evaluation": {
            "storageUri": "s3://data/evaluation.npz",
            "metric": {
                "name": "own",
                "own": {
                    "storageUri": "pvc://code/metrics.tar.gz",
                    "entrypoint": "metrics/distance.py:near",
                    "secretRef": {"name": "metric"},
                    "better": "smaller",
                },
            },
        },
    },
    "optimization": {"accuracyGate": {"maxDrop": "7.5", "worstValue": "40"}},
}

MINIMAL_POOL: Document = {
    "server": {
        "image": "triton",
        "agentImage": "operator",
        "resources": {"requests": {"cpu": 1, "memory": "1Gi"}},
    },
    "store": {"uri": "s3://tightship"},
    "converter": {"image": "converter", "resources": {"requests": {"cpu": "2", "memory": "2G"}}},
}

FULL_POOL: Document = {
    "server": {
        "image": "nvcr.io/nvidia/tritonserver:26.01-py3",
        "agentImage": "registry.example.com/tightship/operator@sha256:" + "ab" * 32,
        "resources": {
            "requests": {"cpu": "1500m", "memory": "24Gi"},
            "limits": {"cpu": 4, "memory": "24576Mi"},
        },
        "agentResources": {"requests": {"cpu": "0.25", "memory": "256Mi"}, "limits": {"cpu": "1"}},
        "nodeSelector": {"nvidia.com/gpu.product": "L4", "spot": ""},
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "spot", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 60},
            {"operator": "Exists"},
        ],
        "backendDirectory": "/opt/tritonserver/backends",
        "responseCacheSize": "128Mi",
        "drainPeriod": "30s",
    },
    "accelerator": {"sharing": "MIG", "profile": "1g.10gb", "memory": "9.5Gi"},
    "pricePerHour": "1.25",
    "minServers": 0,
    "maxServers": 8,
    "updateStrategy": "Drain",
    "consolidation": {"policy": "Never", "after": "90s", "budget": "25%"},
    "dryRun": True,
    "trustedCode": True,
    "sloClasses": {
        "Interactive": {"latency": {"target": "50ms"}},
        "Batch": {"latency": {"percentile": 50, "target": "2s"}},
    },
    "store": {
        "uri": "pvc://artifacts/tightship",
        "secretRef": {"name": "store-read"},
        "writeSecretRef": {"name": "store-write"},
        "retention": "168h",
    },
    "converter": {
        "image": "localhost:5000/converter:1",
        "resources": {"requests": {"cpu": 2, "memory": 4294967296}, "limits": {"cpu": "2500m"}},
        "deadline": "90m",
        "maxConcurrent": 2,
        "maxConcurrentIntakes": 8,
        "retries": 0,
        "allowedHosts": ["minio.store.svc:9000", "10.0.0.7", "*.example.com"],
        "maxSourceSize": "500M",
        "scratchSize": "10Gi",
    },
}


def _words(text: str, *more: str) -> st.SearchStrategy[str]:
    return st.sampled_from([*text.split(), *more])


_URI_PARTS = _words(
    "/ // a B _ .. . @ : ? # s3: https: http: oci: pvc: S3: bucket 10.0.0.1 :443 :65536 [::1] %2e",
    *(" ", "\\", "\n", "model.onnx", "@sha256:", "é"),
)
_NUMBER = st.text("0123456789.", max_size=7)
_UNITS = _words("ms s m h us d Ki Mi Gi Ti Pi k K M G T n", "")
_MEASURE = st.lists(st.tuples(_NUMBER, _UNITS), max_size=3).map(
    lambda parts: "".join(number + unit for number, unit in parts)
)
_WORDS = _words(
    """a:b a.py:b a/b:c ../a:b adamw zeros bf16 step own smaller
    onnx triton accuracy mrr f1 rmse wer Surge Drain Equal Exists NoSchedule NoExecute
    Interactive shared Grid TPE tpe 0s 9999ms 10s 10001ms 1h 24h 24h0.001s 0 1 0.05 0.95 0.999
    1.000000 100 100.000001 999 999.1 -1 +1 1e3 .5 5.
    WhenPossible Never 1% 99% 100% 101% 0% 010%
    16Mi 16Ti 10m 512 512.001 1Mi 64Gi 4Ti 0.0001 /a/b /a/../b /.a nvidia.com/gpu gpu A/b x.y x..y
    Whole MIG MPS TimeSlicing DRA HAMi 1g.10gb 2g.5gb 5g.5gb nvidia.com/gpu.shared
    nvidia.com/mig-1g.10gb nvidia.com/mig-2g.5gb amd.com/gpu
    -x x- X é 08.1.1.1 10.0.0.1:65536 *.a *.1 a.1 a:80""",
    *("", "x y", "1\n", "a" * 40, "a" * 41, "a" * 64, "sha256:" + "0" * 64, "sha256:" + "A" * 64),
)
_PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 1001),
    st.sampled_from([2.0, 0.5, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**70, 1e30, -0.0]),
    st.text(max_size=6).filter(lambda text: text.isprintable()),
    _WORDS,
    _MEASURE,
    st.lists(_URI_PARTS, max_size=6).map("".join),
    st.sampled_from(
        [
            *("s3://b/k", "pvc://c/p", "https://h/p", "s3://b", "pvc://c", "s3://b/", "https://h"),
            *("oci://h/r", "oci://h:5000/r/s__t:1.0", "oci://h/r@sha256:" + "0" * 64, "oci://h"),
            *(
                "oci://h/r:-",
                "oci://h/R",
                "oci://h/r/",
                "hf://o/n@v1/m.onnx",
                "hf://o",
                "oci://h/r:1@sha256:" + "a" * 64,
            ),
        ]
    ),
)
VALUES = st.recursive(
    _PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "latency", "target", "cpu", "a", ""]), inner, max_size=2
        )
    ),
    max_leaves=3,
)


def paths(node: object, at: Path = ()) -> Iterator[Path]:
    """Every place in a document but its root."""
    items: Any = ()
    if isinstance(node, Mapping):
        items = node.items()
    elif isinstance(node, list):
        items = enumerate(node)
    for name, value in items:
        yield (*at, name)
        yield from paths(value, (*at, name))


def changed(base: Document, place: tuple[str, ...], value: object) -> Document:
    """A copy of the document with another value at one place."""
    document = copy.deepcopy(base)
    parent = document
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    return document


ENTRY_POINTS = {  # whether they are taken
    "train:Digits": True,
    "train.digits:Digits": True,
    "train.py:Digits": True,
    "code/train.py:Digits": True,
    "code/nets.v2/my-train.py:Digits": True,
    "code/train.digits:Digits": True,
    "_t:_T": True,
    "train.py": False,
    "train": False,
    "train:": False,
    ":Digits": False,
    "train:Digits.build": False,
    "/code/train.py:Digits": False,
    "../train.py:Digits": False,
    "code//train.py:Digits": False,
    ".hidden.py:Digits": False,
    "code/my-train:Digits": False,
    "train.py:Digits\n": False,
    "tr\u00e4in:Digits": False,
    f"{'t' * 252}:T": False,
}


def with_entry_point(entry: str) -> list[Document]:
    """Models whose trainer, and whose metric, has this entry point."""
    return [
        changed(FULL_MODEL, ("optimization", "trainer", "entrypoint"), entry),
        changed(OWN_MODEL, ("data", "evaluation", "metric", "own", "entrypoint"), entry),
    ]


@st.composite
def mutated(draw: st.DrawFn, *bases: Document) -> Document:
    """A copy of one of the documents with at most three places changed, removed or added."""
    document = copy.deepcopy(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(0, 3))):
        places = sorted(paths(document), key=str)
        if not places:
            break
        _mutate(draw, document, draw(st.sampled_from(places)))
    return document


def _mutate(draw: st.DrawFn, document: Document, place: Path) -> None:
    parent: Any = document
    for step in place[:-1]:
        parent = parent[step]
    kind = draw(st.sampled_from(["change", "change", "change", "remove", "add"]))
    if kind == "change":
        parent[place[-1]] = draw(VALUES)
    elif kind == "remove":
        del parent[place[-1]]
    elif isinstance(parent, dict):
        parent[draw(st.sampled_from(["extra", "name", "Name", "latency"]))] = draw(VALUES)
    else:
        parent.append(draw(VALUES))


def show(document: object) -> str:
    """One line, for a failed assertion."""
    return json.dumps(document, ensure_ascii=True, sort_keys=True)
