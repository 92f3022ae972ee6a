"""Events: what a change of status is worth telling, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.api.conditions import ConditionStatus, ConditionType, Reason, find_condition
from tightship.plan.actions import Owner, RecordEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MOVED = "Moved"
NORMAL, WARNING = "Normal", "Warning"
MODEL_TOPICS = (
    ConditionType.CONVERTED,
    ConditionType.PLACED,
    ConditionType.SERVING,
    ConditionType.FRESH,
    ConditionType.IN_DISTRIBUTION,
)
POOL_TOPICS = (ConditionType.READY, ConditionType.SCHEDULABLE, ConditionType.UPDATED)


def tell(
    regarding: Owner,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    topics: Iterable[ConditionType],
) -> Iterator[RecordEvent]:
    """Events for the conditions that became certain, or certain for another reason, and for moves.

    They follow from the difference of two statuses, so a plan that changes no status tells nothing.
    """
    for topic in topics:
        old, new = find_condition(before, topic), find_condition(after, topic)
        if not new or (topic is ConditionType.UPDATED and not old):
            continue  # servers that are the first ones are no news, nor is a wish that is gone
        same = (old.get("status"), old.get("reason")) == (new.get("status"), new.get("reason"))
        retry = new.get("reason") == Reason.RETRYING
        if same or (new.get("status") == ConditionStatus.UNKNOWN and not retry):
            continue
        kind = NORMAL if new.get("status") == ConditionStatus.TRUE else WARNING
        yield RecordEvent(
            regarding=regarding, kind=kind, reason=new["reason"], message=new["message"]
        )
    left, stays = _moved(before, after)
    if left and stays:
        message = f"No longer on {', '.join(left)}; now on {', '.join(stays)}."
        yield RecordEvent(regarding=regarding, kind=NORMAL, reason=MOVED, message=message)


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    old = {entry["server"] for entry in before.get("placement", ())}
    new = {entry["server"] for entry in after.get("placement", ())}
    return sorted(old - new), sorted(new)
