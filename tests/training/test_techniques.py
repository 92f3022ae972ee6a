"""What each technique makes of a model, and when it makes nothing."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from tests.training.conftest import CONTRACT, OPTIONS, Scene
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from tightship.api.training import TECHNIQUES
from tightship.optimize import contract
from tightship.optimize.failures import RefusalError
from tightship.optimize.training import (
    blocks,
    channels,
    depth,
    export,
    loop,
    separable,
    students,
    work,
    zeros,
)
from tightship.optimize.training.proposal import parameters
from tightship.optimize.training.subject import Subject


@dataclass
class Given:
    """A trainer of a model and random data."""

    model: nn.Module
    inputs: Tensor
    target: Tensor
    replaced: dict[str, Any] | None = None

    def build(self) -> nn.Module:
        return self.model

    def train_data(self) -> TensorDataset:
        return TensorDataset(self.inputs, self.target)

    def validation_data(self) -> TensorDataset:
        return self.train_data()

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        if target.is_floating_point():
            return nn.functional.mse_loss(outputs, target)
        return nn.functional.cross_entropy(outputs, target)

    def blocks(self) -> dict[str, Any]:
        return self.replaced or {}


def subject(model: nn.Module, *shape: int, **given: Any) -> Subject:  # noqa: ANN401 (fields of Given)
    torch.manual_seed(0)
    return Subject(Given(model, torch.randn(16, *shape), torch.arange(16) % 3, **given), OPTIONS)


def dense() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)
    )


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_technique_keeps_the_interface(name: str, scene: Scene) -> None:
    found = scene.subject()
    proposals = work.technique(name).propose(found)
    if name == "blocks":
        assert [each.id for each in proposals] == ["blocks-plain"]
    assert proposals
    for proposal in proposals:
        assert not proposal.reason
        made = work.technique(name).apply(found, proposal.params)
        assert made.model(*found.examples).shape == (8, 10)
        share = parameters(made.model) / parameters(found.build())
        assert share == 1 if name == "zeros" else share < 1


def test_more_channels_removed_is_a_smaller_model(scene: Scene) -> None:
    sizes = [
        parameters(channels.apply(scene.subject(), {"share": share}).model)
        for share in channels.SHARES
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < parameters(scene.subject().build()) / 10


def test_the_least_important_channels_go() -> None:
    model = dense()
    with torch.no_grad():
        model[0].weight[1::2] *= 1e-3
        model[0].bias.zero_()
        model[2].weight[:, 1::2] *= 1e-3
    found = subject(model, 6)
    kept = model[0].weight.detach()[::2].clone()
    made = channels.apply(found, {"share": 0.5})
    assert torch.equal(made.model[0].weight, kept)


def test_width_begins_anew_and_is_seeded(scene: Scene) -> None:
    found = scene.subject()
    weights = [channels.apply_width(found, {"share": 0.5}).model[-1].weight for _ in range(2)]
    pruned = channels.apply(found, {"share": 0.5}).model[-1].weight
    assert torch.equal(weights[0], weights[1])
    assert weights[0].shape == pruned.shape
    assert not torch.allclose(weights[0], pruned)


class Fixed(nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """A model whose forward has a size written as a number, and layers before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.begin, self.first = nn.Linear(6, width), nn.Linear(width, 64)
        self.last = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(self.begin(x))).reshape(len(x), 64))


def test_layers_that_need_their_width_keep_it() -> None:
    made = channels.apply(subject(Fixed(32), 6), {"share": 0.5})
    assert (made.model.begin.out_features, made.model.first.out_features) == (16, 64)
    assert "left as wide as they are: first" in made.notes


def test_sizes_written_as_numbers_are_told() -> None:
    found = subject(Fixed(1), 6)
    assert not any(each.reason for each in channels.propose(found))
    with pytest.raises(RefusalError, match="with fewer channels; sizes in its forward"):
        channels.apply(found, {"share": 0.5})


