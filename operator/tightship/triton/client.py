"""The one way to talk to Triton: HTTP, with deadlines, the restricted header and our own errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import numpy as np
import tritonclient.http.aio as triton_http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tightship.api import names
from tightship.triton.errors import TritonRefusedError, TritonUnreachableError

READY = "READY"
UNLOADING = "UNLOADING"
UNAVAILABLE = "UNAVAILABLE"

Prepared = list[triton_http.InferInput]
"""Inputs in Triton's wire form."""

OWN_REQUESTS = "tightship"
"""The id of our own requests, by which they are told from those of clients."""

_CONNECTIONS = 256
_LOAD_SECONDS = 300.0
"""The longest load that is waited for. A conversion measures its artifact's load under the same
limit, so nothing is published that a server would give up; and a server loads one at a time, so
that a load which hangs holds up all others for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """One model version of the repository index; `state` is empty for what was never loaded."""

    name: str
    version: str
    state: str
    reason: str


class TritonClient:
    """A Triton at `address` (HOST:PORT of its HTTP port), to be used as an async context manager.

    `key` opens the restricted APIs, `metrics_address` is HOST:PORT of the metrics port. Every call
    has a deadline in seconds and raises TritonUnreachableError when Triton does not answer
    within it, TritonRefusedError when it answers with an error. Without `keep_alive` each call has
    a connection of its own: a Triton that is told to end waits for open ones, up to a timeout.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str | None = None,
        metrics_address: str | None = None,
        deadline: float = 10.0,
        keep_alive: bool = True,
    ) -> None:
        self.address = address
        self._metrics_url = f"http://{metrics_address}/metrics" if metrics_address else None
        self._headers = {
            **({names.RESTRICTED_HEADER: key} if key else {}),
            **({} if keep_alive else {"Connection": "close"}),
            # Triton compresses answers where it may, at 6 ms and more for each MB.
            "Accept-Encoding": "identity",
        }
        self._deadline = deadline

    @property
    def http_port(self) -> int:
        """The port of `address`."""
        return int(self.address.rsplit(":", 1)[1])

    async def __aenter__(self) -> Self:
        self._triton = triton_http.InferenceServerClient(
            self.address, conn_limit=_CONNECTIONS, conn_timeout=None
        )
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._triton.close()
        await self._session.close()

    async def live(self) -> bool:
        """Whether the server process answers at all."""
        try:
            async with self._guarded("the liveness probe", self._deadline):
                return bool(await self._triton.is_server_live(headers=dict(self._headers)))
        except TritonUnreachableError:
            return False

    async def index(self) -> tuple[IndexEntry, ...]:
        """The repository index: what lies in the repository and the state of what was loaded."""
        async with self._guarded("the repository index", self._deadline):
            raw = await self._triton.get_model_repository_index(headers=dict(self._headers))
        return tuple(
            IndexEntry(
                name=str(item["name"]),
                version=str(item.get("version", "")),
                state=str(item.get("state", "")),
                reason=str(item.get("reason", "")),
            )
            for item in raw
        )

    async def load(self, model: str, *, deadline: float = _LOAD_SECONDS) -> None:
        """Loads the model, or replaces it: the old one serves until the new one is ready.

        When loading fails the old one goes on serving.
        """
        async with self._guarded(f"loading '{model}'", deadline):
            await self._triton.load_model(model, headers=dict(self._headers))

    async def unload(self, model: str) -> None:
        """Starts unloading: requests under way are answered, the memory comes free later."""
        async with self._guarded(f"unloading '{model}'", self._deadline):
            await self._triton.unload_model(model, headers=dict(self._headers))

    async def config(self, model: str) -> dict[str, Any]:
        """The configuration that the model is being served with, as Triton's JSON."""
        async with self._guarded(f"the configuration of '{model}'", self._deadline):
            raw = await self._triton.get_model_config(model, headers=dict(self._headers))
        return dict(raw)

    async def server_version(self) -> str:
        """Triton's own version."""
        async with self._guarded("the server's metadata", self._deadline):
            raw = await self._triton.get_server_metadata(headers=dict(self._headers))
        return str(raw["version"])

    async def statistics(self, model: str) -> dict[str, Any]:
        """Triton's cumulative statistics of the served version of the model (times in ns)."""
        async with self._guarded(f"the statistics of '{model}'", self._deadline):
            raw = await self._triton.get_inference_statistics(model, headers=dict(self._headers))
        return dict(raw["model_stats"][-1])

    async def all_statistics(self) -> dict[str, dict[str, Any]]:
        """The same of every loaded model, by its name."""
        async with self._guarded("the models' statistics", self._deadline):
            raw = await self._triton.get_inference_statistics(headers=dict(self._headers))
        return {str(each["name"]): dict(each) for each in raw["model_stats"]}

    async def infer(
        self, model: str, inputs: Mapping[str, np.ndarray], *, deadline: float | None = None
    ) -> dict[str, np.ndarray]:
        """Asks the model; arrays carry the batch axis where the model has one."""
        return await self.ask(model, prepared(inputs), deadline=deadline)

    async def ask(
        self, model: str, request: Prepared, *, deadline: float | None = None
    ) -> dict[str, np.ndarray]:
        """Asks the model with inputs that were prepared once for many requests."""
        async with self._guarded(f"a request to '{model}'", deadline or self._deadline):
            result = await self._triton.infer(
                model, request, request_id=OWN_REQUESTS, headers=dict(self._headers)
            )
        named = [output["name"] for output in result.get_response()["outputs"]]
        return {name: result.as_numpy(name) for name in named}

    async def trace(self, model: str, settings: Mapping[str, str | list[str]]) -> None:
        """Changes settings of the model's tracing; a count of traces begins anew."""
        async with self._guarded(f"the tracing of '{model}'", self._deadline):
            await self._triton.update_trace_settings(
                model, dict(settings), headers=dict(self._headers)
            )

    async def traced(self, model: str) -> dict[str, Any]:
        """Settings of the model's tracing; `trace_count` is what is left of it."""
        async with self._guarded(f"the tracing of '{model}'", self._deadline):
            raw = await self._triton.get_trace_settings(model, headers=dict(self._headers))
        return dict(raw)

    async def metrics(self) -> str:
        """The text of Triton's metrics page."""
        if self._metrics_url is None:
            raise ValueError("this client was made without the address of the metrics port")
        async with (
            self._guarded("the metrics page", self._deadline),
            self._session.get(self._metrics_url) as response,
        ):
            text = await response.text()
            if response.status != 200:  # noqa: PLR2004 (HTTP's OK)
                raise TritonRefusedError(response.status, text)
            return text

    @asynccontextmanager
    async def _guarded(self, what: str, deadline: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(deadline):
                yield
        except InferenceServerException as error:
            status = str(error.status() or "")
            raise TritonRefusedError(
                int(status) if status.isdecimal() else 0, str(error.message())
            ) from error
        except TimeoutError as error:
            message = f"Triton at {self.address} gave no answer to {what} within {deadline:g} s"
            raise TritonUnreachableError(message) from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"Triton at {self.address} cannot be reached for {what}: {error}"
            raise TritonUnreachableError(message) from error


def prepared(inputs: Mapping[str, np.ndarray]) -> Prepared:
    """Brings arrays into the wire form; fixed-width text becomes Triton's BYTES."""
    request = []
    for name, array in inputs.items():
        tensor = array.astype(np.object_) if array.dtype.kind in "SU" else array
        entry = triton_http.InferInput(name, tensor.shape, np_to_triton_dtype(tensor.dtype))
        entry.set_data_from_numpy(tensor)
        request.append(entry)
    return request
