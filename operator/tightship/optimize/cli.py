"""`tightship optimize`: the Job's own code on a laptop, until it is done or ended by a signal."""

import argparse
import json
import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tightship.optimize import arguments, artifact, hostile, pipeline, report, table, terminal
from tightship.optimize import cache as caching
from tightship.optimize.budget import Budget
from tightship.optimize.conversion import Conversion
from tightship.optimize.failures import RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.metrics import arguments as own_metric
from tightship.optimize.progress import Noted, Progress
from tightship.optimize.training import arguments as training
from tightship.storage import StorageError

_CANCELLED = 130  # what shells show for a command that Ctrl-C ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tightship optimize`; 0 when an artifact was written, 1 when refused, 130 when ended."""
    made = arguments.parser()
    options = made.parse_args(argv)
    if bool(options.triton) != bool(options.models):
        made.error("--triton and --models belong together: the converter puts models there")
    arguments.refuse_senseless(made, options)
    _refuse_occupied(made, options.output)
    try:
        training.request(options)
    except ValueError as error:
        made.error(str(error))
    with (
        _ended_alike() as heed,
        tempfile.TemporaryDirectory(prefix="tightship-optimize-") as root,
    ):
        try:
            with terminal.shown(sys.stderr) as progress:
                logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
                found = _converted(options, Folders(Path(root), options.models), progress)
            artifact.write(found, options.output)
            heed()
        except (RefusalError, StorageError) as refusal:
            failure = refusal.to_failure()
            sys.stderr.write(f"{failure.reason}: {failure.message}\n")
            return 1
        except KeyboardInterrupt:
            shutil.rmtree(options.output, ignore_errors=True)
            sys.stderr.write(f"Cancelled: there is nothing in {options.output}.{_rest(options)}\n")
            return _CANCELLED
        except FileNotFoundError as error:
            sys.stderr.write(f"{error.filename} does not exist. Check the path.\n")
            return 1
        except OSError as error:
            cause = error.strerror or error
            sys.stderr.write(f"{error.filename or 'A file'} cannot be used: {cause}.\n")
            return 1
        sys.stdout.write(_shown(found, as_json=options.json))
    return 0


def _rest(options: argparse.Namespace) -> str:
    """What becomes of the work that was done."""
    if options.no_cache:
        return ""
    return f" The same command goes on from what {options.cache} has."


@contextmanager
def _ended_alike() -> Iterator[Callable[[], None]]:
    """SIGTERM ends the work as Ctrl-C does: with its children, and with its files removed.

    Python drops what a handler raises within a finalizer or another callback. What is yielded
    raises it again.
    """
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    def heed() -> None:
        if came:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse_occupied(made: argparse.ArgumentParser, output: Path) -> None:
    """The output folder is written anew: only an empty one, or one of an earlier run, is taken."""
    earlier = (output / artifact.REPORT).exists()
    if output.exists() and not earlier and (not output.is_dir() or any(output.iterdir())):
        made.error(f"{output} is not empty and was not written by this command; name another")


def _converted(options: argparse.Namespace, folders: Folders, progress: Progress) -> Conversion:
    folders.source.mkdir(parents=True)
    _bring(options.model, folders.source)
    for given, target in (
        (options.calibration, folders.calibration),
        (options.evaluation, folders.evaluation),
    ):
        if given is not None:
            shutil.copyfile(given, target)
    for code, target in (
        (own_metric.own(options), folders.metric),
        (training.request(options), folders.trainer),
    ):
        if code is not None:
            target.symlink_to(Path(code.uri).resolve())
    return pipeline.convert(
        arguments.request(options),
        folders,
        Budget(),
        arguments.address(options),
        progress,
        _cache(options, progress),
    )


def _cache(options: argparse.Namespace, progress: Progress) -> caching.Cache | None:
    if options.no_cache:
        return None
    limit = caching.limit_bytes(options.cache_size)
    return caching.Cache(options.cache, limit, lambda text: progress(Noted(text)))


def _bring(model: Path, folder: Path) -> None:
    """The file with the external data that it names, or the whole folder."""
    if model.is_dir():
        shutil.copytree(model, folder, dirs_exist_ok=True, symlinks=True)
        return
    shutil.copyfile(model, folder / model.name)
    for name in hostile.external(model, Budget()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.parent / name, folder / name, follow_symlinks=False)


def _shown(found: Conversion, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(report.report(found), indent=1, sort_keys=True, allow_nan=False) + "\n"
    return f"{table.table(found)}\n{report.reason(found)}\n"
