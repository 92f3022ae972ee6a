"""The child's side of `sandbox`: reads a payload, runs one function, writes its result."""

import importlib
import json
import logging
import sys
import warnings
from pathlib import Path

from tightship.optimize import confine
from tightship.optimize.failures import RefusalError
from tightship.optimize.sandbox import CONFINED, RESULT

_PACKAGE = "tightship.optimize."


def main(task: str, *, confined: bool = False) -> int:
    """Run `module:function` of this package; refusals are results, other errors end the process.

    A confined one writes in its working directory only.
    """
    module, _, function = task.partition(":")
    if not module.startswith(_PACKAGE):
        raise ValueError(f"{task} is not a task of this package")
    warnings.simplefilter("ignore")  # the libraries' warnings are for their own callers
    logging.disable(logging.WARNING)
    payload = json.load(sys.stdin)
    if confined:
        confine.apply(Path.cwd())
    try:
        answer = {"result": getattr(importlib.import_module(module), function)(payload)}
    except RefusalError as refusal:
        answer = {"refusal": {"reason": refusal.reason.value, "message": refusal.message}}
    Path(RESULT).write_text(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], confined=CONFINED in sys.argv[2:]))
