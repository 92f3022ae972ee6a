"""The options of `tightship optimize`, and the request and addresses that they stand for."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tightship.api.job import DataRequest, JobRequest, SearchRequest
from tightship.api.names import HTTP_PORT
from tightship.api.v1alpha1 import ModelFormat, Objective, SearchStrategy
from tightship.optimize import cache as caching
from tightship.optimize.budget import GIB, Budget
from tightship.optimize.metrics import arguments as own_metric
from tightship.optimize.proof import TritonAddress
from tightship.optimize.training import arguments as training

_LOCAL = "local"
_RANGES: Mapping[str, tuple[float, float]] = {
    "max_drop": (0, 999),
    "worst_value": (-999, 999),
    "max_class_drop": (0, 1),
    "worst_class_value": (0, 1),
    "positive_class": (0, 1_000_000),
    "confidence": (0.5, 0.999),
    "min_speedup": (0, 100),
    "slo_ms": (1, 600_000),
    "sparsity": (0.05, 0.95),
    "trials": (1, 100_000),
    "search_seconds": (0.1, 1_000_000),
    "threads": (1, 1024),
    "max_samples": (1, 100_000),
    "max_calibration_samples": (1, 100_000),
    "cache_size": (0, 1_000_000),
}
_SCRATCH = 64 * GIB  # or what the disk has, where that is less


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="tightship optimize",
        description="Find a smaller, faster variant of a model inside an accuracy gate.",
    )
    made.add_argument(
        "model", type=Path, help="an .onnx, .skops or .pt2 file, an archive, or a model's folder"
    )
    made.add_argument(
        "--output", type=Path, required=True, help="folder for the artifact (emptied)"
    )
    made.add_argument("--format", choices=[f.value for f in ModelFormat], default="onnx")
    made.add_argument(
        "--trusted-code",
        action="store_true",
        help="take pickles and models of torch, which run code when read",
    )
    made.add_argument("--json", action="store_true", help="print report.json instead of a table")
    for add in (
        _data_options,
        own_metric.add,
        _gate,
        _choice,
        _techniques,
        training.add,
        _proof,
        _cache,
    ):
        add(made)
    return made


def _data_options(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("data")
    group.add_argument("--evaluation", type=Path, help=".npz with the inputs and `labels`")
    group.add_argument("--calibration", type=Path, help=".npz with the inputs")
    group.add_argument("--max-samples", type=int, default=2000, help="of the evaluation data")
    group.add_argument("--max-calibration-samples", type=int, default=256)


def _gate(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("gate")
    group.add_argument("--max-drop", type=float, default=0.01, help="of the metric (default 0.01)")
    group.add_argument(
        "--worst-value", type=float, help="least metric; greatest, where smaller is better"
    )
    group.add_argument("--max-class-drop", type=float, help="of any class' recall; accuracy and f1")
    group.add_argument(
        "--worst-class-value", type=float, help="least recall of any class; accuracy and f1"
    )
    group.add_argument("--confidence", type=float, default=0.95, help="(default 0.95)")


def _choice(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("choice")
    group.add_argument(
        "--objective",
        choices=[o.value for o in Objective],
        default="latency",
        help="what to be best at (default latency)",
    )
    group.add_argument("--min-speedup", type=float, default=1.05, help="(default 1.05)")
    group.add_argument("--slo-ms", type=float, help="latency objective in milliseconds")
    group.add_argument("--slo-percentile", type=int, choices=[50, 90, 95, 99], default=99)
    group.add_argument("--threads", type=int, default=1, help="of the runtime (default 1)")
    group.add_argument(
        "--accelerator", help="that servers compute on, as its resource: nvidia.com/gpu"
    )


def _techniques(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("techniques")
    for name in ("quantize", "half-precision", "openvino", "prune"):
        group.add_argument(f"--no-{name}", action="store_true")
    group.add_argument("--sparsity", type=float, default=0.5, help="share of zeros (default 0.5)")
    group.add_argument(
        "--search",
        choices=[s.value.lower() for s in SearchStrategy],
        help="try settings beyond the curated list",
    )
    group.add_argument("--trials", type=int, default=20, help="of the search at most (default 20)")
    group.add_argument(
        "--search-seconds", type=float, default=600.0, help="of the search at most (default 600)"
    )


def _proof(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("proof in Triton")
    group.add_argument("--triton", help="HOST:PORT of a Triton to prove in (HTTP); needs --models")
    group.add_argument("--triton-metrics", help="HOST:PORT of its metrics (default: port + 2)")
    group.add_argument("--models", type=Path, help="that Triton's model repository, explicit mode")


def _cache(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("cache")
    group.add_argument(
        "--cache",
        type=Path,
        default=caching.default_folder(),
        help="folder of finished work, which the same command goes on from (default %(default)s)",
    )
    group.add_argument("--no-cache", action="store_true", help="neither read nor write it")
    group.add_argument(
        "--cache-size",
        type=float,
        default=caching.DEFAULT_GIB,
        metavar="GIB",
        help="above which the least used is removed (default %(default)g)",
    )


def refuse_senseless(made: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What the resource's rules refuse, too; ends with the usage and a sentence."""
    if wrong := own_metric.problem(options):
        made.error(wrong)
    classes = options.evaluation and options.metric in ("accuracy", "f1")
    for option in ("max_class_drop", "worst_class_value"):
        if getattr(options, option) is not None and not classes:
            made.error(f"{_flag(option)} needs --evaluation and --metric accuracy or f1")
    for name, (least, most) in _RANGES.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:  # NaN is in no range
            made.error(f"{_flag(name)} is {value:g}; it has to be between {least:g} and {most:g}")
    if options.positive_class is not None and options.metric != "f1":
        made.error("--positive-class belongs to --metric f1")


