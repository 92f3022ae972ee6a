"""A source that changes, on a real API server: looked at, converted anew, and nothing else."""

import json
from pathlib import Path
from typing import Any

from tests.integration.controller.harness import apply, eventually, model, operating, pool
from tests.integration.controller.test_line import Line, line
from tests.support.apiserver import ApiServer

from tightship.plan.plan import plan

LONG_AGO = "2026-01-01T00:00:00Z"


def watched(name: str) -> dict[str, Any]:
    found: dict[str, Any] = model(name)
    found["spec"]["model"]["refreshInterval"] = "24h"
    return found


def status(found: Line) -> Any:  # noqa: ANN401 (JSON)
    return found.read("om", "a")["status"]


def fresh(found: Line) -> tuple[str, str]:
    told = next(c for c in status(found)["conditions"] if c["type"] == "Fresh")
    return told["status"], told["reason"]


def looks(found: Line) -> list[str]:
    jobs = [each["metadata"]["name"] for each in found.read("jobs")["items"]]
    return [name for name in jobs if name.startswith("refresh-")]


async def look(found: Line) -> None:
    """A day passes; the next look has been told and its Job is gone."""
    past = json.dumps({"status": {"refresh": {"lastCheckTime": LONG_AGO}}})
    patch = ["patch", "om", "a", "--subresource=status", "--type=merge", "-p", past]
    found.server.kubectl("-n", found.where, *patch)
    await eventually(
        lambda: status(found)["refresh"]["lastCheckTime"] != LONG_AGO, "the look is told"
    )
    await eventually(lambda: not looks(found), "its Job is removed")


async def test_a_source_that_changes_is_converted_anew(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    async with (
        line(apiserver, tmp_path, 20) as found,
        operating(apiserver.kubeconfig, plan, namespaces=(found.where,), agent_port=found.port),
    ):
        apply(apiserver, found.where, pool(), watched("a"))
        await found.until_ready("a")
        before = status(found)
        assert fresh(found) == ("True", "Fresh")

        await look(found)
        after = status(found)
        assert {**after, "refresh": None} == {**before, "refresh": None}

        found.mimic.content = "other bytes"
        await look(found)
        first = before["artifact"]["digest"]
        await eventually(
            lambda: status(found)["artifact"]["digest"] != first and found.ready("a"),
            "the new bytes are served",
        )
        assert fresh(found) == ("True", "Fresh")
        (held,) = [d for d in found.doubles.values() if d.state.models]
        assert [m.digest for m in held.state.models] == [status(found)["artifact"]["digest"]]
