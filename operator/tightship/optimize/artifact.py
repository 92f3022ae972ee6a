"""Writes the artifact's folder as docs/reference/artifact.md describes it."""

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from tightship.api.artifact import MANIFEST, MANIFEST_SCHEMA, Summary
from tightship.drift.reference import REFERENCE
from tightship.optimize import report, serving
from tightship.optimize.conversion import Conversion
from tightship.optimize.engine import Executable
from tightship.report import document, page

SUMMARY = "summary"
REPORT = "report.json"
PAGE = "report.html"


def write(conversion: Conversion, folder: Path) -> Summary | None:
    """Fill the folder anew; returns the summary, or None when the model was not proven in Triton.

    The manifest carries the summary without the manifest's own digest, so that a later Job for
    the same KEY can answer from the store alone.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model" / "1").mkdir(parents=True)
    chosen = conversion.chosen
    model = (chosen.model if chosen else None) or Executable(conversion.original)
    for file in model.files:
        shutil.copyfile(file, folder / "model" / "1" / file.name)
    config = serving.for_model(conversion.config.text, model, conversion.request.threads)
    (folder / "model" / "config.pbtxt").write_text(config)
    told = report.report(conversion)
    _write_json(folder / REPORT, told)
    (folder / PAGE).write_text(page.page(document.read(told)), encoding="utf-8")
    if conversion.reference is not None:
        (folder / REFERENCE).write_text(conversion.reference.to_json())
    outcome = conversion.outcome
    if outcome is None:
        return None
    np.savez(folder / "golden.npz", **outcome.golden)
    (folder / "profile.json").write_text(outcome.profile.to_json())
    now = int(time.time())
    unsigned = report.summary(conversion, "", now).to_json()
    rtol, atol = outcome.tolerance
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "key": conversion.request.key,
        "variant": unsigned["variant"],
        "files": listing(folder),
        "golden": {"rtol": rtol, "atol": atol, "agreement": 1.0},
        SUMMARY: unsigned,
    }
    _write_json(folder / MANIFEST, manifest)
    return report.summary(conversion, digest((folder / MANIFEST).read_bytes()), now)


def stored_summary(manifest: bytes) -> Summary:
    """The summary of a published artifact.

    Raises:
        ValueError: the manifest has none.
    """
    try:
        stored = dict(json.loads(manifest)[SUMMARY])
    except (KeyError, TypeError) as error:
        raise ValueError("the manifest holds no summary") from error
    return Summary.from_json({**stored, "digest": digest(manifest)})


def digest(manifest: bytes) -> str:
    """The artifact's digest."""
    return hashlib.sha256(manifest).hexdigest()


def listing(folder: Path) -> dict[str, dict[str, Any]]:
    """sha256 and size of every file below the folder, the manifest apart."""
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name != MANIFEST:
            with file.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            found[name] = {"sha256": sha256, "bytes": file.stat().st_size}
    return found


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")
