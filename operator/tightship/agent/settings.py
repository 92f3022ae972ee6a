"""Where the agent finds things: the pod's environment and, for other places than the pod, flags."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tightship.api import names
from tightship.api.job import PVC_ROOT


class SettingsError(ValueError):
    """The environment is incomplete or wrong; the text says what to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that the agent is told at its start. Sizes are bytes, addresses HOST:PORT."""

    store_uri: str
    pool: str
    memory_limit: int
    accelerator: str
    device_shared: bool
    pod: str
    host: str
    models: Path
    state: Path
    secrets: Path
    claims: Path
    traces: Path
    triton: str
    triton_metrics: str
    api_port: int
    probe_port: int
    restore_seconds: float


def read_settings(argv: Sequence[str], env: Mapping[str, str]) -> Settings:
    """Settings from the pod's environment; flags say where else volumes and servers are.

    Raises:
        SettingsError: a variable is missing or not a number.
    """
    flags = _parser().parse_args(argv)
    limit = _required(env, "TIGHTSHIP_MEMORY_LIMIT")
    if not limit.isdecimal():
        raise SettingsError(f"TIGHTSHIP_MEMORY_LIMIT is '{limit}'; set it to a number of bytes")
    return Settings(
        store_uri=_required(env, "TIGHTSHIP_STORE_URI"),
        pool=_required(env, "TIGHTSHIP_POOL"),
        memory_limit=int(limit),
        accelerator=env.get("TIGHTSHIP_ACCELERATOR", ""),
        device_shared=env.get("TIGHTSHIP_DEVICE_SHARED", "") == "true",
        pod=env.get("POD_NAME", ""),
        host=_required(env, "POD_IP"),
        models=flags.models,
        state=flags.state,
        secrets=flags.secrets,
        claims=flags.claims,
        traces=flags.traces,
        triton=flags.triton,
        triton_metrics=flags.triton_metrics,
        api_port=flags.api_port,
        probe_port=flags.probe_port,
        restore_seconds=flags.restore_seconds,
    )


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise SettingsError(f"the environment variable {name} is missing; the pod template sets it")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tightship agent", description=__doc__)
    loopback = "127.0.0.1"
    parser.add_argument("--models", type=Path, default=Path("/models"), help="model repository")
    parser.add_argument("--state", type=Path, default=Path("/state"), help="the agent's own volume")
    parser.add_argument("--secrets", type=Path, default=Path("/secrets"), help="mounted Secrets")
    parser.add_argument("--claims", type=Path, default=Path(PVC_ROOT), help="mounted claims")
    parser.add_argument("--traces", type=Path, default=Path("/traces"), help="Triton's traces")
    parser.add_argument("--triton", default=f"{loopback}:{names.HTTP_PORT}", help="HOST:PORT")
    parser.add_argument("--triton-metrics", default=f"{loopback}:{names.METRICS_PORT}")
    parser.add_argument("--api-port", type=int, default=names.AGENT_PORT)
    parser.add_argument("--probe-port", type=int, default=names.AGENT_PROBE_PORT)
    parser.add_argument(
        "--restore-seconds",
        type=float,
        default=120.0,
        help="how long a model that does not come back keeps the server from being ready",
    )
    return parser
