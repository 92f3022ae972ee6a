"""The client against the real API server: what each answer becomes."""

import copy
from collections.abc import AsyncIterator

import pytest
from tests.integration.controller.harness import namespace
from tests.support.apiserver import ApiServer

from tightship.kube.client import Client
from tightship.kube.connection import Connection
from tightship.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    NotLeaderError,
    UnavailableError,
)
from tightship.kube.resources import SERVICES, SERVING_POOLS, Object


@pytest.fixture
async def connection(apiserver: ApiServer) -> Connection:
    return await Connection.open(str(apiserver.kubeconfig))


@pytest.fixture
async def client(connection: Connection) -> AsyncIterator[Client]:
    client = Client(connection)
    yield client
    await client.close()


@pytest.fixture
def where(apiserver: ApiServer) -> str:
    return namespace(apiserver)


def service(where: str, port: int = 80) -> Object:
    return SERVICES.identity(where, "s") | {"spec": {"ports": [{"name": "p", "port": port}]}}


async def test_nothing_there(client: Client, where: str) -> None:
    with pytest.raises(NotFoundError):
        await client.get(SERVICES, where, "absent")


async def test_a_second_creation(client: Client, where: str) -> None:
    await client.create(service(where), manager="tightship")
    with pytest.raises(AlreadyExistsError):
        await client.create(service(where), manager="tightship")


async def test_an_equal_apply_keeps_the_version(client: Client, where: str) -> None:
    first = await client.apply(service(where), manager="tightship", force=True)
    second = await client.apply(service(where), manager="tightship", force=True)
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_a_conflict_names_the_other_manager(client: Client, where: str) -> None:
    await client.apply(service(where, 80), manager="somebody", force=True)
    wanted = service(where, 80)
    wanted["spec"]["ports"][0]["protocol"] = "TCP"
    wanted["spec"]["sessionAffinity"] = "ClientIP"
    await client.apply(wanted, manager="another", force=True)
    wanted["spec"]["sessionAffinity"] = "None"
    with pytest.raises(ConflictError) as caught:
        await client.apply(wanted, manager="tightship", force=False)
    assert caught.value.managers == ("another",)


async def test_a_dropped_field_goes(client: Client, where: str) -> None:
    wanted = service(where)
    wanted["metadata"]["labels"] = {"a": "1", "b": "2"}
    await client.apply(wanted, manager="tightship", force=True)
    wanted = copy.deepcopy(wanted)
    del wanted["metadata"]["labels"]["b"]
    answer = await client.apply(wanted, manager="tightship", force=True)
    assert answer["metadata"]["labels"] == {"a": "1"}


async def test_a_schema_refuses(client: Client, where: str) -> None:
    wanted = SERVING_POOLS.identity(where, "p") | {"spec": {"minServers": -3}}
    with pytest.raises(InvalidError, match="minServers"):
        await client.apply(wanted, manager="tightship", force=True)


async def test_a_deletion_hits_one_object_alone(client: Client, where: str) -> None:
    made = (await client.create(service(where), manager="tightship"))["metadata"]
    other = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(ConflictError):
        await client.delete(SERVICES, where, "s", uid=other)
    with pytest.raises(ConflictError):
        await client.delete(SERVICES, where, "s", uid=made["uid"], version="1")
    await client.delete(SERVICES, where, "s", uid=made["uid"], version=made["resourceVersion"])
    with pytest.raises(NotFoundError):
        await client.delete(SERVICES, where, "s", uid=made["uid"])


async def test_a_patch_of_another_uid(client: Client, where: str) -> None:
    await client.create(service(where), manager="tightship")
    changes = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000", "labels": {"a": "b"}}}
    with pytest.raises(InvalidError, match="uid"):
        await client.patch(SERVICES, where, "s", changes, manager="tightship")


async def test_no_rights(connection: Connection, where: str) -> None:
    connection.configuration.api_key = {}
    client = Client(connection)
    with pytest.raises(ForbiddenError):
        await client.create(service(where), manager="tightship")
    await client.close()


async def test_wrong_credentials_are_a_matter_of_time(connection: Connection, where: str) -> None:
    connection.configuration.api_key = {"BearerToken": "Bearer wrong"}
    client = Client(connection)
    with pytest.raises(UnavailableError, match="401"):
        await client.get(SERVICES, where, "s")
    await client.close()


async def test_nobody_listens(connection: Connection, where: str) -> None:
    connection.configuration.host = "https://127.0.0.1:1"
    client = Client(connection)
    with pytest.raises(UnavailableError, match="cannot be reached"):
        await client.get(SERVICES, where, "s")
    await client.close()


async def test_writes_need_leadership_and_reads_do_not(connection: Connection, where: str) -> None:
    def refuse() -> float:
        raise NotLeaderError("no")

    client = Client(connection, allowance=refuse)
    with pytest.raises(NotLeaderError):
        await client.create(service(where), manager="tightship")
    with pytest.raises(NotFoundError):
        await client.get(SERVICES, where, "s")
    await client.close()