def _flag(name: str) -> str:
    """The option as it is typed."""
    return f"--{name.replace('_', '-')}"


def request(options: argparse.Namespace) -> JobRequest:
    """The same request that the operator would make."""
    evaluation, calibration = options.evaluation, options.calibration
    return JobRequest(
        key=_LOCAL,
        source_uri=str(options.model),
        source_format=options.format,
        source_digest=None,
        calibration=_data(calibration, options.max_calibration_samples),
        evaluation=_data(evaluation, options.max_samples),
        metric=own_metric.builtin(options),
        quantize=not options.no_quantize,
        half_precision=not options.no_half_precision,
        openvino=not options.no_openvino,
        prune=not options.no_prune,
        prune_sparsity=options.sparsity,
        max_drop=options.max_drop,
        worst_value=options.worst_value,
        max_class_drop=options.max_class_drop,
        worst_class_value=options.worst_class_value,
        positive_class=options.positive_class if evaluation else None,
        confidence=options.confidence,
        objective=options.objective,
        min_speedup=options.min_speedup,
        slo_target=options.slo_ms / 1e3 if options.slo_ms else None,
        slo_percentile=options.slo_percentile,
        store_uri="",
        allowed_hosts=(),
        max_source_bytes=Budget().scratch_bytes,
        scratch_bytes=_SCRATCH,
        converter_image=_LOCAL,
        server_image=options.triton or "none",
        node_class=_LOCAL,
        threads=options.threads,
        accelerator=options.accelerator,
        trainer=training.request(options),
        trusted_code=options.trusted_code,
        search=_search(options),
        own_metric=own_metric.own(options),
    )


def _search(options: argparse.Namespace) -> SearchRequest | None:
    if not options.search:
        return None
    names = {strategy.value.lower(): strategy.value for strategy in SearchStrategy}
    return SearchRequest(
        strategy=names[options.search],
        max_trials=options.trials,
        max_seconds=options.search_seconds,
    )


def _data(file: Path | None, limit: int) -> DataRequest | None:
    return DataRequest(uri=str(file), max_samples=limit) if file else None


def address(options: argparse.Namespace) -> TritonAddress | None:
    """Of the Triton to prove in; None without one."""
    if not options.triton:
        return None
    parts = urlsplit(f"//{options.triton}")
    port = parts.port or HTTP_PORT
    metrics = options.triton_metrics or f"{parts.hostname}:{port + 2}"
    return TritonAddress(f"{parts.hostname}:{port}", metrics)
