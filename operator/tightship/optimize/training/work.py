"""What runs in children: looks what can be trained, and trains one candidate into an ONNX file."""

import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from tightship.api import training as names
from tightship.api.training import TrainingOptions
from tightship.optimize.contract import Contract
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.training import export, loop, subject
from tightship.optimize.training.proposal import Proposal, Technique
from tightship.optimize.training.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Where a trainer is, and how it is used: JSON values, for a child."""

    folder: str
    entry: str
    options: Mapping[str, Any]

    def load(self) -> Subject:
        """The trainer with its data.

        Raises:
            RefusalError: it does not follow the protocol.
        """
        options = TrainingOptions.from_json(dict(self.options))
        loop.seeded(options)
        return subject.load(Path(self.folder), self.entry, options)


def technique(name: str) -> Technique:
    """The module of that name."""
    if name not in names.TECHNIQUES:
        raise ValueError(f"'{name}' is no technique of training")
    return cast("Technique", importlib.import_module(f"tightship.optimize.training.{name}"))


def survey_task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {trainer, contract, original} -> {proposals} of all techniques asked for.

    Raises:
        RefusalError: the trainer is not usable, or not of this model.
    """
    found = Setup(**payload["trainer"]).load()
    contract = Contract.from_json(payload["contract"])
    _check_same(found, contract, Path(payload["original"]))
    return {
        "proposals": [
            {"technique": name, **asdict(proposal)}
            for name in names.TECHNIQUES
            for proposal in _proposals(found, name)
        ]
    }


def _proposals(found: Subject, name: str) -> list[Proposal]:
    if name in found.options.techniques:
        return list(technique(name).propose(found))
    if name == names.ZEROS:
        reason = "zeros bring no speed on this runtime; ask for the technique zeros to train them"
        return [Proposal(id=name, reason=reason)]
    return [Proposal(id=name, reason=f"the technique {name} was not asked for")]


def _check_same(found: Subject, contract: Contract, original: Path) -> None:
    export.fits(found, contract)
    samples = export.feeds(found, contract)
    expected = export.torch_answers(found.build(), samples, contract)
    problem = export.differs(original, contract, samples, expected)
    if problem:
        raise RefusalError(
            Reason.INVALID_TRAINER,
            f"The trainer builds another model than the given file: {problem}. Let build() return "
            "the module with the weights that was exported.",
        )


def train(
    setup: Setup, name: str, params: Mapping[str, Any], contract: Contract, target: Path
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Make, train and export one candidate; notes and coverage for the report.

    Raises:
        RefusalError: the trainer or the changed model is not usable.
    """
    found = setup.load()
    made = technique(name).apply(found, params)
    history = loop.fit(made.model, found, found.build(), made.after_step)
    notes = export.export(made.model, found, contract, target)
    coverage = {
        **made.coverage,
        "epochs": float(history.epochs),
        "validationBefore": history.before,
        "validationAfter": history.metric,
    }
    return (*made.notes, history.told(), *notes), coverage
