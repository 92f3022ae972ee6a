"""The readers of `spec.optimization.trainer`: where the user's code lies, and how it trains."""

from tightship.api import training
from tightship.api.fields import Fields, SpecError, decimal, distinct, duration, integer, word
from tightship.api.training import TrainingOptions
from tightship.api.uris import entrypoint, secret_name, source_uri
from tightship.api.v1alpha1 import Trainer

_DEFAULTS = TrainingOptions()


def trainer(value: object, path: str) -> Trainer:
    """The user's trainer with every option filled in."""
    fields = Fields(value, path)
    found = Trainer(
        storage_uri=fields.required("storageUri", source_uri),
        entrypoint=fields.required("entrypoint", entrypoint),
        secret=fields.optional("secretRef", secret_name, None),
        options=fields.optional("options", _options, _DEFAULTS),
    )
    fields.end()
    return found


def _options(value: object, path: str) -> TrainingOptions:
    fields, usual = Fields(value, path), _DEFAULTS
    options = TrainingOptions(
        techniques=fields.optional("techniques", _techniques, usual.techniques),
        epochs=fields.optional("epochs", integer(1, 10_000), usual.epochs),
        batch_size=fields.optional("batchSize", integer(1, 65_536), usual.batch_size),
        optimizer=fields.optional("optimizer", word(*training.OPTIMIZERS), usual.optimizer),
        learning_rate=fields.optional(
            "learningRate", decimal("0.000001", "10"), usual.learning_rate
        ),
        schedule=fields.optional("schedule", word(*training.SCHEDULES), usual.schedule),
        l1=fields.optional("l1", decimal("0", "10"), usual.l1),
        l2=fields.optional("l2", decimal("0", "10"), usual.l2),
        precision=fields.optional("precision", word(*training.PRECISIONS), usual.precision),
        patience=fields.optional("patience", integer(1, 10_000), usual.patience),
        temperature=fields.optional("temperature", decimal("0.1", "100"), usual.temperature),
        alpha=fields.optional("alpha", decimal("0", "1"), usual.alpha),
        seed=fields.optional("seed", integer(0, 2**31 - 1), usual.seed),
        seconds=fields.optional("maxDuration", duration("10s", "24h"), usual.seconds),
    )
    fields.end()
    return options


def _techniques(value: object, path: str) -> tuple[str, ...]:
    """In the order in which they are tried, whatever the order of the list."""
    count = len(training.TECHNIQUES)
    found = distinct(word(*training.TECHNIQUES), count)(value, path)
    if not found:
        raise SpecError(f"{path}: must have at least one item; leave the trainer out instead")
    return tuple(name for name in training.TECHNIQUES if name in found)
