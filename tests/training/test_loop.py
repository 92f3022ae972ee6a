"""The loop: repeatable, stops early, keeps the best weights, ends in time; every option trains."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.training.conftest import OPTIONS, Scene
from torch import Tensor, nn

from tightship.api.training import OPTIMIZERS, PRECISIONS, SCHEDULES, TrainingOptions
from tightship.optimize.training import loop
from tightship.optimize.training.objective import Objective, divergence
from tightship.optimize.training.subject import Subject

INPUTS = torch.randn(96, 6, generator=torch.Generator().manual_seed(1))
TARGET = (INPUTS @ torch.arange(18.0).reshape(6, 3).cos()).argmax(1)


class Points:
    """A task of a moment: which of three directions a point lies in."""

    def __init__(self) -> None:
        self.metrics: list[float] = []

    def build(self) -> nn.Module:
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))

    def train_data(self) -> Any:  # noqa: ANN401
        return torch.utils.data.TensorDataset(INPUTS, TARGET)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, target)


class Scripted(Points):
    """The metric of each validation is given beforehand."""

    def __init__(self, metrics: list[float]) -> None:
        self.metrics = metrics[::-1]

    def metric(self, outputs: Tensor, target: Tensor) -> float:
        del outputs, target
        return self.metrics.pop()


QUICK = TrainingOptions(epochs=6, batch_size=16, learning_rate=1e-2, threads=1)


def trained(options: TrainingOptions, trainer: Points | None = None) -> tuple[Any, loop.History]:
    subject = Subject(trainer or Points(), options)
    model = subject.build()
    return model, loop.fit(model, subject)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


OPTIONS_THAT_TRAIN = {
    **{f"optimizer {name}": {"optimizer": name} for name in OPTIMIZERS},
    **{f"schedule {name}": {"schedule": name} for name in SCHEDULES},
    **{f"precision {name}": {"precision": name} for name in PRECISIONS},
    "one batch an epoch": {"batch_size": 200, "schedule": "step", "epochs": 12},
    "one batch in a cycle": {"batch_size": 200, "schedule": "one-cycle", "epochs": 12},
}


@pytest.mark.parametrize("name", OPTIONS_THAT_TRAIN)
def test_every_option_trains(name: str) -> None:
    options = replace(QUICK, **OPTIONS_THAT_TRAIN[name])  # type: ignore[arg-type] # named cases
    before = weights(Subject(Points(), options).build())
    model, history = trained(options)
    assert torch.isfinite(weights(model)).all()
    assert not torch.equal(weights(model), before)
    assert history.metric > history.before


def test_options_make_a_difference() -> None:
    found = {
        name: weights(trained(replace(QUICK, **given))[0])  # type: ignore[arg-type] # named cases
        for name, given in {**OPTIONS_THAT_TRAIN, "seed": {"seed": 7}}.items()
        if name not in ("optimizer adamw", "schedule cosine", "precision fp32")
    }
    found["usual"] = weights(trained(QUICK)[0])
    assert len({tuple(each.tolist()) for each in found.values()}) == len(found)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_seed_gives_the_same_weights(precision: str) -> None:
    options = replace(QUICK, precision=precision, l1=1e-4)
    assert torch.equal(weights(trained(options)[0]), weights(trained(options)[0]))


def test_real_data_are_repeatable(scene: Scene) -> None:
    found = []
    for _ in range(2):
        subject = scene.subject(replace(OPTIONS, epochs=1))
        model = subject.students()["tiny"]()
        torch.manual_seed(3)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.1)
        loop.fit(model, subject, subject.build())
        found.append(weights(model))
    assert torch.equal(found[0], found[1])


def test_training_stops_early_and_keeps_the_best_weights() -> None:
    metrics = [0.1, 0.5, 0.9, 0.8, 0.7, 0.6, 0.99]
    options = replace(QUICK, epochs=6, patience=3)
    model, history = trained(options, Scripted(metrics))
    assert (history.epochs, history.best_epoch, history.metric) == (5, 2, 0.9)

    best, _ = trained(replace(options, epochs=6, patience=1), Scripted([0.1, 0.5, 0.9, 0.8]))
    assert torch.equal(weights(model), weights(best))


def test_weights_that_training_makes_worse_stay_as_they_were() -> None:
    before = weights(Points().build())
    model, history = trained(replace(QUICK, patience=2), Scripted([0.9, 0.8, 0.7]))
    assert torch.equal(weights(model), before)
    assert (history.best_epoch, history.metric) == (0, 0.9)


SCORES = {
    "a better metric": ((0.9, -5.0), (0.8, -1.0), True),
    "a worse metric": ((0.7, -1.0), (0.8, -5.0), False),
    "equal, nearer to the original": ((0.8, -1.0), (0.8, -2.0), True),
    "equal in both": ((0.8, -1.0), (0.8, -1.0), False),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores(name: str) -> None:
    score, best, wins = SCORES[name]
    assert loop.better(score, best) is wins


def test_time_ends_a_training_with_the_best_weights() -> None:
    model, history = trained(replace(QUICK, seconds=1e-9))
    assert history.out_of_time
    assert history.epochs == 1
    assert torch.equal(weights(model), weights(Points().build()))
    assert "time limit" in history.told()


def test_l1_makes_weights_smaller() -> None:
    usual, _ = trained(replace(QUICK, l2=0.0))
    strict, _ = trained(replace(QUICK, l2=0.0, l1=0.01))
    assert weights(strict).abs().sum() < weights(usual).abs().sum()


def test_l2_makes_weights_smaller() -> None:
    usual, _ = trained(replace(QUICK, l2=0.0))
    strict, _ = trained(replace(QUICK, l2=1.0))
    assert weights(strict).norm() < weights(usual).norm()


def test_distance_is_zero_for_equal_answers_and_grows() -> None:
    scores = torch.tensor([[2.0, 0.0, -1.0]])
    assert divergence(scores, scores, 2.0).item() == pytest.approx(0, abs=1e-6)
    near, far = (
        divergence(scores + 0.1 * torch.eye(3)[:1], scores, 2.0),
        divergence(-scores, scores, 2.0),
    )
    assert 0 < near.item() < far.item()


def test_alpha_is_the_share_of_the_original() -> None:
    inputs, target = (INPUTS[:8],), TARGET[:8]
    losses = {}
    for alpha in (0.0, 0.25, 1.0):
        subject = Subject(Points(), replace(QUICK, alpha=alpha))
        torch.manual_seed(9)
        teacher = nn.Linear(6, 3)
        objective = Objective(subject, teacher)
        losses[alpha] = objective.loss(subject.build(), inputs, target).item()
    assert losses[0.25] == pytest.approx(0.75 * losses[0.0] + 0.25 * losses[1.0])


def test_dropout_stays_and_is_off_afterwards() -> None:
    model, _ = trained(QUICK)
    assert model[2].p == 0.1
    assert not model.training


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "epochs": ({"epochs": 0}, "epochs is 0; the least is 1"),
    "rate": ({"learning_rate": 0}, "learning_rate has to be greater"),
    "not a number": ({"learning_rate": float("nan")}, "learning_rate has to be greater"),
    "alpha": ({"alpha": 1.5}, "a share, from 0 to 1"),
    "technique": ({"techniques": ["magic"]}, "'magic' is none of channels"),
    "precision": ({"precision": "int8"}, "'int8' is none of fp32"),
    "unknown": ({"momentum": 1}, "no training option momentum"),
}


@pytest.mark.parametrize("name", BAD)
def test_options_out_of_range_are_refused(name: str) -> None:
    raw, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        TrainingOptions.from_json(raw)
