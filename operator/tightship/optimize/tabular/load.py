"""Reads a scikit-learn model from its file; runs in a confined child."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import joblib
import sklearn
import skops.io
from sklearn.exceptions import InconsistentVersionWarning
from skops.io.exceptions import UntrustedTypesFoundException

from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.tabular import trees

_REVIEWED = re.compile(
    r"numpy\.dtype"
    r"|sklearn\.tree\._tree\.Tree"
    r"|sklearn\.ensemble\._hist_gradient_boosting\.predictor\.TreePredictor"
    r"|sklearn\.neural_network\._stochastic_optimizers\.(Adam|SGD)Optimizer"
    r"|sklearn\.utils\._bunch\.Bunch"
    r"|sklearn\.calibration\._(CalibratedClassifier|SigmoidCalibration)"
    r"|sklearn\.gaussian_process\.kernels\.\w+"
    r"|sklearn\.metrics\._scorer\._PassthroughScorer"
    r"|sklearn\.model_selection\._split\.\w+"
)
"""Types beside skops' own list that hold numbers only. Of the two kinds of tree, skops leaves out
that their indices are not checked: `trees` does that."""
_WORDS = 300


class Kind(StrEnum):
    """How the model was written."""

    SKOPS = "skops"
    PICKLE = "pickle"  # joblib's files too


@dataclass(frozen=True, slots=True)
class Source:
    """A model's file. `trusted`: code and types that are not known may be run."""

    path: str
    kind: Kind
    trusted: bool

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Source":
        """Reads what `dataclasses.asdict` made."""
        return cls(raw["path"], Kind(raw["kind"]), raw["trusted"])


@dataclass(frozen=True, slots=True)
class Loaded:
    """The estimator and what is odd about it."""

    estimator: Any
    notes: tuple[str, ...]


def load(source: Source) -> Loaded:
    """The fitted estimator.

    Raises:
        RefusalError: types that are not known, another version of scikit-learn, not readable, or
            indices of a tree that lead out of it.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = _read(source)
    if not hasattr(estimator, "fit"):
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"The file holds a {type(estimator).__name__}, no scikit-learn estimator. Save the "
            "fitted estimator or pipeline itself.",
        )
    notes = _versions([c.message for c in caught])
    trees.check(estimator)
    return Loaded(estimator, notes)


def _read(source: Source) -> Any:  # noqa: ANN401 (whatever the file holds)
    path = Path(source.path)
    try:
        if source.kind is Kind.SKOPS:
            return skops.io.load(path, trusted=_allowed(path, trusted=source.trusted))
        return joblib.load(path)
    except RefusalError:
        raise
    except UntrustedTypesFoundException as error:
        raise _unknown(skops.io.get_untrusted_types(file=path)) from error
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:_WORDS]
        raise RefusalError(
            Reason.INVALID_MODEL,
            f"scikit-learn {sklearn.__version__} cannot read '{path.name}': {words}. A model may "
            "use classes of scikit-learn alone, and must have been saved by the same version; save "
            "it again with skops.io.dump.",
        ) from error


def _allowed(path: Path, *, trusted: bool) -> list[str]:
    found = skops.io.get_untrusted_types(file=path)
    unknown = [name for name in found if not _REVIEWED.fullmatch(name)]
    if unknown and not trusted:
        raise _unknown(unknown)
    return list(found)


def _unknown(names: list[str]) -> RefusalError:
    shown = ", ".join(names[:4])
    return RefusalError(
        Reason.UNSAFE_MODEL,
        f"The .skops file holds types that are not known to be harmless: {shown}. Use "
        "scikit-learn's own classes, or have spec.trustedCode of the ServingPool set to true "
        "(--trusted-code on the command line), which lets models of this pool run code.",
    )


def _versions(messages: list[Any]) -> tuple[str, ...]:
    """What differs between the versions of scikit-learn that wrote and that read the model.

    Raises:
        RefusalError: more than the last number of the version.
    """
    told = [m for m in messages if isinstance(m, InconsistentVersionWarning)]
    writers = sorted({str(message.original_sklearn_version) for message in told})
    for writer in writers:
        if _minor(writer) != _minor(sklearn.__version__):
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                f"The model was saved by scikit-learn {writer}, this converter has "
                f"{sklearn.__version__}, and models do not carry over between the two. Save it "
                f"with {sklearn.__version__}, or build the converter image with "
                f"--build-arg SCIKIT_LEARN={writer}.",
            )
    return tuple(
        f"the model was saved by scikit-learn {writer} and read by {sklearn.__version__}"
        for writer in writers
    )


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
