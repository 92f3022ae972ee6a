"""What the Triton package says of a real Triton, and the facts about Triton that it stands on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from tests.integration.agent.harness import CONFIG, scaling_model
from tests.support.triton import Triton, serving

from tightship.api.agent import ServingConfig
from tightship.triton import config_pbtxt
from tightship.triton.client import READY, TritonClient, prepared
from tightship.triton.config_pbtxt import Contract, Tensor, effective_config
from tightship.triton.direct import DirectConnection, burst, message
from tightship.triton.errors import TritonRefusedError, TritonUnreachableError
from tightship.triton.memory import DeviceMeter, ProcessMeter
from tightship.triton.metrics import NoData, parse
from tightship.triton.profile import Profile
from tightship.triton.profiler import measure, profile, unload_and_wait
from tightship.triton.repository import Repository

MIB = 1 << 20
SAMPLES = {"x": np.arange(40, dtype=np.float32).reshape(10, 4)}
ONE = {"x": np.ones((1, 4), np.float32)}


@pytest.fixture
async def client(triton: Triton) -> AsyncIterator[TritonClient]:
    async with TritonClient(triton.http, metrics_address=triton.metrics) as opened:
        yield opened


def _publish(
    triton: Triton,
    name: str,
    factor: float = 2.0,
    *,
    config: str = CONFIG,
    serving: ServingConfig | None = None,
    version: int = 1,
) -> None:
    files = triton.repository.parent / f"{name}-{factor}"
    files.mkdir(exist_ok=True)
    (files / "model.onnx").write_bytes(scaling_model(factor))
    text = effective_config(config, name, serving or ServingConfig())
    identity = f"{factor}"
    Repository(triton.repository).publish(name, identity, files=files, config=text, version=version)


async def _factor(client: TritonClient, name: str) -> float:
    return float((await client.infer(name, ONE))["y"][0, 0])


async def test_a_profile_of_a_real_model(tmp_path: Path) -> None:
    """On a Triton of its own: what models of other tests give back would count as this one's."""
    repository = tmp_path / "models"
    repository.mkdir()
    with serving(repository) as triton:
        _publish(triton, "profiled")
        async with TritonClient(triton.http, metrics_address=triton.metrics) as client:
            found = await profile(
                client, "profiled", SAMPLES, batches=[1, 4, 16], concurrencies=[1, 3], seconds=0.3
            )
            assert any(e.name == "profiled" and e.state == READY for e in await client.index())
    assert [(point.batch, point.concurrency) for point in found.points] == [
        (1, 1),
        (1, 3),
        (4, 1),
        (4, 3),
    ]
    assert found.max_batch == 8
    assert found.memory_source == "processes"
    assert found.memory is not None
    assert found.memory_peak is not None
    assert 10 * MIB < found.memory <= found.memory_peak < 500 * MIB
    for point in found.points:
        assert point.requests is not None
        assert point.seconds is not None
        assert point.server_seconds is not None
        assert point.requests >= 30
        assert 0 < point.busy_seconds <= point.server_seconds
        assert list(point.stages) == ["queue", "input", "model", "output"]
        assert 0 < point.stages["model"] < sum(point.stages.values()) <= point.server_seconds
        assert point.p50 is not None
        assert point.p90 is not None
        assert point.p50 <= point.p90 <= point.p99
        assert point.throughput == pytest.approx(point.requests * point.batch / point.seconds)
    assert Profile.from_json(found.to_json()) == found


async def test_the_client_sees_more_than_the_server(triton: Triton, client: TritonClient) -> None:
    _publish(triton, "seen")
    await client.load("seen")
    point = await measure(client, "seen", SAMPLES, batch=1, concurrency=1, seconds=0.2)
    assert point.server_seconds is not None
    assert point.server_seconds < point.mean


async def test_a_model_without_a_batch_axis(triton: Triton, client: TritonClient) -> None:
    config = CONFIG.replace("max_batch_size: 8", "max_batch_size: 0").replace("[4]", "[1, 4]")
    _publish(triton, "unbatched", config=config)
    await client.load("unbatched")
    inputs = {"x": SAMPLES["x"][:, np.newaxis]}
    point = await measure(client, "unbatched", inputs, batch=1, concurrency=1, seconds=0.1)
    assert point.requests is not None
    assert point.requests >= 30
    with pytest.raises(ValueError, match="no batch axis"):
        await measure(client, "unbatched", inputs, batch=2, concurrency=1, seconds=0.1)


async def test_a_completed_config_is_one_that_triton_takes(
    triton: Triton, client: TritonClient
) -> None:
    contract = Contract(
        backend="onnxruntime",
        max_batch_size=8,
        inputs=(Tensor("x", "TYPE_FP32", (4,)),),
        outputs=(Tensor("y", "TYPE_FP32", (4,)),),
    )
    _publish(triton, "completed", config=config_pbtxt.complete(None, "any", contract).text)
    await client.load("completed")
    assert await _factor(client, "completed") == 2.0
    served = await client.config("completed")
    assert [group["count"] for group in served["instance_group"]] == [1]


async def test_instances_are_as_many_as_asked_for(triton: Triton, client: TritonClient) -> None:
    _publish(triton, "many", serving=ServingConfig(instances=3))
    await client.load("many")
    served = await client.config("many")
    assert sum(group["count"] for group in served["instance_group"]) == 3


