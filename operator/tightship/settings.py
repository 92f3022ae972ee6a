"""Every flag of `tightship run` and its environment variable, parsed once into one frozen value."""

import argparse
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREFIX = "TIGHTSHIP_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the operator runs. Durations are seconds."""

    namespaces: tuple[str, ...] = ()  # empty: all
    lease_namespace: str | None = None  # None: the namespace of the operator's own pod
    lease_name: str = "tightship"
    identity: str = ""
    lease_duration: float = 15.0
    kubeconfig: str | None = None
    context: str | None = None
    workers: int = 4
    resync: float = 600.0
    watch_nodes: bool = False
    write_rate: float = 250.0
    write_burst: int = 500
    address: str = "0.0.0.0"  # noqa: S104 (the kubelet and Prometheus come from outside of the pod)
    port: int = 8080
    log_level: str = "info"
    log_format: str = "json"


def parse(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags, then environment, then defaults; a wrong value ends the program."""
    parser = _parser(environ)
    found = parser.parse_args(arguments)
    if found.lease_duration < 5:  # noqa: PLR2004 (said in the sentence)
        parser.error("--lease-duration must be at least 5 seconds")
    if min(found.workers, found.write_burst) < 1 or min(found.write_rate, found.resync) <= 0:
        parser.error("--workers, --write-rate, --write-burst and --resync must be positive")
    return Settings(
        namespaces=tuple(sorted({name for name in found.namespaces.split(",") if name})),
        lease_namespace=found.lease_namespace or None,
        lease_name=found.lease_name,
        identity=found.identity or default_identity(environ),
        lease_duration=found.lease_duration,
        kubeconfig=found.kubeconfig or None,
        context=found.context or None,
        workers=found.workers,
        resync=found.resync,
        watch_nodes=found.watch_nodes == "true",
        write_rate=found.write_rate,
        write_burst=found.write_burst,
        address=found.address,
        port=found.port,
        log_level=found.log_level,
        log_format=found.log_format,
    )


def default_identity(environ: Mapping[str, str]) -> str:
    """A name that no other process ever has: the pod's, or the machine's, and a random part."""
    host = environ.get("POD_NAME") or socket.gethostname()
    return f"{host}-{uuid.uuid4().hex[:8]}"


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tightship run",
        description="Run the operator.",
        epilog=f"Every flag has an environment variable: --lease-name is {PREFIX}LEASE_NAME.",
    )
    defaults = Settings()

    def flag(name: str, default: object, text: str, **more: object) -> None:
        variable = PREFIX + name.upper().replace("-", "_")
        fallback = environ.get(variable, environ.get(_ALIASES.get(name, ""), default))
        kind = str if default is None else type(default)
        parser.add_argument(f"--{name}", default=fallback, type=kind, help=text, **more)  # type: ignore[arg-type]

    flag("namespaces", "", "comma-separated namespaces to serve (default: all)")
    flag("lease-namespace", "", "namespace of the Lease (default: the operator's own)")
    flag("lease-name", defaults.lease_name, "name of the Lease")
    flag("identity", "", "holder's name in the Lease (default: pod name and a random part)")
    flag("lease-duration", defaults.lease_duration, "seconds without renewal that end a leadership")
    flag("kubeconfig", "", "path of a kubeconfig (default: the pod's service account)")
    flag("context", "", "context of the kubeconfig")
    flag("workers", defaults.workers, "pools that are reconciled at once")
    flag("resync", defaults.resync, "seconds between looks at everything")
    text = "look at nodes and ResourceSlices: whether they have what pools ask for"
    flag("watch-nodes", "false", text, choices=("false", "true"))
    flag("write-rate", defaults.write_rate, "writes to the API server a second, at most")
    flag("write-burst", defaults.write_burst, "writes at once, after a rest")
    flag("address", defaults.address, "address of probes and metrics")
    flag("port", defaults.port, "port of probes and metrics")
    levels = ("debug", "info", "warning", "error")
    flag("log-level", defaults.log_level, "least level that is logged", choices=levels)
    flag("log-format", defaults.log_format, "how log lines look", choices=("json", "text"))
    return parser


_ALIASES = {"kubeconfig": "KUBECONFIG", "lease-namespace": "POD_NAMESPACE"}
