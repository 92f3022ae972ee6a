"""A real Triton, started with a server's flags: open for inference, closed for everything else."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from tests.support import actions
from tests.support import triton as triton_process
from tests.support.triton import Triton
from tritonclient import grpc

from tightship.api import names
from tightship.manifests import security

_KEY = "sesame"
_PORTS = ("--http-port", "--grpc-port", "--metrics-port", "--model-repository")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    repository = tmp_path_factory.mktemp("models")
    flags = [
        flag.replace(f"$({security.TRITON_KEY_VARIABLE})", _KEY)
        for flag in security.server_flags(actions.MINIMAL[1])
        if not flag.startswith(_PORTS)
    ]
    with triton_process.serving(repository, *flags) as triton:
        yield triton


def _post(server: Triton, path: str, key: str | None) -> int:
    headers = {names.RESTRICTED_HEADER: key} if key else {}
    request = urllib.request.Request(f"{server.url}{path}", b"{}", headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


CLOSED = {
    "list models": "/v2/repository/index",
    "load a model": "/v2/repository/models/any/load",
    "unload a model": "/v2/repository/models/any/unload",
    "shared memory": "/v2/systemsharedmemory/region/any/register",
    "trace settings": "/v2/trace/setting",
    "logging": "/v2/logging",
}


@pytest.mark.parametrize("case", CLOSED)
@pytest.mark.parametrize("key", [None, "wrong"])
def test_closed_without_the_key(server: Triton, case: str, key: str | None) -> None:
    assert _post(server, CLOSED[case], key) == 403


def test_the_key_opens_the_repository(server: Triton) -> None:
    assert _post(server, "/v2/repository/index", _KEY) == 200


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2"])
def test_clients_need_no_key(server: Triton, path: str) -> None:
    with urllib.request.urlopen(f"{server.url}{path}", timeout=10) as response:  # noqa: S310
        assert response.status == 200
        if path == "/v2":
            assert "statistics" in json.loads(response.read())["extensions"]


def test_grpc_is_closed_without_the_key(server: Triton) -> None:
    with grpc.InferenceServerClient(server.grpc) as client:
        assert client.is_server_live()
        with pytest.raises(Exception, match="restricted"):
            client.get_model_repository_index()
        header = {f"triton-grpc-protocol-{names.RESTRICTED_HEADER}": _KEY}
        assert not client.get_model_repository_index(headers=header).models
