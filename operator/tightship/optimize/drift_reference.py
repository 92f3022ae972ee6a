"""What drift is later told against: the judged inputs and the chosen model's answers."""

from collections.abc import Iterable

from tightship.drift.reference import Column, Reference, reference
from tightship.optimize import evaluate, reuse
from tightship.optimize.candidate import Candidate
from tightship.optimize.contract import Tensor
from tightship.optimize.data import Arrays
from tightship.optimize.workshop import Workshop


def of_chosen(workshop: Workshop, chosen: Candidate | None) -> Reference | None:
    """What inputs and the chosen model's answers look like; None where nothing was judged."""
    folder = workshop.scratch / "reference"
    if chosen is not None and chosen.model is not None:
        folder = chosen.model.file.parent / reuse.ANSWERS
    if workshop.judged is None or not folder.is_dir():
        return None
    contract, answers = workshop.intake.contract, evaluate.load_answers(folder)

    def columns(tensors: Iterable[Tensor], arrays: Arrays) -> list[Column]:
        fixed = {t.name: None not in contract.sample_dims(t) for t in tensors}
        return [
            Column(name=name, rows=arrays[name], fixed=each)
            for name, each in fixed.items()
            if name in arrays
        ]

    return reference(
        columns(contract.inputs, workshop.judged.arrays), columns(contract.outputs, answers)
    )
