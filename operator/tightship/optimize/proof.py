"""Walks down the ranking in Triton until a candidate is proven, else proves the original."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tightship.api.job import JobRequest
from tightship.api.progress import Position, Stage
from tightship.api.v1alpha1 import Objective
from tightship.optimize import evaluate, gains, selection, serving
from tightship.optimize.budget import Budget
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.confirm import CANDIDATE, ORIGINAL, Proof, Stand, UnconfirmedError
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.gains import Gains
from tightship.optimize.golden import golden, tolerance
from tightship.optimize.intake import Intake
from tightship.optimize.metrics.own import Asked
from tightship.optimize.progress import Progress, decided
from tightship.optimize.race import Race
from tightship.optimize.runtime import Outputs
from tightship.optimize.workshop import Workshop
from tightship.triton.client import TritonClient
from tightship.triton.errors import TritonError
from tightship.triton.profile import Profile


@dataclass(frozen=True, slots=True)
class TritonAddress:
    """HOST:PORT of the HTTP and of the metrics port."""

    http: str
    metrics: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is published, as Triton serves it. `race` compares with the original, or with itself."""

    chosen: Candidate | None
    server: str
    race: Race
    batched: Race | None
    metric: float | None  # through Triton, over all samples
    proof: Proof | None
    profile: Profile
    golden: dict[str, Any]  # arrays
    tolerance: tuple[float, float]
    objective_met: bool | None  # None: there is no objective


