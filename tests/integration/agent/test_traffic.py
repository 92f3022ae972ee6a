"""The counters of a real Triton, read while clients ask."""

from collections.abc import Sequence

import numpy as np
from tests.integration.agent.harness import CONFIG, scaling_model
from tests.support.triton import Triton

from tightship.agent.journal import Served
from tightship.agent.slot import Slot
from tightship.agent.traffic import SHORT, TrafficWatch
from tightship.api.agent import ModelAssignment, ServingConfig
from tightship.api.traffic import Traffic
from tightship.triton.client import TritonClient
from tightship.triton.config_pbtxt import effective_config
from tightship.triton.repository import Repository

ROWS = 4


def _served(name: str) -> Slot:
    slot = Slot(name, lambda: None)
    slot.want(ModelAssignment(name=name, key="k", digest="d", memory=1, config=ServingConfig()))
    assert slot.wanted is not None
    slot.reached(Served(assignment=slot.wanted, memory=1, load_seconds=0.1))
    return slot


async def _watched(client: TritonClient, slots: Sequence[Slot], asked: str, each: int) -> None:
    """As many readings as a minute has, with requests between two of them."""
    watch = TrafficWatch(client)
    for _ in range(SHORT + 1):
        for _ in range(each):
            await client.infer(asked, {"x": np.ones((ROWS, 4), np.float32)})
        await watch.look(slots)


async def test_traffic_of_a_real_model(triton: Triton) -> None:
    files = triton.repository.parent / "traffic-files"
    files.mkdir()
    (files / "model.onnx").write_bytes(scaling_model(2.0))
    async with TritonClient(triton.http) as client:
        for name in ("asked", "idle"):
            config = effective_config(CONFIG, name, ServingConfig())
            Repository(triton.repository).publish(name, "1", files=files, config=config)
            await client.load(name)
        asked, idle, gone = (_served(name) for name in ("asked", "idle", "not-there"))
        await _watched(client, (asked, idle, gone), "asked", 6)
        found = asked.traffic
        assert found is not None
        assert (found.rows, found.batch) == (ROWS, ROWS)
        assert found.rate > 0
        assert found.cv is not None
        statistics = await client.statistics("asked")
        whole = statistics["inference_stats"]["success"]
        assert 0 < found.busy < whole["ns"] * 1e-9 / whole["count"] * 2
        assert idle.traffic == Traffic(rate=0)
        assert gone.traffic is None
        asked.lost()
        await TrafficWatch(client).look([asked])
        assert asked.traffic is None
