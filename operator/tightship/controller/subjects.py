"""What an action is about: the key that a later one replaces it by, and how it is named."""

from collections.abc import Hashable

from tightship.api import names
from tightship.kube.resources import Object
from tightship.kube.store import PoolKey
from tightship.plan import actions
from tightship.plan.actions import Action, Owner

_SUBJECTS: dict[type, str] = {
    actions.EnsureAgentSecret: "pool",
    actions.ApplyServers: "pool",
    actions.ApplyModelService: "model",
    actions.ApplyIntakeJob: "name",
    actions.ApplyConvertJob: "name",
    actions.ApplyEvaluateJob: "name",
    actions.DeleteJob: "name",
    actions.ApplySweep: "pool",
    actions.DeleteSweep: "pool",
    actions.PutAssignment: "server",
    actions.RouteServer: "server",
    actions.MarkServer: "server",
    actions.ApplyModelStatus: "model",
    actions.ApplyPoolStatus: "pool",
}


def key(action: Action) -> Hashable:
    """What an action is about: a later action of the same key replaces an earlier one."""
    return type(action), _subject(action)


def _subject(action: Action) -> str:
    field = _SUBJECTS.get(type(action))
    if field:
        return str(getattr(action, field))
    if isinstance(action, actions.RecordEvent):
        return action.regarding.name
    raise TypeError(f"an action without a subject: {type(action).__name__}")


def about(action: Action) -> dict[str, str]:
    """What a line of the log bears of an action."""
    fields = {"action": type(action).__name__, "subject": _subject(action)[:64]}
    reason = getattr(action, "reason", None)
    return fields | ({"reason": str(reason)} if reason else {})


def describe(action: Action) -> str:
    """An action in words."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(action).__name__)
    return f"{words.strip()} {_subject(action)[:64]}".strip()


def reference(pool: PoolKey, owner: Owner) -> Object:
    """The object that an Event is about."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": owner.kind,
        "namespace": pool[0],
        "name": owner.name,
        "uid": owner.uid,
    }
