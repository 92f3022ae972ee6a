"""The documented reasons are those that the code gives, and no others."""

import re
from pathlib import Path

import pytest

import tightship
from tightship.agent import failures as loading
from tightship.api.conditions import DESCRIPTIONS, LIMITATIONS, Reason
from tightship.api.failures import MODEL_CRASHED
from tightship.api.reasons import JOB_FAILURES, LOAD_FAILURES
from tightship.optimize import failures as converting
from tightship.storage import errors

_JOB_FACTS = Path(tightship.__file__).parent / "controller" / "job_facts.py"


def test_every_reason_of_the_plan_has_a_description() -> None:
    assert set(DESCRIPTIONS) == set(Reason)


def test_every_reason_of_a_job_is_documented_and_no_other() -> None:
    of_kubernetes = set(re.findall(r'reason="(\w+)"', _JOB_FACTS.read_text()))
    assert "Evicted" in of_kubernetes
    assert set(JOB_FAILURES) == errors.REASONS | set(converting.Reason) | of_kubernetes


def test_every_reason_of_a_load_is_documented_and_no_other() -> None:
    names = {"ARTIFACT_MISSING", "ARTIFACT_CORRUPT", "STORE_UNREACHABLE", "NO_SPACE_LEFT"}
    names |= {"NO_MEMORY", "LOAD_FAILED", "VERIFICATION_FAILED"}
    given = {value for name, value in vars(loading).items() if name.isupper() and name[0] != "_"}
    given.discard(loading.ATTEMPTS)
    assert {getattr(loading, name) for name in names} | {MODEL_CRASHED} == given
    assert set(LOAD_FAILURES) == given


@pytest.mark.parametrize("reason", converting.Reason)
def test_the_table_says_what_is_tried_again(reason: converting.Reason) -> None:
    failure = converting.RefusalError(reason, "").to_failure()
    assert (JOB_FAILURES[reason].again != "no") == failure.retryable


def test_limitations_say_cause_and_remedy() -> None:
    for sentence in LIMITATIONS.values():
        assert " so " in sentence
        assert "export" in sentence or "converter.image" in sentence