NOTHING = {
    "channels of the outputs alone": (channels, nn.Linear(6, 3), (6,), "reach the outputs"),
    "no convolution to separate": (separable, dense(), (6,), "no convolution wider"),
    "no weights to zero": (zeros, nn.Flatten(), (3,), "no convolution and no linear"),
    "no block to leave out": (
        depth,
        nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)),
        (6,),
        "no block can be left out",
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_not_eligible_says_why(name: str) -> None:
    module, model, shape, words = NOTHING[name]
    proposals = module.propose(subject(model, *shape))
    assert proposals
    assert all(words in each.reason for each in proposals)


CONVOLUTIONS = {
    "plain": nn.Conv2d(8, 12, 3, padding=1),
    "stride and no bias": nn.Conv2d(8, 6, 3, stride=2, bias=False),
    "dilated": nn.Conv2d(9, 4, (3, 5), dilation=2, padding="same", padding_mode="reflect"),
    "one axis": nn.Conv1d(16, 8, 7, padding=3),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_separable_kernel_is_found_exactly(name: str) -> None:
    whole = CONVOLUTIONS[name]
    torch.manual_seed(4)
    outputs, inputs, *kernel = whole.weight.shape
    mixing, own = torch.randn(outputs, inputs), torch.randn(inputs, *kernel)
    with torch.no_grad():
        whole.weight.copy_(torch.einsum("oi,i...->oi...", mixing, own))
    x = torch.randn(2, inputs, *[24 for _ in kernel])
    with torch.no_grad():
        assert torch.allclose(separable.separated(whole)(x), whole(x), atol=1e-4)


def test_the_nearest_is_nearer_than_others() -> None:
    torch.manual_seed(2)
    weight = torch.randn(6, 8, 3, 3)
    own, mixing = separable.nearest(weight)

    def gap(first: Tensor, second: Tensor) -> float:
        product = second.reshape(6, 8, 1, 1) * first.reshape(1, 8, 3, 3)
        return float((weight - product).norm())

    best = gap(own, mixing)
    assert best < float(weight.norm())
    for _ in range(20):
        near = (own + 0.01 * torch.randn_like(own), mixing + 0.01 * torch.randn_like(mixing))
        assert gap(*near) > best


def test_depthwise_and_narrow_convolutions_stay() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3)
    )
    assert separable.replaceable(model) == ["3"]


def test_every_second_block_goes_from_the_end() -> None:
    def block() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.ReLU())

    model = nn.Sequential(*(block() for _ in range(12)), nn.LayerNorm(6), nn.Linear(6, 3))
    found = subject(model, 6)
    assert depth.removable(model, found.examples) == [str(number) for number in range(12)]
    made = depth.apply(found, {})
    gone = [name for name, module in made.model.named_children() if isinstance(module, nn.Identity)]
    assert gone == ["1", "3", "5", "7", "9", "11"]


