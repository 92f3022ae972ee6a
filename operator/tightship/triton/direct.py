"""A blocking client on one connection, for measurements: its own share of a call is the least.

`TritonClient` spends 0.3 ms of a call on itself, and 1 ms more for each MB of an answer, in which
the difference between two small models drowns.
"""

import http.client
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import tritonclient.http as triton_http

from tightship.triton.client import OWN_REQUESTS, Prepared
from tightship.triton.errors import TritonRefusedError, TritonUnreachableError

_OK = 200


@dataclass(frozen=True, slots=True)
class Message:
    """A request as the bytes that go over the wire, made once for many calls."""

    body: bytes
    headers: dict[str, str]


def message(request: Prepared) -> Message:
    """Brings inputs into one body; nothing is asked to be compressed."""
    body, head = triton_http.InferenceServerClient.generate_request_body(
        request, request_id=OWN_REQUESTS
    )
    length = {} if head is None else {"Inference-Header-Content-Length": str(head)}
    return Message(bytes(body), {"Accept-Encoding": "identity", **length})


class DirectConnection:
    """A connection to the Triton at `address` (HOST:PORT of its HTTP port), as a context manager.

    A call that takes longer than `deadline` seconds fails.
    """

    def __init__(self, address: str, deadline: float) -> None:
        self._address = address
        self._http = http.client.HTTPConnection(address, timeout=deadline)

    def __enter__(self) -> Self:
        try:
            self._http.connect()
        except OSError as error:
            raise self._unreachable(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def ask(self, model: str, request: Message) -> bytes:
        """The whole answer as it came.

        Raises:
            TritonRefusedError: Triton answers with an error.
            TritonUnreachableError: it does not answer within the deadline.
        """
        try:
            self._http.request("POST", f"/v2/models/{model}/infer", request.body, request.headers)
            response = self._http.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        if response.status != _OK:
            raise TritonRefusedError(response.status, _words(answer))
        return answer

    def _unreachable(self, error: Exception) -> TritonUnreachableError:
        why = str(error) or type(error).__name__
        return TritonUnreachableError(f"Triton at {self._address} cannot be reached: {why}")


def burst(
    address: str,
    model: str,
    requests: Sequence[Message],
    *,
    seconds: float,
    least: int,
    deadline: float,
) -> list[float]:
    """Asks one request after the other for so many seconds, at least so many times.

    Returns the seconds of each call. Raises as `DirectConnection.ask`.
    """
    latencies: list[float] = []
    with DirectConnection(address, deadline) as triton:
        end = time.perf_counter() + seconds
        while len(latencies) < least or time.perf_counter() < end:
            started = time.perf_counter()
            triton.ask(model, requests[len(latencies) % len(requests)])
            latencies.append(time.perf_counter() - started)
    return latencies


def _words(answer: bytes) -> str:
    """Triton's message out of its JSON, or what came instead."""
    text = answer.decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text
