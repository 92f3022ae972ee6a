"""What is served, evaluated again on a real API server: told, served on, and told again."""

import json
from pathlib import Path
from typing import Any

from tests.integration.controller.harness import apply, eventually, model, operating, pool
from tests.integration.controller.test_line import Line, line
from tests.integration.controller.test_refresh import LONG_AGO, fresh, status
from tests.support.apiserver import ApiServer

from tightship.plan.plan import plan


def scheduled(name: str) -> dict[str, Any]:
    found: dict[str, Any] = model(name)
    found["spec"]["data"] = {"evaluation": {"storageUri": "s3://bucket/labels.npz"}}
    found["spec"]["monitoring"] = {"evaluation": {"schedule": "0 3 * * 1"}}
    return found


async def evaluation(found: Line) -> None:
    """A week passes; the next evaluation has been told and its Job is gone."""
    past = json.dumps({"status": {"evaluation": {"lastCheckTime": LONG_AGO}}})
    patch = ["patch", "om", "a", "--subresource=status", "--type=merge", "-p", past]
    found.server.kubectl("-n", found.where, *patch)
    await told(found)


async def told(found: Line) -> None:
    def done() -> bool:
        last = status(found).get("evaluation", {}).get("lastCheckTime", LONG_AGO)
        jobs = [each["metadata"]["name"] for each in found.read("jobs")["items"]]
        return last != LONG_AGO and not any(name.startswith("evaluate-") for name in jobs)

    await eventually(done, "the evaluation is told and its Job removed")


async def test_what_no_longer_holds_is_told_and_served(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    async with (
        line(apiserver, tmp_path, 22) as found,
        operating(apiserver.kubeconfig, plan, namespaces=(found.where,), agent_port=found.port),
    ):
        apply(apiserver, found.where, pool(), scheduled("a"))
        await found.until_ready("a")
        await told(found)  # the conversion is from before the last Monday
        assert fresh(found) == ("True", "Fresh")

        found.mimic.measured = 0.5
        await evaluation(found)
        assert fresh(found) == ("False", "GateFailed")
        result = status(found)["evaluation"]["result"]
        assert (result["value"], result["allowed"]) == ("0.5000", "0.9600")
        assert found.ready("a")

        found.mimic.measured = 0.98
        await evaluation(found)
        assert fresh(found) == ("True", "Fresh")
