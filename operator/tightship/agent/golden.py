"""Golden samples: asks a loaded model what the published one was asked, and compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tightship.agent.failures import ARTIFACT_CORRUPT, VERIFICATION_FAILED, LoadingError
from tightship.triton.client import TritonClient
from tightship.triton.errors import TritonRefusedError

_SAMPLES_MAX = 64
_ROUNDS = 3  # the first ones warm the model up; all must agree
_DEADLINE = 60.0
_DRAWN = 8  # samples in one question
_BUSY = frozenset({429, 503})  # a full queue or too many requests: no word of the model itself

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """When an answer agrees: |got - wanted| <= atol + rtol * |wanted| for a share of samples."""

    rtol: float
    atol: float
    agreement: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Inputs and the answers to them; the first axis of every array is the sample."""

    inputs: Arrays
    outputs: Arrays
    tolerance: Tolerance

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(next(iter(self.outputs.values())))


def read_golden(path: Path, tolerance: Tolerance) -> Golden:
    """Reads golden.npz.

    Raises:
        LoadingError: ArtifactCorrupt, when it is not what docs/reference/artifact.md says.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError) as error:
        raise LoadingError(
            ARTIFACT_CORRUPT, f"golden.npz cannot be read ({error}); publish the model again"
        ) from error
    inputs = {n.removeprefix("in/"): a for n, a in arrays.items() if n.startswith("in/")}
    outputs = {n.removeprefix("out/"): a for n, a in arrays.items() if n.startswith("out/")}
    lengths = {len(array) if array.ndim else 0 for array in arrays.values()}
    if not inputs or not outputs or len(lengths) != 1 or not 1 <= min(lengths) <= _SAMPLES_MAX:
        raise LoadingError(
            ARTIFACT_CORRUPT,
            f"golden.npz must hold in/NAME and out/NAME with 1 to {_SAMPLES_MAX} samples each, "
            "equally many in all; publish the model again",
        )
    return Golden(inputs=inputs, outputs=outputs, tolerance=tolerance)


async def verify(
    client: TritonClient, model: str, golden: Golden, max_batch: int, *, rounds: int = _ROUNDS
) -> None:
    """Asks a loaded model its golden samples, one by one and as a batch, several times.

    Raises:
        LoadingError: VerificationFailed, with the worst difference.
        TritonUnreachableError: Triton went away meanwhile.
    """
    try:
        for _ in range(rounds):
            await _verify_alone(client, model, golden, batched=max_batch > 0)
            if max_batch > 1:
                await _verify_batch(client, model, golden, min(max_batch, golden.samples))
    except TritonRefusedError as error:
        raise LoadingError(
            VERIFICATION_FAILED, f"the model refuses its golden samples: {error}"
        ) from error


async def refusal(
    client: TritonClient, model: str, golden: Golden, max_batch: int, instances: int
) -> str | None:
    """Why the model refuses golden samples now; None when it answers them, whatever the answers.

    Asks twice for each instance, since Triton gives requests to them in turn. Samples are drawn at
    random, so that where there is a batch axis the response cache has no answer to the question.

    Raises:
        TritonUnreachableError: Triton does not answer in time.
    """
    draw = np.random.default_rng()
    try:
        for _ in range(2 * instances):
            drawn = draw.integers(golden.samples, size=max(1, min(max_batch, _DRAWN)))
            rows = drawn if max_batch else drawn[0]
            inputs = {name: np.asarray(array[rows]) for name, array in golden.inputs.items()}
            await client.infer(model, inputs, deadline=_DEADLINE)
    except TritonRefusedError as error:
        return None if error.status in _BUSY else str(error)
    return None


async def _verify_alone(client: TritonClient, model: str, golden: Golden, *, batched: bool) -> None:
    answers = []
    for index in range(golden.samples):
        rows = slice(index, index + 1) if batched else index
        inputs = {name: np.asarray(array[rows]) for name, array in golden.inputs.items()}
        answer = await client.infer(model, inputs, deadline=_DEADLINE)
        answers.append({n: a if batched else a[np.newaxis] for n, a in answer.items()})
    _compare(golden, [_picked(golden, index, answer) for index, answer in enumerate(answers)])


async def _verify_batch(client: TritonClient, model: str, golden: Golden, size: int) -> None:
    inputs = {name: array[:size] for name, array in golden.inputs.items()}
    answer = await client.infer(model, inputs, deadline=_DEADLINE)
    rows = [{name: array[i : i + 1] for name, array in answer.items()} for i in range(size)]
    _compare(golden, [_picked(golden, index, row) for index, row in enumerate(rows)])


def _picked(golden: Golden, index: int, answer: Arrays) -> str | None:
    """Why one sample's answer disagrees; None when it agrees."""
    for name, wanted in golden.outputs.items():
        if name not in answer:
            return f"output '{name}' is missing"
        difference = _difference(answer[name], wanted[index : index + 1], golden.tolerance)
        if difference:
            return f"output '{name}' of sample {index} {difference}"
    return None


def _difference(got: np.ndarray, wanted: np.ndarray, tolerance: Tolerance) -> str | None:
    if got.shape != wanted.shape:
        return f"has shape {list(got.shape[1:])} instead of {list(wanted.shape[1:])}"
    if wanted.dtype.kind in "SUO":
        same = got.astype(np.bytes_) == wanted.astype(np.bytes_)
        return None if np.all(same) else "is another text"
    got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    if np.allclose(got, wanted, rtol=tolerance.rtol, atol=tolerance.atol, equal_nan=True):
        return None
    worst = np.nanmax(np.abs(got - wanted), initial=0.0)
    return (
        f"differs by up to {worst:.3g} (allowed: {tolerance.atol:g} + {tolerance.rtol:g} "
        "times the recorded value)"
    )


def _compare(golden: Golden, differences: list[str | None]) -> None:
    wrong = [difference for difference in differences if difference]
    if len(differences) - len(wrong) >= golden.tolerance.agreement * len(differences):
        return
    raise LoadingError(
        VERIFICATION_FAILED,
        f"{len(wrong)} of {len(differences)} golden samples are answered otherwise than when the "
        f"model was published: {wrong[0]}; convert it on nodes like those of the servers",
    )
