"""`tightship import`: profiles that Triton's own tools measured, as profile.json."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tightship.api import quantity
from tightship.triton import model_analyzer, perf_analyzer
from tightship.triton.csv_table import TableError
from tightship.triton.profile import Point, Profile

UNKNOWN = "unknown"


class ImportRefusedError(Exception):
    """A file that cannot be taken, with its name and the remedy."""


def main(arguments: Sequence[str]) -> int:
    """Turn files into a profile; 1 when one cannot be taken."""
    given = _parser().parse_args(arguments)
    try:
        text = _READERS[given.tool](given).to_json()
        if given.output is None:
            sys.stdout.write(text)
        else:
            given.output.write_text(text, encoding="utf-8")
    except ImportRefusedError as error:
        sys.stderr.write(f"tightship import: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"tightship import: {error.filename}: {error.strerror}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tightship import", description=__doc__)
    tools = parser.add_subparsers(dest="tool", required=True)
    perf = tools.add_parser("perf-analyzer", help="CSV files of perf_analyzer -f")
    perf.add_argument("files", nargs="+", metavar="[BATCH=]FILE", help="one for each batch size")
    perf.add_argument("--instances", type=_count, default=1, help="of the model; default: 1")
    model = tools.add_parser("model-analyzer", help="metrics-model-inference.csv")
    model.add_argument("file", type=Path, help="metrics-model-inference.csv")
    model.add_argument("--model", help="which one, where the file has several")
    model.add_argument("--config", help="which configuration, where the file has several")
    model.add_argument("--gpu", type=Path, metavar="FILE", help="metrics-model-gpu.csv")
    model.add_argument("--server", type=Path, metavar="FILE", help="metrics-server-only.csv")
    for tool in (perf, model):
        tool.add_argument("--max-batch", type=_count, help="max_batch_size; default: as measured")
        tool.add_argument("--memory", type=_bytes, help="of the loaded model, such as 900Mi")
        tool.add_argument("--load-time", type=_seconds, help="of the model, such as 4s")
        tool.add_argument("--triton", default=UNKNOWN, metavar="VERSION", help="that was measured")
        tool.add_argument("-o", "--output", type=Path, help="default: standard output")
    return parser


def _perf_analyzer(given: argparse.Namespace) -> Profile:
    points: list[Point] = []
    memory: int | None = None
    seen: dict[int, str] = {}
    for argument in given.files:
        batch, file = _batched(argument)
        if batch in seen:
            raise ImportRefusedError(
                f"{file}: batch {batch} is {seen[batch]} already; name others as BATCH=FILE"
            )
        seen[batch] = file
        with _Named(file):
            found, used = perf_analyzer.read(
                _text(Path(file)), batch=batch, instances=given.instances
            )
        points += found
        memory = max((m for m in (memory, used) if m is not None), default=None)
    return _profile(given, tuple(sorted(points, key=_place)), given.max_batch, memory)


def _model_analyzer(given: argparse.Namespace) -> Profile:
    if (given.gpu is None) != (given.server is None):
        raise ImportRefusedError(
            "--gpu and --server go together: the memory is what the first has more than the second"
        )
    with _Named(str(given.file)):
        results = model_analyzer.read(_text(given.file), model=given.model, config=given.config)
        points, max_batch = results.points(), results.max_batch()
    memory = None
    if given.gpu is not None:
        with _Named(f"{given.gpu}, {given.server}"):
            memory = model_analyzer.memory(_text(given.gpu), _text(given.server), results)
    return _profile(given, points, given.max_batch or max_batch, memory)


_READERS: dict[str, Callable[[argparse.Namespace], Profile]] = {
    "perf-analyzer": _perf_analyzer,
    "model-analyzer": _model_analyzer,
}


def _profile(
    given: argparse.Namespace, points: tuple[Point, ...], max_batch: int | None, memory: int | None
) -> Profile:
    measured = max(point.batch for point in points)
    if max_batch is not None and max_batch < measured:
        raise ImportRefusedError(
            f"a batch of {measured} was measured, above --max-batch {max_batch}; raise it"
        )
    peak, source = (memory, "device") if given.memory is None else (given.memory, "given")
    return Profile(
        server=given.triton,
        max_batch=max_batch or measured,
        load_seconds=given.load_time,
        memory=given.memory,
        memory_peak=peak,
        memory_source=None if peak is None else source,
        points=points,
    )


class _Named:
    """Puts a file's name before what is said of it."""

    def __init__(self, file: str) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, TableError):
            raise ImportRefusedError(f"{self._file}: {error}") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TableError(f"not text in UTF-8 ({error.reason}); name a CSV file") from error


def _batched(argument: str) -> tuple[int, str]:
    """BATCH and FILE of "8=perf.csv"; a file alone was measured at batch 1."""
    batch, separator, file = argument.partition("=")
    if separator and batch.isdecimal() and int(batch) > 0:
        return int(batch), file
    return 1, argument


def _place(point: Point) -> tuple[int, int]:
    return point.batch, point.concurrency


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(text)


def _bytes(text: str) -> int:
    try:
        return quantity.whole_bytes(quantity.memory(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    try:
        return float(quantity.duration(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
