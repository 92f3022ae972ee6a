"""Each action is rendered to exactly the YAML beside this file.

A change of a server's pod template replaces every server of every pool at the next upgrade of the
operator, so it must be seen in review. `python -m tests.unit.manifests.test_golden` writes the
files anew.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import accelerators, actions

from tightship.manifests.job import convert_job, evaluate_job, intake_job
from tightship.manifests.server import server_objects
from tightship.manifests.service import model_service
from tightship.manifests.sweep import sweep_objects

_GOLDEN = Path(__file__).parent / "golden"
_Objects = list[dict[str, Any]]


_OF_A_NODE = ("nodeSelector", "affinity", "resourceClaims")


def _on_devices(*names: str, convert: bool = False) -> _Objects:
    """What differs from device to device in the pods of servers, or of conversions."""
    found = []
    for name in names:
        pool = actions.on_device(name)
        servers = replace(actions.servers(full=False), spec=pool)
        conversion = replace(actions.convert(full=False), pool_spec=pool)
        rendered = (
            convert_job(conversion, actions.NAMESPACE)
            if convert
            else server_objects(servers, actions.NAMESPACE)[-1]
        )
        found.append({"device": name, **_parts(rendered["spec"]["template"]["spec"])})
    return found


def _parts(pod: dict[str, Any]) -> dict[str, Any]:
    containers = {each["name"]: each for each in (*pod["initContainers"], *pod["containers"])}
    triton = containers["triton"]
    told = containers.get("agent", {}).get("env", [])
    return {
        **{field: pod[field] for field in _OF_A_NODE if field in pod},
        "triton": {
            "env": [each for each in triton.get("env", ()) if "value" in each],
            "resources": triton["resources"],
            "mounts": [each["mountPath"] for each in triton["volumeMounts"]],
        },
        "agent": [e for e in told if "ACCELERATOR" in e["name"] or "DEVICE" in e["name"]],
        "volumes": [each["name"] for each in pod["volumes"]],
    }


CASES: dict[str, Callable[[], _Objects]] = {
    "servers-minimal": lambda: server_objects(actions.servers(full=False), actions.NAMESPACE),
    "servers-full": lambda: server_objects(actions.servers(full=True), actions.NAMESPACE),
    "servers-on-devices": partial(_on_devices, *accelerators.TAKEN),
    "convert-on-devices": partial(_on_devices, "mig", "mps", "dra", convert=True),
    "intake-minimal": lambda: [intake_job(actions.intake(full=False), actions.NAMESPACE)],
    "intake-full": lambda: [intake_job(actions.intake(full=True), actions.NAMESPACE)],
    "intake-own-metric": lambda: [intake_job(actions.own_intake(), actions.NAMESPACE)],
    "refresh": lambda: [
        intake_job(replace(actions.intake(full=False), again=True), actions.NAMESPACE)
    ],
    "convert-minimal": lambda: [convert_job(actions.convert(full=False), actions.NAMESPACE)],
    "convert-full": lambda: [convert_job(actions.convert(full=True), actions.NAMESPACE)],
    "evaluate-minimal": lambda: [evaluate_job(actions.evaluate(full=False), actions.NAMESPACE)],
    "evaluate-full": lambda: [evaluate_job(actions.evaluate(full=True), actions.NAMESPACE)],
    "evaluate-own-metric": lambda: [evaluate_job(actions.own_evaluate(), actions.NAMESPACE)],
    "convert-own-metric": lambda: [convert_job(actions.own_convert(), actions.NAMESPACE)],
    "service": lambda: [model_service(actions.service(), actions.NAMESPACE)],
    "sweep-minimal": lambda: sweep_objects(actions.sweep(full=False), actions.NAMESPACE),
    "sweep-full": lambda: sweep_objects(actions.sweep(full=True), actions.NAMESPACE),
}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (yaml's own signature)
        return True


def _text(objects: _Objects) -> str:
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=10_000)


@pytest.mark.parametrize("name", CASES)
def test_action_is_rendered_to_its_golden_file(name: str) -> None:
    assert _text(CASES[name]()) == (_GOLDEN / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", CASES)
def test_rendering_is_deterministic(name: str) -> None:
    assert CASES[name]() == CASES[name]()


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in _GOLDEN.iterdir()} == set(CASES)


if __name__ == "__main__":
    for case, render in CASES.items():
        (_GOLDEN / f"{case}.yaml").write_text(_text(render()))
