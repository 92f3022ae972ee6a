"""The options of `tightship optimize`, and the request and addresses that they stand for."""

import argparse
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
    made.add_argument("--evaluation", type=Path, help=".npz with the inputs and `labels`")
    made.add_argument("--calibration", type=Path, help=".npz with the inputs")
    own_metric.add(made)
    made.add_argument("--format", choices=[f.value for f in ModelFormat], default="onnx")
    made.add_argument(
        "--trusted-code",
        action="store_true",
        help="take pickles and models of torch, which run code when read",
    )
    made.add_argument("--max-drop", type=float, default=0.01, help="of the metric (default 0.01)")
    made.add_argument(
        "--worst-value", type=float, help="least metric; greatest, where smaller is better"
    )
    made.add_argument("--max-class-drop", type=float, help="of any class' recall; accuracy and f1")
    made.add_argument("--positive-class", type=int, help="f1 of this class alone")
    made.add_argument("--confidence", type=float, default=0.95, help="(default 0.95)")
    made.add_argument(
        "--objective",
        choices=[o.value for o in Objective],
        default="latency",
        help="what to be best at (default latency)",
    )
    made.add_argument("--min-speedup", type=float, default=1.05, help="(default 1.05)")
    made.add_argument("--slo-ms", type=float, help="latency objective in milliseconds")
    made.add_argument("--slo-percentile", type=int, choices=[50, 90, 95, 99], default=99)
    made.add_argument("--no-quantize", action="store_true")
    made.add_argument("--no-half-precision", action="store_true")
    made.add_argument("--no-openvino", action="store_true")
    made.add_argument("--no-prune", action="store_true")
    made.add_argument("--sparsity", type=float, default=0.5, help="share of zeros (default 0.5)")
    made.add_argument(
        "--search",
        choices=[s.value.lower() for s in SearchStrategy],
        help="try settings beyond the curated list",
    )
    made.add_argument("--trials", type=int, default=20, help="of the search at most (default 20)")
    made.add_argument(
        "--search-seconds", type=float, default=600.0, help="of the search at most (default 600)"
    )
    made.add_argument(
        "--accelerator", help="that servers compute on, as its resource: nvidia.com/gpu"
    )
    made.add_argument("--threads", type=int, default=1, help="of the runtime (default 1)")
    made.add_argument("--max-samples", type=int, default=2000, help="of the evaluation data")
    made.add_argument("--max-calibration-samples", type=int, default=256)
    made.add_argument("--triton", help="HOST:PORT of a Triton to prove in (HTTP); needs --models")
    made.add_argument("--triton-metrics", help="HOST:PORT of its metrics (default: port + 2)")
    made.add_argument("--models", type=Path, help="that Triton's model repository, explicit mode")
    training.add(made)
    made.add_argument(
        "--cache",
        type=Path,
        default=caching.default_folder(),
        help="folder of finished work, which the same command goes on from (default %(default)s)",
    )
    made.add_argument("--no-cache", action="store_true", help="neither read nor write it")
    made.add_argument(
        "--cache-size",
        type=float,
        default=caching.DEFAULT_GIB,
        metavar="GIB",
        help="above which the least used is removed (default %(default)g)",
    )
    made.add_argument("--json", action="store_true", help="print report.json instead of a table")
    return made


def refuse_senseless(made: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What the resource's rules refuse, too; ends with the usage and a sentence."""
    if wrong := own_metric.problem(options):
        made.error(wrong)
    classes = options.evaluation and options.metric in ("accuracy", "f1")
    if options.max_class_drop is not None and not classes:
        made.error("--max-class-drop needs --evaluation and --metric accuracy or f1")
    if options.trials < 1 or options.search_seconds <= 0:
        made.error("--trials must be at least 1, and --search-seconds above 0")
    if options.cache_size < 0:
        made.error("--cache-size must not be below 0; 0 keeps nothing")
    if options.positive_class is not None and options.metric != "f1":
        made.error("--positive-class belongs to --metric f1")


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
