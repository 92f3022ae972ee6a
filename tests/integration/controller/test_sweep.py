"""The clean-up of the store on a real API server: there when asked for, right, quiet, and gone."""

import json
from pathlib import Path
from typing import Any

from tests.integration.controller.harness import apply, eventually, model, operating, pool
from tests.integration.controller.test_line import Line, line, writes
from tests.support.apiserver import ApiServer
from tests.support.apiserver import serving as serving_apiserver

from tightship.plan.plan import plan

NAME = "pool-shared-sweep"


def cleaned(retention: str | None = "168h") -> dict[str, Any]:
    store = {"uri": "s3://bucket/artifacts"}
    return pool(store={**store, "retention": retention} if retention else store)


def keys(found: Line) -> list[str]:
    listed: str = found.read("configmap", NAME)["data"]["keys"]
    return listed.split()


async def test_the_list_follows_the_models_and_goes_with_the_field(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    async with (
        line(apiserver, tmp_path, 17) as found,
        operating(apiserver.kubeconfig, plan, namespaces=(found.where,), agent_port=found.port),
    ):
        apply(apiserver, found.where, cleaned(), model("a"), model("b"))
        await found.until_ready("a", "b")
        used = [found.read("om", name)["status"]["artifact"]["key"] for name in ("a", "b")]
        assert keys(found) == sorted(used)

        kubectl = apiserver.kubectl
        kubectl("-n", found.where, "delete", "om", "a")
        await eventually(lambda: keys(found) == used[1:], "what is not used leaves the list")
        empty = json.dumps({"data": {"keys": ""}})
        kubectl("-n", found.where, "patch", "configmap", NAME, "--type=merge", "-p", empty)
        await eventually(lambda: keys(found) == used[1:], "the list is set back")
        kubectl("-n", found.where, "delete", "cronjob", NAME)
        await eventually(lambda: len(found.read("cronjobs")["items"]) == 1, "it is made anew")

        apply(apiserver, found.where, cleaned(None))
        await eventually(lambda: not found.read("cronjobs")["items"], "the CronJob goes")
        await eventually(lambda: not _exists(found), "the list goes")


def _exists(found: Line) -> bool:
    listed = found.read("configmaps")["items"]
    return any(each["metadata"]["name"] == NAME for each in listed)


async def test_no_conversion_starts_while_the_list_cannot_be_written(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    async with (
        line(apiserver, tmp_path, 18) as found,
        operating(apiserver.kubeconfig, plan, namespaces=(found.where,), agent_port=found.port),
    ):
        kubectl = apiserver.kubectl
        kubectl("-n", found.where, "create", "configmap", NAME, "--from-literal=keys=theirs")
        apply(apiserver, found.where, cleaned(), model("a"))

        def told() -> bool:
            events = found.read("events")["items"]
            return any(e["reason"] == "ApplyFailed" and NAME in e["message"] for e in events)

        await eventually(told, "an event names the stranger's list")
        await eventually(lambda: found.reason("a") == "Converting", "its conversion is next")
        jobs = [each["metadata"]["name"] for each in found.read("jobs")["items"]]
        assert [name.partition("-")[0] for name in jobs] == ["intake"]
        assert keys(found) == ["theirs"]

        kubectl("-n", found.where, "delete", "configmap", NAME)
        await found.until_ready("a")
        assert keys(found) == [found.read("om", "a")["status"]["artifact"]["key"]]


async def test_at_rest_it_is_not_written(tmp_path: Path) -> None:
    with serving_apiserver(audit=True) as server:
        async with (
            line(server, tmp_path, 19) as found,
            operating(
                server.kubeconfig,
                plan,
                namespaces=(found.where,),
                agent_port=found.port,
                lease_duration=6,
            ),
        ):
            apply(server, found.where, cleaned(), model("a"))
            await found.until_ready("a")
            renewals = len(writes(server, "leases"))
            await eventually(lambda: len(writes(server, "leases")) >= renewals + 2, "it settles")
            settled, renewals = len(writes(server)), len(writes(server, "leases"))
            found.mimic.jobs_succeed = False  # it stands in for the Jobs of models alone
            job = ["create", "job", "by-hand", f"--from=cronjob/{NAME}"]
            server.kubectl("-n", found.where, *job)
            ran = json.dumps({"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}})
            patch = ["patch", "cronjob", NAME, "--subresource=status", "--type=merge", "-p", ran]
            server.kubectl("-n", found.where, *patch)
            await eventually(lambda: len(writes(server, "leases")) >= renewals + 3, "it renews")
            assert writes(server)[settled:] == []
