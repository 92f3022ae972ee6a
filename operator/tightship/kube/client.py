"""Requests to the Kubernetes API as JSON: errors translated, writes bounded and fenced."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from tightship.kube.connection import Connection
from tightship.kube.errors import NotFoundError, UnavailableError, from_answer
from tightship.kube.limiter import TokenBucket
from tightship.kube.resources import PODS, Object, Resource, resource_of

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

_CONNECT_SECONDS = 5.0
_LOG_BYTES = 64 * 1024
_PAGE = 500  # objects of one answer, as kubectl asks for

T = TypeVar("T")

Allowance = Callable[[], float]
"""Seconds that a write may take now; raises NotLeaderError when it may not begin."""

Record = Callable[[str, Resource, str, float], None]
"""Told of every request: verb, kind, outcome, seconds."""


class Client:
    """Speaks for one process. Reads are free; a write waits for the bucket and for allowance."""

    def __init__(
        self,
        connection: Connection,
        *,
        limiter: TokenBucket | None = None,
        allowance: Allowance | None = None,
        record: Record | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._connection = connection
        self._api = ApiClient(connection.configuration)
        self._api.user_agent = "tightship"
        self._limiter = limiter
        self._allowance = allowance
        self._record = record
        self._timeout = timeout
        self._closed = False

    async def close(self) -> None:
        """Close the connections; requests under way and later ones are told so."""
        self._closed = True
        await self._api.close()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0)  # sockets below TLS are closed in the loop's next turn

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """One object.

        Raises:
            NotFoundError: it does not exist.
        """
        return await self._send(
            "get", resource, resource.path(namespace, name), {}, None, None, _decoded
        )

    async def list(
        self, resource: Resource, namespace: str, *, selector: str = ""
    ) -> AsyncIterator[Object]:
        """The objects of a namespace, those of a label selector alone where one is given.

        They are read in pages, so that a large namespace takes no large answer. A list item lacks
        `kind` and `apiVersion`; they are put back.

        Raises:
            UnavailableError: also where the list was so long on its way that its version is gone.
        """
        query = {"limit": str(_PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self._send(
                "list", resource, resource.path(namespace), query, None, None, _decoded
            )
            for item in page.get("items") or ():
                yield {"apiVersion": resource.api_version, "kind": resource.kind, **item}
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = str(token)

    async def serves(self, resource: Resource) -> bool:
        """Whether the API server has this version of a kind."""
        path = resource.path(None).rpartition("/")[0]
        try:
            found = await self._send("get", resource, path, {}, None, None, _decoded)
        except NotFoundError:
            return False
        return any(each.get("name") == resource.plural for each in found.get("resources", ()))

    async def log(self, namespace: str, pod: str, container: str, *, lines: int) -> str:
        """The last lines of a container's log.

        Raises:
            InvalidError: it has not started.
            NotFoundError: there is no such pod.
        """
        query = {"container": container, "tailLines": str(lines), "limitBytes": str(_LOG_BYTES)}
        path = PODS.path(namespace, pod, "log")
        return await self._send("log", PODS, path, query, None, None, _text)

    async def create(self, wanted: Object, *, manager: str) -> Object:
        """Create an object.

        Raises:
            AlreadyExistsError: one of that name exists.
        """
        resource = resource_of(wanted)
        path = resource.path(wanted["metadata"]["namespace"])
        return await self._write("create", resource, path, {"fieldManager": manager}, wanted)

    async def replace(self, wanted: Object, *, manager: str) -> Object:
        """Replace an object; `metadata.resourceVersion` says which version is meant.

        Raises:
            ConflictError: it has changed since.
        """
        resource = resource_of(wanted)
        path = resource.path(wanted["metadata"]["namespace"], wanted["metadata"]["name"])
        return await self._write("update", resource, path, {"fieldManager": manager}, wanted)

    async def apply(
        self, wanted: Object, *, manager: str, force: bool, subresource: str | None = None
    ) -> Object:
        """Server-side apply: the manager's fields become exactly those of `wanted`.

        Raises:
            ConflictError: without `force`, a field belongs to another manager.
        """
        resource = resource_of(wanted)
        metadata = wanted["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"], subresource)
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._write("apply", resource, path, query, wanted, APPLY)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        changes: Mapping[str, Any],
        *,
        manager: str,
        content_type: str = MERGE,
        subresource: str | None = None,
    ) -> Object:
        """Merge `changes` into an object; its `uid` and `resourceVersion` are preconditions.

        Raises:
            ConflictError: another version.
            InvalidError: another uid.
        """
        path = resource.path(namespace, name, subresource)
        query = {"fieldManager": manager}
        return await self._write("patch", resource, path, query, dict(changes), content_type)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str,
        version: str | None = None,
    ) -> None:
        """Delete exactly this object, its dependents in the background.

        Raises:
            ConflictError: an object of that name is there, but another one or another version.
            NotFoundError: it is gone.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": version} if version else {})
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": preconditions,
        }
        await self._write("delete", resource, resource.path(namespace, name), {}, options)

    async def _write(
        self,
        verb: str,
        resource: Resource,
        path: str,
        query: Mapping[str, str],
        body: Object,
        content_type: str = "application/json",
    ) -> Object:
        if self._limiter:
            await self._limiter.take()
        seconds = self._allowance() if self._allowance else self._timeout
        try:
            return await self._send(
                verb, resource, path, query, body, content_type, _decoded, seconds
            )
        except UnavailableError as error:
            if self._limiter and error.retry_after:
                self._limiter.pause(error.retry_after)
            raise

    async def _send(
        self,
        verb: str,
        resource: Resource,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        content_type: str | None,
        decode: Callable[[bytes], T],
        seconds: float | None = None,
    ) -> T:
        began = time.monotonic()
        outcome = "Cancelled"
        try:
            answer = decode(await self._exchange(verb, path, query, body, content_type, seconds))
            outcome = "OK"
            return answer
        except Exception as error:
            outcome = type(error).__name__.removesuffix("Error")
            raise
        finally:
            if self._record:
                self._record(verb, resource, outcome, time.monotonic() - began)

    async def _exchange(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None,
        content_type: str | None,
        seconds: float | None,
    ) -> bytes:
        if self._closed:
            raise UnavailableError("the connection to the API server is closed")
        url = self._connection.server + path + (f"?{urlencode(query)}" if query else "")
        total = min(seconds or self._timeout, self._timeout)
        headers = {"Accept": "application/json, */*", "User-Agent": self._api.user_agent}
        headers |= {"Content-Type": content_type} if content_type else {}
        headers |= await self._connection.headers()
        try:
            response = await self._api.call_api(
                _METHODS[verb],
                url,
                header_params=headers,
                body=body,
                _request_timeout=aiohttp.ClientTimeout(total=total, connect=_CONNECT_SECONDS),
            )
            content: bytes = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or f"no answer within {total:.0f} s"
            raise UnavailableError(f"the API server cannot be reached: {reason}") from error
        if response.status >= 400:  # noqa: PLR2004 (HTTP's own)
            raise from_answer(response.status, content, response.headers)
        return content


_METHODS = {
    "get": "GET",
    "list": "GET",
    "log": "GET",
    "create": "POST",
    "update": "PUT",
    "apply": "PATCH",
    "patch": "PATCH",
    "delete": "DELETE",
}


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _decoded(content: bytes) -> Object:
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise UnavailableError(f"the API server's answer is not JSON: {content[:80]!r}") from error
    if not isinstance(answer, dict):
        raise UnavailableError(f"the API server's answer is no object: {content[:80]!r}")
    return answer
