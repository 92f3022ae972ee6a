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


def _deployment_on(device: str) -> _Objects:
    action = replace(actions.servers(full=False), spec=actions.on_device(device))
    return server_objects(action, actions.NAMESPACE)[-1:]


def _convert_on(device: str) -> dict[str, Any]:
    action = replace(actions.convert(full=False), pool_spec=actions.on_device(device))
    return convert_job(action, actions.NAMESPACE)


CASES: dict[str, Callable[[], _Objects]] = {
    "servers-minimal": lambda: server_objects(actions.servers(full=False), actions.NAMESPACE),
    "servers-full": lambda: server_objects(actions.servers(full=True), actions.NAMESPACE),
    **{f"device-{name}": partial(_deployment_on, name) for name in accelerators.TAKEN},
    "convert-on-mps": lambda: [_convert_on("mps")],
    "convert-on-dra": lambda: [_convert_on("dra")],
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
