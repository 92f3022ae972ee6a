"""What clients ask of a model: its copies' traffic together, and that as its status holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tightship.api.traffic import Traffic
from tightship.plan import figures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tightship.plan.fleet import Sight


def traffic_json(live: Mapping[str, Any] | None, sights: Iterable[Sight]) -> dict[str, Any] | None:
    """`status.traffic`: of all copies that answer, else what it was when they last all told.

    A copy that came a moment ago has no figures yet. The others' alone would be too small, so
    until it has, and while no copy answers, what is known stays. Nothing is told of a model that
    nobody has asked yet.
    """
    found = [sight.held.traffic for sight in sights if sight.answering and sight.held]
    told = [each for each in found if each is not None]
    if not told or len(told) < len(found):
        return dict(live) if live else None
    together = _together(told)
    return _json(together) if live or together.rate > 0 else None


def read_traffic(status: Mapping[str, Any]) -> Traffic | None:
    """The traffic that a status tells; None where it tells none."""
    raw = status.get("traffic")
    if not raw:
        return None
    return Traffic(
        rate=float(raw["requestsPerSecond"]),
        rows=float(raw.get("samplesPerRequest", 0)),
        batch=float(raw.get("batch", 0)),
        busy=figures.seconds(raw.get("busyTime", "")),
        cv=float(raw["burstiness"]) if "burstiness" in raw else None,
    )


def _together(copies: list[Traffic]) -> Traffic:
    """Rates add up; means are of all requests or executions; burstiness is that of the worst."""
    rate = sum(each.rate for each in copies)
    rows = sum(each.rate * each.rows for each in copies)
    executions = sum(each.rate * each.rows / each.batch for each in copies if each.batch)
    busy = sum(each.rate * each.rows / each.batch * each.busy for each in copies if each.batch)
    cvs = [each.cv for each in copies if each.cv is not None]
    return Traffic(
        rate=rate,
        rows=rows / rate if rate else 0.0,
        batch=rows / executions if executions else 0.0,
        busy=busy / executions if executions else 0.0,
        cv=max(cvs, default=None),
    )


def _json(traffic: Traffic) -> dict[str, Any]:
    asked = {
        "samplesPerRequest": figures.ratio(traffic.rows),
        "batch": figures.ratio(traffic.batch),
        "busyTime": figures.duration(traffic.busy),
    }
    return {
        "requestsPerSecond": figures.ratio(traffic.rate),
        **(asked if traffic.batch else {}),
        **({} if traffic.cv is None else {"burstiness": figures.ratio(traffic.cv)}),
    }
