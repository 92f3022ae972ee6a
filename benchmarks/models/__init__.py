"""The eight models of the optimizer's benchmark: what they are, and how their answers are judged.

Each module makes one of them from pinned packages, with calibration data and held-out evaluation
data, seeded: the same on every run. Where a model comes without a data set, the data are drawn or
synthesised, so that there are true labels; where that cannot be, the module says what the labels
are instead. The modules need the packages of benchmarks/requirements.txt, this one needs none.
"""

from dataclasses import dataclass

from tightship.api.v1alpha1 import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of the benchmark. `module` has a function `make` that returns an Example."""

    module: str
    metric: Metric
    title: str


MODELS = {
    "mnist": Model(
        module="benchmarks.models.mnist",
        metric=Metric.ACCURACY,
        title="residual CNN, handwritten digits",
    ),
    "efficientnet": Model(
        module="benchmarks.models.efficientnet",
        metric=Metric.ACCURACY,
        title="EfficientNet-Lite0, ImageNet",
    ),
    "nsfw": Model(
        module="benchmarks.models.nsfw",
        metric=Metric.MAE,
        title="open_nsfw, thin ResNet-50, channels last, opset 9",
    ),
    "ocr-angle": Model(
        module="benchmarks.models.ocr_angle",
        metric=Metric.ACCURACY,
        title="PP-OCR angle classifier, MobileNetV3, opset 11",
    ),
    "ocr-text": Model(
        module="benchmarks.models.ocr_text",
        metric=Metric.CER,
        title="PP-OCRv4 text recogniser",
    ),
    "crepe": Model(
        module="benchmarks.models.crepe",
        metric=Metric.COSINE,
        title="CREPE tiny, pitch of a tone",
    ),
    "magika": Model(
        module="examples.models.magika",
        metric=Metric.ACCURACY,
        title="Magika, type of a file",
    ),
    "minilm": Model(
        module="benchmarks.models.minilm",
        metric=Metric.MRR,
        title="MiniLM-L6, embedding of a sentence",
    ),
}
