"""A client of the session's Triton."""

from collections.abc import Iterator

import pytest
from tests.support.triton import Triton
from tritonclient.grpc import InferenceServerClient


@pytest.fixture
def client(triton: Triton) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(triton.grpc) as opened:
        yield opened
