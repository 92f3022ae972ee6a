"""The pool's Secret on the real API server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.integration.controller.harness import apply, namespace, pool
from tests.support.apiserver import ApiServer

from tightship.api import names
from tightship.controller.certificates import RENEW_SECONDS, VALID_SECONDS, CertificateBook
from tightship.kube.client import Client
from tightship.kube.connection import Connection
from tightship.kube.errors import ConflictError
from tightship.kube.resources import SECRETS, SERVING_POOLS
from tightship.plan.actions import Owner


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def client(apiserver: ApiServer) -> AsyncIterator[Client]:
    client = Client(await Connection.open(str(apiserver.kubeconfig)))
    yield client
    await client.close()


@pytest.fixture
def where(apiserver: ApiServer) -> str:
    name = namespace(apiserver)
    apply(apiserver, name, pool())
    return name


async def owner(client: Client, where: str) -> Owner:
    live = await client.get(SERVING_POOLS, where, "shared")
    return Owner(kind=names.SERVING_POOL, name="shared", uid=live["metadata"]["uid"])


async def test_made_once_and_kept(client: Client, where: str) -> None:
    key, book = (where, "shared"), CertificateBook(client)
    assert await book.credentials(key) is None
    assert await book.ensure(key, await owner(client, where))
    first = await book.credentials(key)
    assert first is not None
    assert not await book.ensure(key, await owner(client, where))
    assert await CertificateBook(client).credentials(key) == first


async def test_two_at_once_agree(client: Client, where: str) -> None:
    key, books = (where, "shared"), [CertificateBook(client), CertificateBook(client)]
    whose = await owner(client, where)
    written = await asyncio.gather(*(book.ensure(key, whose) for book in books))
    assert sorted(written) == [False, True]
    one, two = [await book.credentials(key) for book in books]
    assert one == two is not None


async def test_renewed_in_time_with_the_same_keys(client: Client, where: str) -> None:
    key, clock = (where, "shared"), Clock()
    book, whose = CertificateBook(client, clock=clock), await owner(client, where)
    await book.ensure(key, whose)
    before = await book.credentials(key)
    clock.now += VALID_SECONDS - RENEW_SECONDS - 3600
    assert not await book.ensure(key, whose)
    clock.now += 7200
    assert await book.ensure(key, whose)
    after = await book.credentials(key)
    assert before is not None
    assert after is not None
    assert after.token == before.token
    assert after.trusted[1] == before.trusted[0]
    assert after.expires > before.expires


async def test_a_broken_secret_is_made_anew(client: Client, where: str) -> None:
    key, book = (where, "shared"), CertificateBook(client)
    whose = await owner(client, where)
    await book.ensure(key, whose)
    changes = {"data": {"tls.crt": None}}
    name = names.agent_secret_name("shared")
    await client.patch(SECRETS, where, name, changes, manager="somebody")
    assert await book.ensure(key, whose)
    assert await book.credentials(key) is not None


async def test_a_strangers_secret_is_left_alone(
    apiserver: ApiServer, client: Client, where: str
) -> None:
    apiserver.kubectl("-n", where, "create", "secret", "generic",
                      names.agent_secret_name("shared"), "--from-literal=token=theirs")  # fmt: skip
    with pytest.raises(ConflictError, match="not made by the operator"):
        await CertificateBook(client).ensure((where, "shared"), await owner(client, where))
