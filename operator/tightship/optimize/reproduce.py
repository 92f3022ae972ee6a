"""The command that does a conversion's work again on any machine; stands in report.json.

Addresses of the source and the data are left out: they may hold signatures. Digests in the report
say which files MODEL, CALIBRATION and EVALUATION are.
"""

from tightship.api.job import DataRequest, JobRequest
from tightship.optimize.metrics import arguments as own_metric
from tightship.optimize.training import arguments


def command(request: JobRequest) -> list[str]:
    """`tightship optimize` with everything that decides what is found."""
    return [
        *("tightship", "optimize", "MODEL", "--output", "OUTPUT"),
        *("--format", request.source_format),
        *(["--trusted-code"] if request.trusted_code else []),
        *_data("calibration", request.calibration, "--max-calibration-samples"),
        *_data("evaluation", request.evaluation, "--max-samples"),
        *_gate(request),
        *_objective(request),
        *_techniques(request),
        *_search(request),
        *(["--accelerator", request.accelerator] if request.accelerator else []),
        *("--threads", str(request.threads)),
        *arguments.command(request.trainer),
    ]


def _data(name: str, asked: DataRequest | None, limit: str) -> list[str]:
    if asked is None:
        return []
    return [f"--{name}", f"{name.upper()}.npz", limit, str(asked.max_samples)]


def _gate(request: JobRequest) -> list[str]:
    found = own_metric.command(request.own_metric)
    found += ["--metric", request.metric] if request.metric else []
    for option, value in (
        ("--max-drop", request.max_drop),
        ("--worst-value", request.worst_value),
        ("--max-class-drop", request.max_class_drop),
        ("--worst-class-value", request.worst_class_value),
        ("--positive-class", request.positive_class),
        ("--confidence", request.confidence),
        ("--min-speedup", request.min_speedup),
    ):
        if value is not None:
            found.append(f"{option}={value!r}")  # "=": a value may begin with a minus
    return found


def _objective(request: JobRequest) -> list[str]:
    aim = ["--objective", request.objective]
    if request.slo_target is None:
        return aim
    milliseconds = request.slo_target * 1e3
    return [*aim, f"--slo-ms={milliseconds!r}", "--slo-percentile", str(request.slo_percentile)]


def _techniques(request: JobRequest) -> list[str]:
    switches = (
        ("--no-quantize", request.quantize),
        ("--no-half-precision", request.half_precision),
        ("--no-openvino", request.openvino),
        ("--no-prune", request.prune),
    )
    return [
        *(switch for switch, wanted in switches if not wanted),
        f"--sparsity={request.prune_sparsity!r}",
    ]


def _search(request: JobRequest) -> list[str]:
    search = request.search
    if search is None:
        return []
    return [
        *("--search", search.strategy.lower(), "--trials", str(search.max_trials)),
        f"--search-seconds={search.max_seconds!r}",
    ]
