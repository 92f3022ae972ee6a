"""The planner asked: one question, one plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.plan.pack import pack

if TYPE_CHECKING:
    from tightship.plan.pack import Plan
    from tightship.whatif.question import Question


def plan(question: Question) -> Plan:
    """The plan for all models of the question, from nothing."""
    return pack(question.demand(), question.fleet(), kappa=question.kappa)
