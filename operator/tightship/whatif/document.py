"""The answer as JSON: stable, described by docs/reference/plan.schema.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tightship.whatif.growth import Limit
    from tightship.whatif.outlook import Changes, ModelOutlook, Outlook, ServerOutlook

SCHEMA = 1
_DIGITS = 9  # of figures that are computed: the last bits differ between processors


def document(outlook: Outlook) -> dict[str, Any]:
    """The answer as JSON values; seconds, bytes, samples a second, money an hour."""
    return {
        "schema": SCHEMA,
        "pool": {
            "name": outlook.pool,
            "minServers": outlook.min_servers,
            "maxServers": outlook.max_servers,
        },
        "fine": outlook.fine,
        "cost": {
            "servers": outlook.billed,
            "leastServers": outlook.least,
            "pricePerHour": outlook.price,
            "costPerHour": outlook.cost,
        },
        "servers": [_server(server) for server in outlook.servers],
        "models": [_model(model) for model in outlook.models],
        "limits": [_limit(limit) for limit in outlook.limits],
        "changes": None if outlook.changes is None else _changes(outlook.changes),
        "notes": list(outlook.notes),
    }


def text(outlook: Outlook) -> str:
    """The JSON text."""
    return json.dumps(document(outlook), indent=1) + "\n"


def _server(server: ServerOutlook) -> dict[str, Any]:
    return {
        "name": server.name,
        "running": server.running,
        "duty": round(server.duty, _DIGITS),
        "memoryBytes": server.memory,
        "capacityBytes": server.capacity,
        "models": [
            {
                "name": held.model,
                "duty": round(held.duty, _DIGITS),
                "memoryBytes": held.memory,
            }
            for held in server.models
        ],
    }


def _model(model: ModelOutlook) -> dict[str, Any]:
    objective = model.objective
    return {
        "name": model.name,
        "verdict": model.verdict.value,
        "message": model.told,
        "rate": model.rate,
        "cv": model.cv,
        "replicas": model.asked,
        "copies": model.copies,
        "batch": model.batch,
        "queueDelaySeconds": round(model.delay, _DIGITS),
        "p99Seconds": None if model.p99 is None else round(model.p99, _DIGITS),
        "objective": None
        if objective is None
        else {"percentile": objective.percentile, "targetSeconds": objective.target},
        "servers": list(model.servers),
        "memoryBytes": model.memory,
        "profile": model.origin,
    }


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "servers": limit.servers,
        "factor": None if limit.factor is None else round(limit.factor, _DIGITS),
        "model": limit.model,
        "resource": None if limit.resource is None else limit.resource.value,
        "message": limit.told,
    }


def _changes(changes: Changes) -> dict[str, Any]:
    return {
        "start": list(changes.starts),
        "move": [
            {"model": step.model, "from": step.source, "to": step.target, "wave": step.wave}
            for step in changes.steps
        ],
        "stop": list(changes.stops),
    }
