"""Finds the one model in what was fetched; refuses hostile files before a library reads them."""

import mmap
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tightship.api.v1alpha1 import ModelFormat
from tightship.optimize import wire
from tightship.optimize.budget import Budget
from tightship.optimize.failures import Reason, RefusalError
from tightship.storage import check_folder, model_of

_MAGICS: tuple[tuple[bytes, Reason, str], ...] = (
    (b"\x80\x02", Reason.UNSAFE_MODEL, "a Python pickle"),
    (b"\x80\x03", Reason.UNSAFE_MODEL, "a Python pickle"),
    (b"\x80\x04", Reason.UNSAFE_MODEL, "a Python pickle"),
    (b"\x80\x05", Reason.UNSAFE_MODEL, "a Python pickle"),
    (b"\x89HDF", Reason.INVALID_MODEL, "an HDF5 file (Keras)"),
    (b"<!DOCTYPE", Reason.INVALID_MODEL, "a web page"),
    (b"<html", Reason.INVALID_MODEL, "a web page"),
    (b"<?xml", Reason.INVALID_MODEL, "an XML document"),
    (b"version https://git-lfs", Reason.INVALID_MODEL, "a Git LFS pointer instead of the file"),
    (b"MZ", Reason.UNSAFE_MODEL, "a Windows program"),
    (b"\x7fELF", Reason.UNSAFE_MODEL, "a program"),
    (b"PK\x03\x04", Reason.UNSAFE_MODEL, "an archive inside the source (as PyTorch's .pt files)"),
    (b"\x1f\x8b", Reason.UNSAFE_MODEL, "an archive inside the source"),
    (b"BZh", Reason.INVALID_MODEL, "a bzip2 file; archives are taken as zip, tar and tar.gz"),
    (
        b"\xfd7zXZ\x00",
        Reason.INVALID_MODEL,
        "an xz file; archives are taken as zip, tar and tar.gz",
    ),
)
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GGUF", "a GGUF file (llama.cpp)"),
    (4, b"TFL3", "a TensorFlow Lite file"),
    (5, b'\0\0\0{"', "a safetensors file, which holds weights and no graph"),
)
"""Other formats: where their mark stands in the file, and the mark."""
_PICKLE_OPENERS = (b"c__builtin__", b"cposix", b"cos\n", b"(dp", b"(lp", b"csklearn", b"cnumpy")
_PICKLE_SUFFIXES = {".pkl", ".pickle", ".joblib"}
_ONNX_REMEDY = (
    "Give an ONNX file (torch.onnx.export, skl2onnx, tf2onnx), or say what it is by modelFormat: "
    "torch, sklearn."
)


@dataclass(frozen=True, slots=True)
class Located:
    """The model's file, and the user's config.pbtxt where the format brings one."""

    model: Path
    config: Path | None = None


def locate(folder: Path, model_format: ModelFormat) -> Located:
    """The model in a folder of plain files.

    Raises:
        RefusalError: none, more than one, or not the layout that the format asks for.
        StorageError: a link, a device, or a name that leads elsewhere.
    """
    files = [folder / name for name in check_folder(folder)]
    if not files:
        raise RefusalError(
            Reason.INVALID_MODEL,
            "Nothing was found at storageUri. Name a file, or a folder that is not empty.",
        )
    if model_format is ModelFormat.TRITON:
        return _triton_layout(folder, files)
    models = [file for file in files if file.suffix == ".onnx"] or (
        files if len(files) == 1 else []
    )
    if len(models) == 1:
        return Located(models[0])
    usual = model_of({str(file.relative_to(folder)) for file in files})
    if usual is not None:
        return Located(folder / usual)
    if not models:
        _refuse_pickles(folder, files)
    names = ", ".join(str(file.relative_to(folder)) for file in (models or files)[:4])
    problem = f"{len(models)} .onnx files" if models else "no .onnx file"
    raise RefusalError(
        Reason.UNSUPPORTED_MODEL,
        f"The source holds {problem} ({names}), and is not config.json with onnx/model.onnx or "
        "model.onnx. Name one model; one that is spread over several ONNX files is not supported.",
    )


def _refuse_pickles(folder: Path, files: list[Path]) -> None:
    for file in files:
        if file.suffix in _PICKLE_SUFFIXES:
            raise RefusalError(
                Reason.UNSAFE_MODEL,
                f"'{file.relative_to(folder)}' is a Python pickle, as in PyTorch's and joblib's "
                "files. "
                f"Reading it would run the code in it. {_ONNX_REMEDY}",
            )


def _triton_layout(folder: Path, files: list[Path]) -> Located:
    configs = [file for file in files if file.name == "config.pbtxt"]
    if len(configs) > 1:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"The source holds {len(configs)} config.pbtxt files. Name one model's folder, "
            "not a whole repository.",
        )
    base = configs[0].parent if configs else folder
    versions = [
        file
        for file in files
        if file.name == "model.onnx" and file.parent.parent == base and file.parent.name.isdecimal()
    ]
    if not versions:
        raise RefusalError(
            Reason.INVALID_MODEL,
            "There is no VERSION/model.onnx beside config.pbtxt. With modelFormat triton the "
            "source is one model's folder in Triton's layout; for a lone .onnx file use onnx.",
        )
    newest = max(versions, key=lambda file: int(file.parent.name))
    return Located(newest, configs[0] if configs else None)


