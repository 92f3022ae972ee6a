"""The agent's own metrics, on a registry of their own."""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tightship.agent.journal import Served
from tightship.api.agent import LoadState, ServerState

_LOAD_BUCKETS = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600)


class Telemetry:
    """Counts what happens, and shows the state at the time of asking."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._models = self._gauge("models", "Models by state", ["state"])
        self._memory = self._gauge("memory_used_bytes", "Memory that models count for")
        self._ready = self._gauge("ready", "1 when all formerly verified models are back")
        self._restarts = self._gauge("triton_restarts", "Restarts of Triton that were seen")
        self._psi = self._gauge(
            "drift_psi", "The worst feature's PSI in the last full window", ["model"]
        )
        self._samples = self._gauge(
            "drift_samples", "Requests sampled in the present window", ["model"]
        )
        self._loads = Histogram(
            "tightship_agent_load_seconds",
            "Seconds of loads that ended in a verified model",
            registry=self._registry,
            buckets=_LOAD_BUCKETS,
        )
        self._failures = Counter(
            "tightship_agent_failures",
            "Attempts to load that failed, by reason",
            ["reason"],
            registry=self._registry,
        )
        self._crashes = Counter(
            "tightship_agent_crashes",
            "Times that a verified model stopped answering",
            registry=self._registry,
        )

    def sampled(self, models: Mapping[str, tuple[float, int]]) -> None:
        """Shows the PSI of each model's last full window, and requests in the present one."""
        for gauge, part in ((self._psi, 0), (self._samples, 1)):
            gauge.clear()
            for model, values in models.items():
                gauge.labels(model).set(values[part])

    def loaded(self, served: Served | None) -> None:
        """Counts a load."""
        if served is not None and served.load_seconds is not None:
            self._loads.observe(served.load_seconds)

    def failed(self, reason: str) -> None:
        """Counts a failed attempt."""
        self._failures.labels(reason).inc()

    def crashed(self) -> None:
        """Counts a verified model that stopped answering."""
        self._crashes.inc()

    def page(self, state: ServerState) -> bytes:
        """The metrics as Prometheus text."""
        tally = Tally(model.state for model in state.models)
        for load_state in LoadState:
            self._models.labels(load_state).set(tally[load_state])
        self._memory.set(state.memory_used)
        self._ready.set(state.ready)
        self._restarts.set(state.restarts)
        return generate_latest(self._registry)

    def _gauge(self, name: str, help_text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"tightship_agent_{name}", help_text, labels, registry=self._registry)
