"""A metric of one's own in Jobs: fetched, pinned, held by the kernel, and it decides."""

import hashlib
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.corpus.models import build
from tests.integration.optimize.harness import Pod, address
from tests.integration.optimize.test_jobs import labelled
from tests.integration.optimize.test_trainer import packed
from tests.support import report_schema
from tests.support.triton import Triton

from tightship.api.artifact import IntakeResult, Summary
from tightship.api.job import DataRequest, MetricRequest
from tightship.optimize import confine, job
from tightship.optimize.budget import Budget

KEY = "e" * 64
RIGHT = b"""
from beside import right

def near(outputs, labels):
    return right(next(iter(outputs.values())), labels)

near.low, near.high = 0, 1
"""
BESIDE = b"def right(scores, labels):\n    return scores.argmax(axis=1) == labels\n"
pytestmark = pytest.mark.skipif(not confine.abi(), reason="this kernel has no Landlock")


def asked(
    pod: Pod, folder: Path, content: bytes, name: str = "mine.py", entry: str = "mine.py:near"
) -> MetricRequest:
    """Ask for the perceptron, judged by a metric that lies beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(build.perceptron().SerializeToString())
    (folder / "evaluation.npz").write_bytes(labelled(400))
    (folder / name).write_bytes(content)
    metric = MetricRequest(uri=f"file://{folder}/{name}", entry=entry, trusted=True)
    pod.ask(
        source_uri=f"file://{folder}/model.onnx",
        evaluation=DataRequest(uri=f"file://{folder}/evaluation.npz", max_samples=400),
        own_metric=metric,
        **dict.fromkeys(("quantize", "half_precision", "prune", "openvino"), False),
    )
    return metric


def hasty(**known: Any) -> Budget:  # noqa: ANN401 (fields of Budget)
    """No speed is looked at here."""
    return Budget(profile_seconds=0.05, confirm_burst_seconds=0.05, **known)


def test_it_is_pinned_and_decides_and_the_report_says_which_code_it_was(
    pod: Pod, tmp_path: Path, triton: Triton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "Budget", hasty)
    content = packed(code__mine=RIGHT, code__beside=BESIDE)
    metric = asked(pod, tmp_path / "in", content, "metric.tar.gz", "mine:near")
    pod.run("fetch")
    found = IntakeResult.from_json(pod.run("inspect")["result"])
    assert found.metric_digest == hashlib.sha256(content).hexdigest()

    pod.ask(key=KEY, own_metric=replace(metric, digest=found.metric_digest))
    pod.folders = replace(pod.folders, repository=triton.repository)
    pod.run("fetch")
    pod.run("convert", address(triton))
    summary = Summary.from_json(pod.run("publish")["result"])

    assert (summary.metric, summary.metric_before, summary.metric_after) == ("mine:near", 1.0, 1.0)
    report = pod.report()
    report_schema.validate(report)
    assert report["ownMetric"] == {
        "entrypoint": "mine:near",
        "storageUri": metric.uri,
        "sha256": found.metric_digest,
    }
    assert report["gate"]["metric"] == "mine:near"
    assert report["gate"]["samplesNeededExact"]
    command = report["reproduce"]["command"]
    assert command[command.index("--metric") + 1] == "mine:near"


CODE = b"def near(outputs, labels):\n    return "
AT_INTAKE: Mapping[str, tuple[bytes, str, str]] = {
    "no such file": (RIGHT, "other.py:near", "has no file other.py: its source holds mine.py"),
    "no such module": (RIGHT, "other:near", "has no module other: its source holds mine.py"),
    "no such name": (CODE + b"0\n", "mine.py:far", "has no 'far'"),
    "raises": (b"1 / 0\n", "mine.py:near", "ZeroDivisionError: division by zero (line 1 of mine"),
    "hangs": (
        b"import threading\nthreading.Event().wait()\n",
        "mine:near",
        "took longer than 5 s. Make it faster",
    ),
    "writes elsewhere": (
        b"open(__file__ + '.more', 'w')\n",
        "mine.py:near",
        "cannot write outside its own folder",
    ),
    "starts a program": (
        b"import os\nos.execv('/bin/true', ['true'])\n",
        "mine.py:near",
        "PermissionError",
    ),
    "leaves a link": (
        CODE + b"0\nimport os\nos.symlink('/etc/passwd', 'link')\n",
        "mine.py:near",
        "left what it may not",
    ),
    "two directions": (
        CODE + b"0\nnear.larger_is_better = False\n",
        "mine.py:near",
        "Correct one of them",
    ),
}


@pytest.mark.parametrize("name", AT_INTAKE)
def test_what_an_intake_refuses(
    name: str, pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, entry, words = AT_INTAKE[name]
    if name == "hangs":
        monkeypatch.setattr(job, "Budget", lambda **known: Budget(metric_seconds=5, **known))
    metric = asked(pod, tmp_path / "in", content, entry=entry)
    pod.ask(own_metric=replace(metric, better="larger"))
    pod.run("fetch")
    failure = pod.refused("inspect")
    assert failure.reason == "InvalidMetric"
    assert words in failure.message
    assert not failure.retryable


@pytest.mark.skipif(confine.abi() < 4, reason="this kernel does not confine TCP")
def test_it_reaches_nothing_by_the_network(pod: Pod, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = ("127.0.0.1", server.getsockname()[1])
        code = f"import socket\nsocket.create_connection({place!r})\n"
        asked(pod, tmp_path / "in", code.encode())
        pod.run("fetch")
        failure = pod.refused("inspect")
    assert failure.reason == "InvalidMetric"
    assert "PermissionError" in failure.message
    assert "cannot write outside its own folder, start programs or connect" in failure.message


AT_BASELINE: Mapping[str, tuple[bytes, str]] = {
    "not a number": (CODE + b"labels * float('nan')\n", "gives nan for sample 0"),
    "no numbers": (CODE + b"'good'\n", "one score for each of 400 samples is due"),
    "raises": (CODE + b"outputs['no']\n", "failed on 400 samples: KeyError: 'no' (line 2 of mine"),
}


@pytest.mark.parametrize("name", AT_BASELINE)
def test_what_ends_a_conversion(name: str, pod: Pod, tmp_path: Path) -> None:
    content, words = AT_BASELINE[name]
    asked(pod, tmp_path / "in", content)
    pod.ask(key=KEY)
    pod.run("fetch")
    failure = pod.refused("convert")
    assert failure.reason == "InvalidMetric"
    assert words in failure.message
    assert not failure.retryable


def test_what_is_not_trusted_or_cannot_be_held_is_refused(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = asked(pod, tmp_path / "in", RIGHT)
    pod.run("fetch")
    pod.ask(own_metric=replace(metric, trusted=False))
    failure = pod.refused("inspect")
    assert failure.reason == "UntrustedMetric"
    assert "spec.trustedCode" in failure.message
    pod.ask(own_metric=metric)
    monkeypatch.setattr(confine, "abi", lambda: 0)
    failure = pod.refused("inspect")
    assert failure.reason == "UntrustedMetric"
    assert "Landlock" in failure.message


def test_it_is_held_to_the_bounds_of_a_source(pod: Pod, tmp_path: Path) -> None:
    metric = asked(pod, tmp_path / "in", b"#" * 2**20)
    pod.ask(max_source_bytes=2**19)
    assert pod.refused("fetch").reason == "SourceTooLarge"
    pod.ask(own_metric=replace(metric, uri="https://code.example.com/mine.py"))
    assert pod.refused("fetch").reason == "HostNotAllowed"
    pod.ask(own_metric=replace(metric, uri=f"{metric.uri}.gone"), max_source_bytes=2**30)
    assert pod.refused("fetch").reason == "SourceNotFound"
    pod.ask(own_metric=replace(metric, digest="0" * 64))
    assert pod.refused("fetch").reason == "DigestMismatch"


def test_an_archive_that_leads_out_is_refused(pod: Pod, tmp_path: Path) -> None:
    asked(pod, tmp_path / "in", packed(**{"..__mine": RIGHT}), "metric.tar.gz")
    pod.run("fetch")
    assert pod.refused("inspect").reason == "ArchiveUnsafe"