async def test_dynamic_batching_joins_requests(triton: Triton, client: TritonClient) -> None:
    _publish(triton, "joined", serving=ServingConfig(max_queue_delay_us=20_000))
    await client.load("joined")
    await asyncio.gather(*(client.infer("joined", ONE) for _ in range(64)))
    statistics = await client.statistics("joined")
    assert statistics["inference_count"] == 64
    assert statistics["execution_count"] < 64


async def test_the_response_cache_outlives_a_reload_under_the_same_version(
    triton: Triton, client: TritonClient
) -> None:
    """Why the agent gives each cached artifact a version number of its own."""
    serving = ServingConfig(response_cache=True)
    _publish(triton, "stale", 2.0, serving=serving)
    await client.load("stale")
    assert await _factor(client, "stale") == 2.0
    _publish(triton, "stale", 3.0, serving=serving)
    await client.load("stale")
    assert await _factor(client, "stale") == 2.0


async def test_a_failed_load_leaves_the_old_model_serving(
    triton: Triton, client: TritonClient
) -> None:
    _publish(triton, "kept")
    await client.load("kept")
    _publish(triton, "kept", 3.0, config=CONFIG.replace('"y"', '"z"'))
    with pytest.raises(TritonRefusedError, match="outputs"):
        await client.load("kept")
    assert await _factor(client, "kept") == 2.0


async def test_unloading_returns_when_the_model_has_gone(
    triton: Triton, client: TritonClient
) -> None:
    _publish(triton, "leaving")
    await client.load("leaving")
    await unload_and_wait(client, "leaving")
    with pytest.raises(TritonRefusedError) as found:
        await _factor(client, "leaving")
    assert found.value.status in (400, 404)
    await unload_and_wait(client, "never-there")


async def test_metrics_count_requests(triton: Triton, client: TritonClient) -> None:
    _publish(triton, "counted")
    await client.load("counted")
    for _ in range(3):
        await client.infer("counted", ONE)
    metrics = parse(await client.metrics())
    assert metrics.total("nv_inference_request_success", model="counted") == 3
    assert isinstance(metrics.total("nv_inference_count", model="nobody"), NoData)


async def test_no_device_is_no_data(client: TritonClient) -> None:
    assert isinstance(await DeviceMeter(client).read(), NoData)


async def test_the_process_of_the_asked_port_is_found(triton: Triton, client: TritonClient) -> None:
    server = ProcessMeter(client.http_port).server()
    assert server is not None
    assert server.pid == triton.process.pid


async def test_nobody_there() -> None:
    async with TritonClient("127.0.0.1:1") as nobody:
        assert not await nobody.live()
        with pytest.raises(TritonUnreachableError, match="cannot be reached"):
            await nobody.index()


async def test_a_deadline(triton: Triton, client: TritonClient) -> None:
    _publish(triton, "slow", serving=ServingConfig(max_queue_delay_us=5_000_000))
    await client.load("slow")
    with pytest.raises(TritonUnreachableError, match="no answer"):
        await client.infer("slow", ONE, deadline=0.05)


async def test_triton_compresses_for_a_client_that_takes_it_and_ours_does_not(
    triton: Triton, client: TritonClient
) -> None:
    """Compression takes 6 ms and more for each MB of an answer."""
    _publish(triton, "plain")
    await client.load("plain")
    request = message(prepared(ONE))
    taking = {**request.headers, "Accept-Encoding": "gzip"}
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        for headers, encoding in ((taking, "gzip"), (request.headers, None)):
            url = f"{triton.url}/v2/models/plain/infer"
            async with session.post(url, data=request.body, headers=headers) as answer:
                assert answer.headers.get("Content-Encoding") == encoding
    assert await _asked_headers() >= {"accept-encoding: identity"}


async def _asked_headers() -> set[str]:
    """The lines of a request of TritonClient, in small letters."""
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with TritonClient(f"{host}:{port}") as client:
            with pytest.raises((TritonRefusedError, TritonUnreachableError)):
                await client.infer("any", ONE)
    return {line.lower() for line in heads[0].decode().splitlines()}


async def test_a_direct_connection_gets_the_same_answers(
    triton: Triton, client: TritonClient
) -> None:
    _publish(triton, "direct", 3.0)
    await client.load("direct")
    with DirectConnection(triton.http, 5.0) as connection:
        answers = {connection.ask("direct", message(prepared(ONE))) for _ in range(3)}
    (answer,) = answers
    expected = (await client.infer("direct", ONE))["y"].tobytes()
    assert answer.endswith(expected)


async def test_a_burst_asks_as_often_as_it_must(triton: Triton, client: TritonClient) -> None:
    _publish(triton, "burst")
    await client.load("burst")
    requests = [message(prepared(ONE))] * 2
    asked = {"seconds": 0.0, "deadline": 5.0}
    assert len(burst(triton.http, "burst", requests, least=7, **asked)) == 7
    assert (await client.statistics("burst"))["inference_count"] == 7


def test_a_direct_connection_that_is_refused(triton: Triton) -> None:
    with (
        DirectConnection(triton.http, 5.0) as connection,
        pytest.raises(TritonRefusedError, match="unknown model: 'nobody'"),
    ):
        connection.ask("nobody", message(prepared(ONE)))


def test_a_direct_connection_to_nobody() -> None:
    with (
        pytest.raises(TritonUnreachableError, match=r"127\.0\.0\.1:1 cannot be reached"),
        DirectConnection("127.0.0.1:1", 5.0),
    ):
        raise AssertionError