class Bench:
    """Proves the models of one conversion."""

    def __init__(
        self, request: JobRequest, intake: Intake, workshop: Workshop, config: str, budget: Budget
    ) -> None:
        self._request, self._intake, self._workshop = request, intake, workshop
        self._config, self._budget = config, budget
        self._samples = workshop.judged or intake.golden
        alone = {name: array[:1] for name, array in intake.golden.arrays.items()}
        self._golden = Dataset(alone) if workshop.unjudged else intake.golden

    async def prove(
        self,
        address: TritonAddress,
        repository: Path,
        order: Sequence[Candidate],
        progress: Progress,
    ) -> Outcome:
        """The first candidate of the ranking that holds, else the original.

        Raises:
            RefusalError: Triton does not answer, or serves the original with other answers; or a
                metric of the user's own fails on these.
        """
        async with TritonClient(
            address.http, metrics_address=address.metrics, deadline=60.0
        ) as client:
            stand = Stand(
                client,
                repository,
                self._intake.contract,
                lambda model: serving.for_model(self._config, model, self._request.threads),
                self._budget,
            )
            try:
                return await self._proven(stand, order, progress)
            except (TritonError, UnconfirmedError) as error:
                raise RefusalError(
                    Reason.TRITON_FAILED,
                    f"The original could not be proven in Triton: {error}. Look at the container "
                    "'triton' of the Job's pod; the pool's server image must serve ONNX models.",
                ) from error

    async def _proven(
        self, stand: Stand, order: Sequence[Candidate], progress: Progress
    ) -> Outcome:
        server = await stand.ready()
        await stand.drop(ORIGINAL, CANDIDATE)
        await stand.load(ORIGINAL, Executable(self._workshop.original))
        await self._original(stand, self._budget.proof_samples)
        winner: Candidate | None = None
        for number, candidate in enumerate(order, 1):
            progress(Position(Stage.PROVE, number, len(order), candidate.id))
            held = await self._tried(stand, candidate)
            progress(decided(candidate))
            if held and (winner is None or self._meets(candidate)):
                winner, previous = candidate, winner
                if previous is not None:
                    self._missed(previous)
                if self._meets(candidate):
                    break
        return await self._finished(stand, winner, server)

    async def _original(self, stand: Stand, limit: int) -> tuple[Proof | None, float | None]:
        """Whether Triton answers as the runtime did, on the first samples; the metric on all."""
        judged = self._workshop.judged
        if judged is None or self._workshop.unjudged:
            return None, None
        expected = evaluate.load_answers(self._workshop.scratch / "reference")
        part = Dataset({name: array[:limit] for name, array in judged.arrays.items()})
        wanted = {name: array[:limit] for name, array in expected.items()}
        proof, answers = await stand.prove(ORIGINAL, part, wanted)
        return proof, self._metric(answers) if limit >= len(judged) else None

    async def _tried(self, stand: Stand, candidate: Candidate) -> bool:
        """Whether the candidate holds in Triton; otherwise it is refused with the reason."""
        try:
            if await self._held(stand, candidate):
                return True
        except UnconfirmedError as error:
            candidate.refuse(Status.TRITON_REFUSED, str(error))
        except TritonError as error:
            candidate.refuse(Status.TRITON_REFUSED, f"Triton failed while it served it: {error}")
            await stand.ready()
            await stand.load(ORIGINAL, Executable(self._workshop.original))
        return False

    async def _held(self, stand: Stand, candidate: Candidate) -> bool:
        if candidate.model is None or self._workshop.judged is None:
            return False
        await stand.load(CANDIDATE, candidate.model)
        expected = evaluate.load_answers(candidate.model.file.parent / "answers")
        proof, answers = await stand.prove(CANDIDATE, self._workshop.judged, expected)
        race, batched = await self._raced(stand)
        try:
            metric = self._metric(answers)
        except RefusalError as refusal:
            raise UnconfirmedError(refusal.message) from refusal
        candidate.triton = {
            "race": asdict(race),
            "batched": asdict(batched) if batched else None,
            "proof": asdict(proof),
            "metric": metric,
        }
        reason = self._shortfall(candidate, race, batched or race)
        if reason:
            runtime = candidate.timed.speedup if candidate.timed else 1.0
            text = f"through Triton {reason} (x{runtime:.2f} in the runtime alone)"
            candidate.refuse(Status.TOO_SLOW, text)
        return reason is None

    async def _raced(self, stand: Stand) -> tuple[Race, Race | None]:
        """Against the original: a single sample, and the batch that throughput is taken at."""
        percentile, contract = self._request.slo_percentile, self._intake.contract
        batch = min(contract.max_batch, self._budget.throughput_batch)
        race = await stand.race(self._samples, percentile)
        return race, await stand.race(self._samples, percentile, batch) if batch > 1 else None

    def _shortfall(self, candidate: Candidate, race: Race, batched: Race) -> str | None:
        objective = Objective(self._request.objective)
        found = Gains(
            latency=race.speedup,
            throughput=batched.speedup,
            memory=candidate.timed.memory_ratio if candidate.timed else 1.0,
            batch=batched.batch,
        )
        noise = race.noise if objective is Objective.LATENCY else batched.noise
        return gains.shortfall(found, objective, noise, self._request.min_speedup)

    def _meets(self, candidate: Candidate) -> bool:
        latency = float(candidate.triton["race"]["percentile"]) if candidate.triton else 0.0
        return selection.meets(latency, self._request.slo_target)

    def _missed(self, candidate: Candidate) -> None:
        latency = candidate.triton["race"]["percentile"] if candidate.triton else 0.0
        candidate.refuse(
            Status.OBJECTIVE_MISSED,
            f"p{self._request.slo_percentile} of {latency * 1e3:.1f} ms is above the objective, "
            "which another candidate meets",
        )

    def _metric(self, answers: Outputs) -> float:
        judging, dataset = self._workshop.judging(), self._samples
        expected = evaluate.load_answers(Path(judging.reference))
        asked = Asked(confidence=judging.demands.confidence, bound=False)
        scratch = self._workshop.scratch / "proof"
        (found,) = evaluate.judged(judging, dataset, expected, [answers], scratch, asked)
        return found.value

    async def _finished(self, stand: Stand, winner: Candidate | None, server: str) -> Outcome:
        """Profile what won, alone in Triton, and take its golden answers."""
        if winner is None or winner.model is None or winner.triton is None:
            batched = None
            race = await stand.alone(ORIGINAL, self._samples, self._request.slo_percentile)
            proof, metric = await self._original(stand, len(self._samples))
        else:
            race, proof = Race(**winner.triton["race"]), Proof(**winner.triton["proof"])
            metric, both = winner.triton["metric"], winner.triton["batched"]
            batched = Race(**both) if both else None
        model = (winner.model if winner else None) or Executable(self._workshop.original)
        await stand.drop(ORIGINAL, CANDIDATE)
        await stand.load(CANDIDATE, model)
        profile = await stand.profile(CANDIDATE, self._samples, race.p50)
        rounds = await self._golden_rounds(stand)
        await stand.drop(CANDIDATE)
        target = self._request.slo_target
        return Outcome(
            chosen=winner,
            server=server,
            race=race,
            batched=batched,
            metric=metric,
            proof=proof,
            profile=profile,
            golden=golden(stand.wired(self._golden), rounds),
            tolerance=tolerance(rounds, random=self._intake.contract.random),
            objective_met=None if target is None else selection.meets(race.percentile, target),
        )

    async def _golden_rounds(self, stand: Stand) -> list[Outputs]:
        """The golden samples one by one, once more, and together: how they will be asked."""
        sizes = (1, 1, max(1, self._intake.contract.max_batch))
        return [await stand.answers(CANDIDATE, self._golden, size) for size in sizes]
