"""Trainers in Jobs whose converter image has no torch: fetched, pinned, checked, and never run."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.corpus.models import build
from tests.integration.optimize.harness import Pod, address
from tests.integration.optimize.test_jobs import labelled
from tests.support.triton import Triton

from tightship.api.artifact import IntakeResult, Summary
from tightship.api.job import DataRequest
from tightship.api.training import TrainerRequest, TrainingOptions
from tightship.optimize import confine, training

CODE = b"raise SystemExit('this code must not run')\n"
KEY = "c" * 64


@pytest.fixture(autouse=True)
def _no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "torch" else name)


def packed(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name.replace("__", "/") + ".py")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def asked(
    pod: Pod, folder: Path, content: bytes = CODE, name: str = "train.py", entry: str = "train:T"
) -> TrainerRequest:
    """Ask for the perceptron with a trainer that lies beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(build.perceptron().SerializeToString())
    (folder / name).write_bytes(content)
    trainer = TrainerRequest(
        uri=f"file://{folder}/{name}",
        entry=entry,
        trusted=True,
        confined=True,
        options=TrainingOptions(techniques=("channels", "students")),
    )
    pod.ask(source_uri=f"file://{folder}/model.onnx", trainer=trainer)
    return trainer


def test_a_trainer_is_pinned_and_the_missing_torch_is_told(pod: Pod, tmp_path: Path) -> None:
    asked(pod, tmp_path / "in")
    found = IntakeResult.from_json(pod.run("fetch")["result"])
    assert found.trainer_digest == hashlib.sha256(CODE).hexdigest()
    found = IntakeResult.from_json(pod.run("inspect")["result"])
    assert found.trainer_digest == hashlib.sha256(CODE).hexdigest()
    assert found.limitations == ("NothingTrained",)


def test_without_torch_the_model_is_converted_and_each_candidate_says_why(
    pod: Pod, tmp_path: Path, triton: Triton
) -> None:
    trainer = asked(pod, tmp_path / "in")
    evaluation = labelled(400)
    (tmp_path / "in" / "evaluation.npz").write_bytes(evaluation)
    pod.ask(
        key=KEY,
        trainer=replace(trainer, digest=hashlib.sha256(CODE).hexdigest()),
        evaluation=DataRequest(uri=f"file://{tmp_path}/in/evaluation.npz", max_samples=400),
        metric="accuracy",
        **dict.fromkeys(("quantize", "half_precision", "prune", "openvino"), False),
    )
    pod.folders = replace(pod.folders, repository=triton.repository)
    pod.run("fetch")
    pod.run("convert", address(triton))
    summary = Summary.from_json(pod.run("publish")["result"])

    assert summary.variant == "original"
    report = pod.report()
    idle = {
        c["id"]: c["reason"] for c in report["candidates"] if c["id"] in ("channels", "students")
    }
    assert set(idle) == {"channels", "students"}
    assert all("image converter-torch" in reason for reason in idle.values())
    assert any("image converter-torch" in warning for warning in report["warnings"])
    assert report["trainer"]["sha256"] == hashlib.sha256(CODE).hexdigest()


def test_a_trainer_that_is_not_trusted_is_refused(pod: Pod, tmp_path: Path) -> None:
    trainer = asked(pod, tmp_path / "in")
    pod.run("fetch")
    pod.ask(trainer=replace(trainer, trusted=False), key=KEY)
    for stage in ("inspect", "convert"):
        failure = pod.refused(stage)
        assert failure.reason == "UntrustedTrainer"
        assert "spec.trustedCode" in failure.message


def test_a_kernel_that_cannot_hold_it_is_refused(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(pod, tmp_path / "in")
    pod.run("fetch")
    monkeypatch.setattr(confine, "abi", lambda: 0)
    failure = pod.refused("inspect")
    assert failure.reason == "UntrustedTrainer"
    assert "Landlock" in failure.message


TAKEN: Mapping[str, tuple[Callable[[], bytes], str, str]] = {
    "an archive": (lambda: packed(train=CODE, nets=CODE), "t.tar.gz", "train:T"),
    "an archive of a folder": (lambda: packed(code__train=CODE), "t.tar.gz", "train:T"),
    "a file": (lambda: packed(code__train=CODE), "t.tar.gz", "code/train.py:T"),
    "a package": (lambda: packed(code__train=CODE), "t.tgz", "code.train:T"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(name: str, pod: Pod, tmp_path: Path) -> None:
    content, file, entry = TAKEN[name]
    asked(pod, tmp_path / "in", content(), file, entry)
    pod.run("fetch")
    assert "result" in pod.run("inspect")


REFUSED: Mapping[str, tuple[bytes, str, str, str, str]] = {
    "another module": (CODE, "train.py", "other:T", "InvalidTrainer", "no module other"),
    "another file": (CODE, "train.py", "other.py:T", "InvalidTrainer", "no file other.py"),
    "no module in it": (packed(a=CODE, b=CODE), "t.tar.gz", "c:T", "InvalidTrainer", "a.py, b.py"),
    "a name that leads out": (packed(**{"..__x": CODE}), "t.tar.gz", "x:T", "ArchiveUnsafe", "../"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, pod: Pod, tmp_path: Path) -> None:
    content, file, entry, reason, words = REFUSED[name]
    asked(pod, tmp_path / "in", content, file, entry)
    pod.run("fetch")
    failure = pod.refused("inspect")
    assert failure.reason == reason
    assert words in failure.message


def test_a_trainer_is_held_to_the_bounds_of_a_source(pod: Pod, tmp_path: Path) -> None:
    trainer = asked(pod, tmp_path / "in", b"#" * 2**20)
    pod.ask(max_source_bytes=2**19)
    assert pod.refused("fetch").reason == "SourceTooLarge"
    pod.ask(trainer=replace(trainer, uri="https://code.example.com/train.py"))
    failure = pod.refused("fetch")
    assert failure.reason == "HostNotAllowed"
    assert "code.example.com" in failure.message


def test_another_digest_than_the_intake_saw_is_refused(pod: Pod, tmp_path: Path) -> None:
    trainer = asked(pod, tmp_path / "in")
    pod.ask(trainer=replace(trainer, digest="0" * 64))
    assert pod.refused("fetch").reason == "DigestMismatch"
