"""What a file of torch holds, told by the names in it: nothing is unpickled or run here."""

import zipfile
from enum import StrEnum
from pathlib import Path, PurePosixPath

from tightship.optimize.failures import Reason, RefusalError

_PICKLE = b"\x80"  # the first byte of every pickle since protocol 2
_HOW = (
    "Export it: torch.export.save(torch.export.export(model.eval(), (example,), "
    "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), 'model.pt2'), or torch.onnx.export."
)


class Kind(StrEnum):
    """How a model was saved."""

    SCRIPT = "torchscript"  # torch.jit.save
    PROGRAM = "program"  # torch.export.save


def kind(file: Path) -> Kind:
    """What the file is.

    Raises:
        RefusalError: no model of torch, damaged, or one whose code is not in the file.
    """
    with file.open("rb") as stream:
        head = stream.read(1)
    if head == _PICKLE:
        raise _weights(file.name)
    if not head or not zipfile.is_zipfile(file):
        what = "is empty" if not head else "is no whole archive of torch"
        raise RefusalError(
            Reason.INVALID_MODEL,
            f"'{file.name}' {what}. With modelFormat torch the source is a file of torch.jit.save "
            "or torch.export.save. Save or upload it again; for an ONNX file use onnx.",
        )
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise RefusalError(
            Reason.INVALID_MODEL, f"'{file.name}' is damaged ({error}). Save or upload it again."
        ) from error
    return _told(file.name, [PurePosixPath(name).parts for name in names])


def _told(file: str, names: list[tuple[str, ...]]) -> Kind:
    """By the names below the archive's own folder; programs before torch 2.8 have none."""
    inner = {name[1:] for name in names}
    programs = {name for name in inner if len(name) == 2 and name[0] == "models"}  # noqa: PLR2004
    if ("constants.pkl",) in inner and any(name[:1] == ("code",) for name in inner):
        return Kind.SCRIPT
    if programs == {("models", "model.json")} or ("serialized_exported_program.json",) in names:
        return Kind.PROGRAM
    if ("data.pkl",) in inner:
        raise _weights(file)
    if ("archive_format",) in inner:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"'{file}' holds {len(programs)} exported programs; one called model is taken. What "
            f"AOTInductor compiled is for one kind of machine and holds none. {_HOW}",
        )
    raise RefusalError(
        Reason.INVALID_MODEL,
        f"'{file}' is an archive that torch did not write. With modelFormat torch the source is a "
        "file of torch.jit.save or torch.export.save.",
    )


def _weights(file: str) -> RefusalError:
    return RefusalError(
        Reason.UNSUPPORTED_MODEL,
        f"'{file}' is what torch.save writes: weights (a state_dict) or a pickled module. The code "
        f"of the model is not in it, so it cannot be run. {_HOW}",
    )
