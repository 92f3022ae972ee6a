"""What the operator may rely on in every agent, by docs/reference/agent-api.md."""

import io
import json
from typing import Any

import aiohttp
import pytest
from tests.conformance.conftest import Subject
from tests.integration.agent.harness import AgentClient, held

from tightship.api.agent import (
    Assignment,
    AssignmentRequest,
    Fence,
    LoadState,
    ModelAssignment,
    ServerState,
)


async def _put(
    client: AgentClient, fence: Fence, *models: ModelAssignment, match: str | None = "*"
) -> tuple[int, ServerState]:
    """A PUT and the state in its answer."""
    wanted = AssignmentRequest(fence=fence, assignment=Assignment(models))
    headers = {} if match is None else {"If-Match": f'"{match}"'}
    status, _, body = await client.request(
        "PUT", "/v1/assignment", json=wanted.to_json(), headers=headers
    )
    return status, ServerState.from_json(body)


async def _next_fence(client: AgentClient) -> Fence:
    fence = (await client.state()).fence
    return Fence(fence.transitions, fence.counter + 1)


async def test_an_empty_agent(subject: Subject) -> None:
    state = await subject.client.state()
    assert state.etag == Assignment().etag
    assert state.assignment == Assignment()
    assert state.ready
    assert state.triton_live
    assert (state.models, state.memory_used) == ((), 0)


async def test_an_assignment_is_carried_out(subject: Subject) -> None:
    models = subject.model("one"), subject.model("two", instances=2)
    fence = await _next_fence(subject.client)
    status, answer = await _put(subject.client, fence, *models)
    assert status == 200
    assert answer.etag == Assignment(models).etag
    assert answer.assignment == Assignment(models)
    assert answer.fence == fence
    state = await subject.client.until_loaded(*models)
    assert [model.name for model in state.models] == ["one", "two"]
    assert [model.failure for model in state.models] == [None, None]
    assert state.memory_used > 0


async def test_the_order_of_the_list_means_nothing(subject: Subject) -> None:
    one, two = subject.model("one"), subject.model("two")
    _, answer = await _put(subject.client, await _next_fence(subject.client), two, one)
    assert answer.etag == Assignment((one, two)).etag


async def test_what_is_not_assigned_any_more_disappears(subject: Subject) -> None:
    one, two = subject.model("one"), subject.model("two")
    await subject.client.assign(one, two)
    await subject.client.until_loaded(one, two)
    await subject.client.assign(two)
    state = await subject.client.until(lambda state: len(state.models) == 1)
    assert held(state, "two").state is LoadState.LOADED


async def test_settings_change_in_place(subject: Subject) -> None:
    await subject.client.assign(subject.model("one"))
    await subject.client.until_loaded(subject.model("one"))
    changed = subject.model("one", instances=2)
    between = held(await subject.client.assign(changed), "one")
    assert between.state is LoadState.LOADED
    await subject.client.until_loaded(changed)


@pytest.mark.parametrize(
    ("transitions", "counter"),
    [(0, 0), (0, -1), (-1, 100)],
    ids=["equal", "older-write", "older-leader"],
)
async def test_a_stale_fence_is_refused(subject: Subject, transitions: int, counter: int) -> None:
    """The bodies stay valid: fences never go below zero."""
    held_fence = (await subject.client.state()).fence
    base = Fence(held_fence.transitions + 1, 5)
    await subject.client.assign(subject.model("one"), fence=base)
    stale = Fence(base.transitions + transitions, base.counter + counter)
    status, answer = await _put(subject.client, stale)
    assert status == 409
    assert answer.fence == base
    assert answer.assignment.models == (subject.model("one"),)
    assert (await subject.client.state()).fence == base


async def test_a_later_leader_starts_its_counter_anew(subject: Subject) -> None:
    fence = (await subject.client.state()).fence
    status, answer = await _put(subject.client, Fence(fence.transitions + 1, 0))
    assert (status, answer.fence) == (200, Fence(fence.transitions + 1, 0))


async def test_another_assignment_than_expected_is_not_replaced(subject: Subject) -> None:
    await subject.client.assign(subject.model("one"))
    fence = await _next_fence(subject.client)
    status, answer = await _put(subject.client, fence, match=Assignment().etag)
    assert status == 412
    assert answer.assignment.models == (subject.model("one"),)
    assert answer.fence < fence
    status, answer = await _put(subject.client, fence, match=answer.etag)
    assert (status, answer.assignment) == (200, Assignment())


async def test_the_fence_is_judged_before_the_etag(subject: Subject) -> None:
    await subject.client.assign(subject.model("one"))
    stale = (await subject.client.state()).fence
    status, _ = await _put(subject.client, stale, match=Assignment().etag)
    assert status == 409


async def test_a_repeated_write_is_told_apart_by_its_answer(subject: Subject) -> None:
    fence = await _next_fence(subject.client)
    await _put(subject.client, fence, subject.model("one"))
    status, answer = await _put(subject.client, fence, subject.model("one"))
    assert status == 409
    assert (answer.fence, answer.assignment.models) == (fence, (subject.model("one"),))


def _valid() -> dict[str, Any]:
    model = {
        "name": "one",
        "key": "a" * 64,
        "digest": "d" * 64,
        "memory": 1,
        "config": {
            "instances": 1,
            "dynamic_batching": True,
            "max_queue_delay_us": 0,
            "response_cache": False,
        },
    }
    fence = {"transitions": 10**6, "counter": 1}
    return {"version": "v1", "fence": fence, "models": [model]}


