"""What a trainer may give, and that each mistake is told in a sentence."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import CONTRACT, OPTIONS, Scene

from tightship.optimize.failures import RefusalError
from tightship.optimize.training import batches, export, subject

ENTRY = "given.py:T"


@pytest.fixture(autouse=True)
def _paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer's folder comes into the path of its own process; here all share one."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def written(folder: Path, *lines: str) -> Path:
    (folder / "given.py").write_text("\n".join(lines) + "\n")
    return folder


DERIVED = ("from tests.training.trainers.digits import Digits", "class T(Digits):")
BROKEN = {
    "no method": (("class T:", "    pass"), "lacks build(), train_data(), loss()"),
    "no such name": (("x = 1",), "has no 'T'"),
    "no module": (
        (*DERIVED, "    def build(self):", "        return 3"),
        "gives a int from build()",
    ),
    "read once": (
        (*DERIVED, "    def train_data(self):", "        return iter([1])"),
        "can be read more than once",
    ),
    "no data": (
        (*DERIVED, "    def train_data(self):", "        return []"),
        "a data set without samples",
    ),
    "no target": (
        (*DERIVED, "    def train_data(self):", "        return [[1.0], [2.0]]"),
        "not (inputs..., target)",
    ),
    "batches without a length": (
        (
            *DERIVED,
            "    def train_data(self):",
            "        class B:",
            "            def __iter__(self):",
            "                yield 1",
            "        return B()",
        ),
        "add __len__",
    ),
    "batches without validation": (
        (
            *DERIVED,
            "    validation_data = None",
            "    def train_data(self):",
            "        return {1: 2}.items()",
        ),
        "no validation_data()",
    ),
    "one example": (
        (
            *DERIVED,
            "    def example_inputs(self):",
            "        import torch; return torch.zeros(1, 1)",
        ),
        "at least two samples",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_mistake_is_a_sentence(name: str, tmp_path: Path) -> None:
    lines, words = BROKEN[name]
    with pytest.raises(RefusalError) as caught:
        subject.load(written(tmp_path, *lines), ENTRY, OPTIONS)
    assert caught.value.message.startswith("The trainer ")
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("given.py", "FILE.py:NAME"),
        ("given.py:T-1", "FILE.py:NAME"),
        ("given.txt:T", "module given.txt does not exist"),
        ("no.py:T", "file no.py does not exist"),
    ],
)
def test_entries(entry: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match=words):
        subject.load(written(tmp_path, "T = 1"), entry, OPTIONS)


FORMS = {
    "class": "T = Digits",
    "object": "T = Digits()",
    "function": "def T(): return Digits()",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_trainer_is_a_class_an_object_or_a_function(name: str, tmp_path: Path) -> None:
    found = subject.load(written(tmp_path, DERIVED[0], FORMS[name]), ENTRY, OPTIONS)
    assert found.classes
    assert len(found.examples[0]) == subject.EXAMPLES


def test_without_validation_data_a_part_is_held_out(tmp_path: Path) -> None:
    folder = written(tmp_path, *DERIVED, "    validation_data = None")
    found = [subject.load(folder, ENTRY, OPTIONS) for _ in range(2)]
    kept, held = ([each for batch in part for each in batch[0]] for part in found[0].batches)
    again = [each for batch in found[1].validation for each in batch[0]]
    assert (len(kept), len(held)) == (850, 150)
    assert torch.equal(torch.stack(held), torch.stack(again))


def test_a_data_set_of_samples_gives_the_same_batches_as_its_tensors(scene: Scene) -> None:
    whole = scene.subject().train
    listed = list(zip(*whole.tensors, strict=True))  # type: ignore[attr-defined] # a Cut

    class Listed:
        def build(self) -> None: ...

        def train_data(self) -> list[tuple[torch.Tensor, ...]]:
            return listed

        validation_data = train_data

        def loss(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return outputs.sum() + target.sum()

    _, loaded = batches.split(Listed(), OPTIONS)
    _, cut = batches.split(scene.subject().trainer, OPTIONS)
    assert len(loaded) == len(whole)
    assert batches.first(loaded)[0].shape == batches.first(cut)[0].shape
    flat = torch.cat([batch[1] for batch in loaded])
    assert torch.equal(flat, whole.tensors[1])  # type: ignore[attr-defined] # a Cut


def test_ready_batches_take_no_batch_size() -> None:
    class Ready:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            yield torch.zeros(4, 2), torch.zeros(4)

    class Trainer:
        def build(self) -> None: ...

        def train_data(self) -> Ready:
            return Ready()

        validation_data = train_data

        def loss(self, outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return outputs.sum() + target.sum()

    with pytest.raises(RefusalError, match="batch size cannot be asked for"):
        batches.split(Trainer(), OPTIONS)
    train, _ = batches.split(Trainer(), replace(OPTIONS, batch_size=None))
    assert len(train) == 1


def test_samples_have_to_be_inputs_of_the_model(scene: Scene) -> None:
    found = scene.subject()
    export.fits(found, CONTRACT)
    found.examples = (found.examples[0].double(),)
    with pytest.raises(RefusalError, match="of float64; the model takes"):
        export.fits(found, CONTRACT)
    found.examples = (found.examples[0], found.examples[0])
    with pytest.raises(RefusalError, match="gives 2 inputs"):
        export.fits(found, CONTRACT)
    with pytest.raises(RefusalError, match="without a batch axis"):
        export.fits(found, replace(CONTRACT, max_batch=0))