@pytest.mark.parametrize("pattern", [zeros.MAGNITUDE, zeros.TWO_OF_FOUR])
def test_zeros_stay_zero_while_the_rest_is_trained(pattern: str, scene: Scene) -> None:
    found = scene.subject(replace(OPTIONS, epochs=1, l1=1e-4))
    made = zeros.apply(found, {"pattern": pattern, "share": 0.5})
    masks = [weight == 0 for weight in zeros.weighted(made.model)]
    before = [weight.detach().clone() for weight in zeros.weighted(made.model)]
    loop.fit(made.model, found, None, made.after_step)
    after = zeros.weighted(made.model)
    assert all(bool((w[m] == 0).all()) for w, m in zip(after, masks, strict=True))
    assert sum(int(m.sum()) for m in masks) >= 0.45 * sum(m.numel() for m in masks)
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_two_of_four_along_the_input_channels() -> None:
    weight = torch.randn(5, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    kept = zeros.two_of_four(weight)
    groups = kept.movedim(1, -1).reshape(-1, 4)
    assert (groups.sum(1) == 2).all()
    magnitudes = weight.abs().movedim(1, -1).reshape(-1, 4)
    least_kept = magnitudes.masked_fill(~groups, torch.inf).amin(1)
    assert (least_kept >= magnitudes.masked_fill(groups, -torch.inf).amax(1)).all()
    assert zeros.two_of_four(weight[:, :6]).all()


def test_a_share_by_magnitude_also_of_equal_weights() -> None:
    kept = zeros.by_magnitude(torch.ones(10, 10), 0.3)
    assert int((~kept).sum()) == 30


BLOCKS = {
    "a path that is not there": ({"a": {"7.x": nn.Identity}}, "does not have"),
    "no module": ({"a": {"1": lambda _: None}}, "gives a NoneType in the place of '1'"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_that_do_not_fit_are_told(name: str) -> None:
    replaced, words = BLOCKS[name]
    found = subject(dense(), 6, replaced=replaced)
    with pytest.raises(RefusalError, match=words):
        blocks.apply(found, {"name": "a"})


@pytest.mark.parametrize("name", ["../up", "", "x" * 41, 3])
def test_names_that_are_no_names(name: object) -> None:
    with pytest.raises(RefusalError, match="names a candidate"):
        blocks.propose(subject(dense(), 6, replaced={name: {}}))


def test_a_student_is_drawn_by_the_seed(scene: Scene) -> None:
    first, again, other = (
        students.apply(scene.subject(replace(OPTIONS, seed=seed)), {"name": "tiny"}).model
        for seed in (1, 1, 2)
    )
    assert torch.equal(first[-1].weight, again[-1].weight)
    assert not torch.equal(first[-1].weight, other[-1].weight)


class Sequences(nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """Two inputs and two outputs, sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.mix = nn.Embedding(20, 16), nn.Linear(16, 16)
        self.last = nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        seen = torch.relu(self.mix(self.words(ids))) * mask.unsqueeze(-1)
        pooled = seen.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return self.last(pooled), pooled


class Texts:
    """A trainer with two inputs and two outputs, taught by the mean square."""

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return Sequences()

    def train_data(self) -> TensorDataset:
        drawn = torch.Generator().manual_seed(1)
        ids = torch.randint(0, 20, (64, 7), generator=drawn)
        return TensorDataset(ids, torch.ones(64, 7), ids[:, 0] % 3)

    def loss(self, outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs[0], target)


def test_several_inputs_outputs_and_lengths(tmp_path: Path) -> None:
    found = Subject(Texts(), replace(OPTIONS, epochs=3))
    with pytest.raises(RefusalError, match="answers in another shape"):  # pooled is an output
        channels.apply(found, {"share": 0.25})
    made = found.build()
    history = loop.fit(made, found, found.build())
    assert history.metric >= history.before
    asked = replace(
        CONTRACT,
        inputs=(
            contract.Tensor("ids", "int64", (None, None)),
            contract.Tensor("mask", "float32", (None, None)),
        ),
        outputs=(
            contract.Tensor("scores", "float32", (None, 3)),
            contract.Tensor("pooled", "float32", (None, 16)),
        ),
    )
    export.export(made, found, asked, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [each.name for each in session.get_inputs()] == ["ids", "mask"]
    assert [each.name for each in session.get_outputs()] == ["scores", "pooled"]
    ids, mask = np.full((5, 3), 4), np.ones((5, 3), np.float32)
    scores, _ = session.run(None, {"ids": ids, "mask": mask})
    with torch.no_grad():
        expected = made(torch.tensor(ids), torch.tensor(mask))[0].numpy()
    assert np.allclose(scores, expected, atol=1e-4)


def test_regression_is_taught_by_the_mean_square() -> None:
    torch.manual_seed(3)
    inputs = torch.randn(128, 6)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    given = Given(model, inputs, torch.stack([inputs[:, 0], inputs[:, 1]], 1))
    found = Subject(given, replace(OPTIONS, epochs=4))
    assert not found.classes
    history = loop.fit(found.build(), found, nn.Linear(6, 2))
    assert history.metric > history.before
    assert history.metric < 0  # minus the loss


def test_an_export_that_answers_otherwise_is_refused(scene: Scene, tmp_path: Path) -> None:
    found = scene.subject()
    model = found.build()
    samples = export.feeds(found, CONTRACT)
    assert sum(len(each["pixels"]) for each in samples) > export.SAMPLES
    expected = export.torch_answers(model, samples, CONTRACT)
    assert export.differs(scene.model, CONTRACT, samples, expected) is None
    with torch.no_grad():
        model[-1].bias += 1
    other = export.torch_answers(model, samples, CONTRACT)
    assert "differs by" in str(export.differs(scene.model, CONTRACT, samples, other))
    assert not (tmp_path / "model.onnx").exists()