def _changed(**changes: object) -> dict[str, Any]:
    """A body that is valid but for fields of its model or of that model's config."""
    body = _valid()
    model = body["models"][0]
    for name, value in changes.items():
        (model["config"] if name in model["config"] else model)[name] = value
    return body


BAD_BODIES: dict[str, Any] = {
    "no-json": "{",
    "list": [],
    "null": None,
    "no-version": {k: v for k, v in _valid().items() if k != "version"},
    "other-version": {**_valid(), "version": "v2"},
    "no-fence": {k: v for k, v in _valid().items() if k != "fence"},
    "no-models": {k: v for k, v in _valid().items() if k != "models"},
    "models-no-list": {**_valid(), "models": 3},
    "models-of-text": {**_valid(), "models": ["one"]},
    "fence-text": {**_valid(), "fence": {"transitions": "1", "counter": 1}},
    "fence-negative": {**_valid(), "fence": {"transitions": 10**6, "counter": -1}},
    "fence-true": {**_valid(), "fence": {"transitions": 10**6, "counter": True}},
    "twice": {**_valid(), "models": _valid()["models"] * 2},
    "unknown-field": _changed(surprise=1),
    "path-as-name": _changed(name="../etc"),
    "staging-name": _changed(name="one__staging"),
    "long-name": _changed(name="a" * 41),
    "number-as-name": _changed(name=7),
    "path-as-key": _changed(key="../" + "a" * 61),
    "short-digest": _changed(digest="d" * 63),
    "upper-case-digest": _changed(digest="D" * 64),
    "memory-text": _changed(memory="1"),
    "memory-negative": _changed(memory=-1),
    "memory-true": _changed(memory=True),
    "instances-zero": _changed(instances=0),
    "instances-many": _changed(instances=10**6),
    "batching-text": _changed(dynamic_batching="yes"),
    "delay-negative": _changed(max_queue_delay_us=-1),
    "cache-number": _changed(response_cache=1),
    "config-missing": _changed(config=None),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_bad_body_is_refused_with_a_reason(subject: Subject, body: object) -> None:
    before = await subject.client.state()
    status, _, answer = await subject.client.request(
        "PUT",
        "/v1/assignment",
        data=body if isinstance(body, str) else json.dumps(body),
        headers={"If-Match": "*"},
    )
    assert status == 400
    assert answer["error"]["reason"] == "BadRequest"
    assert answer["error"]["message"]
    assert await subject.client.state() == before


async def test_the_valid_body_of_the_table_is_accepted(subject: Subject) -> None:
    """Else the table above would show nothing."""
    fence = await _next_fence(subject.client)
    body = {**_valid(), "fence": {"transitions": fence.transitions, "counter": fence.counter}}
    status, _, _ = await subject.client.request(
        "PUT", "/v1/assignment", json=body, headers={"If-Match": "*"}
    )
    assert status == 200


async def test_if_match_is_required(subject: Subject) -> None:
    fence = await _next_fence(subject.client)
    body = AssignmentRequest(fence=fence, assignment=Assignment()).to_json()
    status, _, answer = await subject.client.request("PUT", "/v1/assignment", json=body)
    assert (status, answer["error"]["reason"]) == (400, "BadRequest")


async def test_an_endless_body_is_refused(subject: Subject) -> None:
    status, _, _ = await subject.client.request(
        "PUT", "/v1/assignment", data=io.BytesIO(b" " * (5 << 20)), headers={"If-Match": "*"}
    )
    assert status == 413


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer other", "Basic test-token", "test-token"])
@pytest.mark.parametrize("path", ["/v1/state", "/v1/assignment", "/metrics", "/nothing"])
async def test_nothing_is_told_without_the_token(subject: Subject, path: str, token: str) -> None:
    method = "PUT" if path == "/v1/assignment" else "GET"
    status, _, answer = await subject.client.request(method, path, headers={"Authorization": token})
    assert status == 401
    assert answer["error"]["reason"] == "Unauthorized"


async def test_another_certificate_is_not_trusted(subject: Subject) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{subject.client.url}/v1/state")


async def test_plain_http_is_not_spoken(subject: Subject) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"{subject.client.url.replace('https', 'http')}/v1/state")


async def test_the_state_is_not_sent_again_unchanged(subject: Subject) -> None:
    _, headers, _ = await subject.client.request("GET", "/v1/state")
    status, again, body = await subject.client.request(
        "GET", "/v1/state", headers={"If-None-Match": headers["ETag"]}
    )
    assert (status, body) == (304, None)
    assert again["ETag"] == headers["ETag"]


async def test_a_long_poll_ends_with_its_time(subject: Subject) -> None:
    _, headers, _ = await subject.client.request("GET", "/v1/state")
    status, _, _ = await subject.client.request(
        "GET",
        "/v1/state",
        headers={"If-None-Match": headers["ETag"], "Prefer": "wait=0.2"},
    )
    assert status == 304


async def test_a_long_poll_ends_with_a_change(subject: Subject) -> None:
    _, headers, _ = await subject.client.request("GET", "/v1/state")
    await subject.client.assign(subject.model("one"))
    status, changed, body = await subject.client.request(
        "GET",
        "/v1/state",
        headers={"If-None-Match": headers["ETag"], "Prefer": "wait=60"},
    )
    assert status == 200
    assert changed["ETag"] != headers["ETag"]
    assert ServerState.from_json(body).assignment.models == (subject.model("one"),)


async def test_a_long_poll_needs_no_known_state(subject: Subject) -> None:
    status, _, _ = await subject.client.request("GET", "/v1/state", headers={"Prefer": "wait=60"})
    assert status == 200


async def test_metrics_are_served(subject: Subject) -> None:
    status, headers, _ = await subject.client.request("GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
