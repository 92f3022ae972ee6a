"""Small questions whose answers can be told by hand."""

from typing import Any

from tightship.api.parse import parse_model, parse_pool
from tightship.plan import pack
from tightship.whatif.measured import Cost, unknown
from tightship.whatif.question import Question, Running, Wanted
from tightship.whatif.resources import Model, Pool
from tightship.whatif.traffic import Traffic

GIB = 2**30
RESOURCES = {"requests": {"cpu": "1", "memory": "2Gi"}}


def pool(max_servers: int = 4, min_servers: int = 1, memory: str = "10Gi") -> Pool:
    """Servers with a device of so much memory; Interactive means 50 ms."""
    spec = {
        "server": {"image": "triton:1", "agentImage": "operator:1", "resources": RESOURCES},
        "accelerator": {"resourceName": "nvidia.com/gpu", "memory": memory},
        "minServers": min_servers,
        "maxServers": max_servers,
        "store": {"uri": "s3://bucket/artifacts"},
        "converter": {"image": "converter:1", "resources": RESOURCES},
        "sloClasses": {"Interactive": {"latency": {"percentile": 99, "target": "50ms"}}},
    }
    return Pool(name="shared", spec=parse_pool(spec))


def model(
    name: str,
    rate: float,
    seconds: float = 0.002,
    memory: int = GIB,
    *,
    measured: bool = True,
    **serving: Any,  # noqa: ANN401 (any part of a spec)
) -> Wanted:
    """A model that takes `seconds` for a sample, in any batch up to 8 so many times that."""
    spec = parse_model(
        {
            "model": {"storageUri": f"s3://bucket/{name}.onnx"},
            "serving": {"poolRef": {"name": "shared"}, **serving},
        }
    )
    curve = pack.profile(
        [1, 8], [1, 1], [seconds, 8 * seconds], memory=memory, max_batch=8, load_seconds=2.0
    )
    cost = Cost(profile=curve, origin=f"{name}.json") if measured else unknown(10 * GIB)
    resource = Model(name=name, spec=spec)
    return Wanted(resource=resource, traffic=Traffic(rate=rate), cost=cost)


def question(
    *models: Wanted,
    of: Pool | None = None,
    running: Running | None = None,
    **options: Any,  # noqa: ANN401
) -> Question:
    """A question about these models."""
    return Question(pool=of or pool(), models=models, running=running, **options)