def check_model(model: Path, budget: Budget) -> wire.Outline:
    """Refuse a file that must not reach a library; returns its outline.

    Raises:
        RefusalError: empty, no ONNX, a pickle, too large, truncated, or with unsafe external data.
    """
    size = model.stat().st_size
    if size == 0:
        raise RefusalError(Reason.INVALID_MODEL, f"'{model.name}' is empty. Upload it again.")
    if size > budget.max_model_bytes:
        raise RefusalError(
            Reason.MODEL_TOO_LARGE,
            f"'{model.name}' has {size} bytes; one ONNX file holds at most "
            f"{budget.max_model_bytes}. "
            "Save it with external data.",
        )
    with model.open("rb") as stream:
        _refuse_magic(model.name, stream.read(64))
        found = _mapped(stream, model.name, budget)
    for reference in found.external:
        _check_external(model, reference)
    return found


def external(model: Path, budget: Budget) -> tuple[str, ...]:
    """The files of external data in or below the model's own folder, by their names there.

    None for what is no ONNX model; `check_model` tells what is wrong with one.
    """
    try:
        with model.open("rb") as stream:
            found = _mapped(stream, model.name, budget)
    except FileNotFoundError:
        raise
    except (RefusalError, OSError, ValueError):  # an empty file or a device cannot be mapped
        return ()
    root = model.parent.resolve()
    places = {reference.location for reference in found.external if not _escapes(reference)}
    inside = [name for name in sorted(places) if _present(root / name)]
    return tuple(name for name in inside if (root / name).parent.resolve().is_relative_to(root))


def _mapped(stream: BinaryIO, name: str, budget: Budget) -> wire.Outline:
    with (
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        return _outline(name, view, budget)


def _refuse_magic(name: str, head: bytes) -> None:
    kinds = [(reason, kind) for magic, reason, kind in _MAGICS if head.startswith(magic)]
    marked = (kind for place, mark, kind in _MARKS if head.startswith(mark, place))
    kinds += [(Reason.INVALID_MODEL, kind) for kind in marked]
    if head.startswith(_PICKLE_OPENERS):
        kinds.append((Reason.UNSAFE_MODEL, "a Python pickle"))
    if kinds:
        reason, kind = kinds[0]
        danger = " Reading it would run the code in it." if "pickle" in kind else ""
        raise RefusalError(reason, f"'{name}' is {kind}, not an ONNX model.{danger} {_ONNX_REMEDY}")


def _outline(name: str, view: memoryview, budget: Budget) -> wire.Outline:
    caps = wire.Caps(
        nodes=budget.max_nodes,
        tensors=budget.max_tensors,
        tensor_bytes=budget.max_tensor_bytes,
        depth=budget.max_depth,
    )
    failure: RefusalError
    try:
        return wire.outline(view, caps)
    except wire.CapError as error:
        failure = RefusalError(
            Reason.MODEL_TOO_LARGE, f"'{name}' is beyond the limits: {error}. Give a smaller model."
        )
    except wire.WireError as error:
        failure = RefusalError(
            Reason.INVALID_MODEL,
            f"'{name}' is no whole ONNX model: {error}. Export or upload it again.",
        )
    raise failure  # outside the handler: its traceback would hold views of the mapped file


def _check_external(model: Path, reference: wire.ExternalData) -> None:
    """External data must be a plain file in or below the model's own folder, long enough.

    The library's own checks were bypassed by `..`, absolute paths, symbolic and hard links before
    (CVE-2022-25882, CVE-2024-27318, CVE-2025-51480).
    """
    location = reference.location
    if _escapes(reference):
        raise RefusalError(
            Reason.UNSAFE_MODEL,
            f"A tensor's external data is at '{location[:80]}', outside the model's own folder. "
            "Save the model with its data file beside it.",
        )
    file = model.parent / location
    if not _present(file):
        raise RefusalError(
            Reason.INVALID_MODEL,
            f"The model's external data file '{location[:80]}' is missing. Put it beside the "
            "model, and name the folder instead of the file.",
        )
    folders = PurePosixPath(location).parents
    inside = [model.parent / location, *(model.parent / p for p in folders if p.name)]
    if any(part.is_symlink() for part in inside) or file.stat().st_nlink > 1:
        raise RefusalError(
            Reason.UNSAFE_MODEL, f"External data '{location[:80]}' is a link. Put the file there."
        )
    end = reference.offset + (reference.needed if reference.length is None else reference.length)
    if end > file.stat().st_size or (reference.length or reference.needed) < reference.needed:
        raise RefusalError(
            Reason.INVALID_MODEL,
            f"External data '{location[:80]}' is too short for the tensors that refer to it. "
            "Upload it again.",
        )


def _present(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name that is too long for any file
        return False


def _escapes(reference: wire.ExternalData) -> bool:
    location = reference.location
    parts = PurePosixPath(location)
    odd = not location or "\\" in location or "\0" in location
    return odd or parts.is_absolute() or ".." in parts.parts
