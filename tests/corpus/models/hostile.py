"""Bad model sources: each case writes files into a folder and names the reason that must be given.

    python -m tests.corpus.models.hostile FOLDER

writes every case into FOLDER/NAME/ and prints a table of names and reasons.
"""

import io
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from tests.corpus.models import build

Write = Callable[[Path], None]

_CONFIG = b'name: "m"\nbackend: "onnxruntime"\nmax_batch_size: 8\n'


@dataclass(frozen=True)
class Case:
    """One source. With `links` no object store can hold it; `hint` is in the message."""

    name: str
    reason: str
    hint: str
    write: Write
    format: str = "onnx"
    links: bool = False


def _file(content: bytes | Callable[[], bytes], name: str = "model.onnx") -> Write:
    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content())

    return write


def _both(*writes: Write) -> Write:
    def write(folder: Path) -> None:
        for each in writes:
            each(folder)

    return write


def _sound() -> bytes:
    return bytes(build.perceptron().SerializeToString())


def _truncated() -> bytes:
    return _sound()[:-40]


def _flipped() -> bytes:
    content = bytearray(_sound())
    content[3] ^= 0x70
    return bytes(content)


def _raw_mismatch() -> bytes:
    made = build.perceptron()
    made.graph.initializer[0].raw_data = b"\0" * 12
    return bytes(made.SerializeToString())


def _claims_much() -> bytes:
    made = build.perceptron()
    tensor = made.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.extend([2**20, 2**20])
    return bytes(made.SerializeToString())


def _negative_dimension() -> bytes:
    made = build.perceptron()
    made.graph.initializer[0].dims[0] = -8
    return bytes(made.SerializeToString())


def _many_nodes() -> bytes:
    nodes = [helper.make_node("Relu", ["x"], [f"y{index}"]) for index in range(120_000)]
    return bytes(
        build.model(nodes, [build.floats("x", [1])], [build.floats("y0", [1])]).SerializeToString()
    )


def _custom_operator() -> bytes:
    node = helper.make_node("Secret", ["x"], ["y"], domain="my.ops")
    made = build.model(
        [node], [build.floats("x", [1])], [build.floats("y", [1])], domains=["my.ops"]
    )
    return bytes(made.SerializeToString())


def _one_node(operator: str, opset: int = 17) -> Callable[[], bytes]:
    def content() -> bytes:
        node = helper.make_node(operator, ["x"], ["y"])
        made = build.model(
            [node], [build.floats("x", ["n"])], [build.floats("y", ["n"])], opset=opset
        )
        return bytes(made.SerializeToString())

    return content


def _wrong_types() -> bytes:
    node = helper.make_node("Add", ["x", "k"], ["y"])
    inputs = [build.floats("x", [1]), helper.make_tensor_value_info("k", TensorProto.INT64, [1])]
    return bytes(build.model([node], inputs, [build.floats("y", [1])]).SerializeToString())


def _recursive_function() -> bytes:
    body = [helper.make_node("Again", ["v"], ["u"], domain="own")]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    node = helper.make_node("Again", ["x"], ["y"], domain="own")
    ends = [build.floats("x", [1])], [build.floats("y", [1])]
    made = build.model([node], *ends, domains=["own"])
    made.functions.append(helper.make_function("own", "Again", ["v"], ["u"], body, imports))
    return bytes(made.SerializeToString())


def _dangling() -> bytes:
    node = helper.make_node("Relu", ["nowhere"], ["y"])
    made = build.model([node], [build.floats("x", [1])], [build.floats("y", [1])])
    return bytes(made.SerializeToString())


def _map_output() -> bytes:
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    kind = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(1, []))
    output = helper.make_value_info("y", helper.make_sequence_type_proto(kind))
    made = build.model([node], [build.floats("x", ["n", 2])], [output], domains=["ai.onnx.ml"])
    return bytes(made.SerializeToString())


def _bfloat16() -> bytes:
    kind = TensorProto.BFLOAT16
    node = helper.make_node("Identity", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, kind, ["n"]) for name in ("x", "y")]
    return bytes(build.model([node], ends[:1], ends[1:]).SerializeToString())


def _no_inputs() -> bytes:
    node = helper.make_node("Identity", ["w"], ["y"])
    made = build.model([node], [], [build.floats("y", [2])], [build.weight("w", [2])])
    return bytes(made.SerializeToString())


def _external(location: str, **entries: str) -> Callable[[], bytes]:
    return lambda: bytes(build.external(location, entries).SerializeToString())


def _zip(*members: tuple[str, bytes], ratio: bool = False) -> bytes:
    stream = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if ratio else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def _tar_with_link() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        link = tarfile.TarInfo("model.onnx")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    return stream.getvalue()


def _symlink(target: str, name: str) -> Write:
    return lambda folder: (folder / name).symlink_to(target)


def _hard_link(folder: Path) -> None:
    _file(_external("weights.bin"))(folder)
    (folder / "elsewhere.bin").write_bytes(b"\0" * 512)
    (folder / "weights.bin").hardlink_to(folder / "elsewhere.bin")


def _pickled() -> bytes:
    return pickle.dumps({"weights": np.ones(4)}, protocol=4)


CASES = (
    Case("empty", "InvalidModel", "is empty", _file(b"")),
    Case("nothing", "InvalidModel", "Nothing was found", _both()),
    Case("text", "InvalidModel", "no whole ONNX model", _file(b"this is a model, honestly\n" * 9)),
    Case("zeros", "InvalidModel", "no whole ONNX model", _file(b"\0" * 4096)),
    Case(
        "noise", "InvalidModel", "no whole ONNX model", _file(np.random.default_rng(1).bytes(4096))
    ),
    Case("web-page", "InvalidModel", "web page", _file(b"<!DOCTYPE html><title>Log in</title>")),
    Case(
        "lfs-pointer",
        "InvalidModel",
        "Git LFS",
        _file(b"version https://git-lfs.github.com/spec/v1\n"),
    ),
    Case("hdf5", "InvalidModel", "HDF5", _file(b"\x89HDF\r\n\x1a\n" + b"\0" * 64)),
    Case("gguf", "InvalidModel", "GGUF", _file(b"GGUF\3\0\0\0" + b"\0" * 64)),
    Case("tflite", "InvalidModel", "TensorFlow Lite", _file(b"\x1c\0\0\0TFL3" + b"\0" * 64)),
    Case(
        "safetensors", "InvalidModel", "no graph", _file(b'\x10\0\0\0\0\0\0\0{"__metadata__":{}}')
    ),
    Case("recursive-function", "InvalidModel", "Cycle detected", _file(_recursive_function)),
    Case("program", "UnsafeModel", "a program", _file(b"\x7fELF\x02\x01\x01" + b"\0" * 64)),
    Case("pickle", "UnsafeModel", "Python pickle", _file(_pickled)),
    Case("old-pickle", "UnsafeModel", "Python pickle", _file(b"cos\nsystem\n(S'id'\ntR.")),
    Case("joblib", "UnsafeModel", "Python pickle", _file(_pickled, "model.joblib")),
    Case(
        "torch-archive",
        "UnsafeModel",
        "Python pickle",
        _file(_zip(("net/data.pkl", b"\x80\x02."), ("net/version", b"3\n")), "model.pt"),
    ),
    Case("truncated", "InvalidModel", "truncated", _file(_truncated)),
    Case("bit-flip", "InvalidModel", "no whole ONNX model", _file(_flipped)),
    Case("no-graph", "InvalidModel", "no graph", _file(b"\x08\x08")),
    Case("short-weights", "InvalidModel", "claims 512 bytes and brings 12", _file(_raw_mismatch)),
    Case("negative-dimension", "InvalidModel", "negative dimension", _file(_negative_dimension)),
    Case("huge-claim", "ModelTooLarge", "claims more than", _file(_claims_much)),
    Case("many-nodes", "ModelTooLarge", "more than 100000 nodes", _file(_many_nodes)),
    Case(
        "deep-nesting",
        "ModelTooLarge",
        "nested deeper",
        _file(lambda: bytes(build.nested(12).SerializeToString())),
    ),
    Case("external-parent", "UnsafeModel", "outside the model", _file(_external("../../secret"))),
    Case(
        "external-absolute", "UnsafeModel", "outside the model", _file(_external("/etc/hostname"))
    ),
    Case("external-nowhere", "UnsafeModel", "outside the model", _file(_external(""))),
    Case("external-missing", "InvalidModel", "is missing", _file(_external("weights.bin"))),
    Case("external-long-name", "InvalidModel", "is missing", _file(_external("w" * 300))),
    Case(
        "external-short",
        "InvalidModel",
        "too short",
        _both(_file(_external("weights.bin")), _file(b"\0" * 100, "weights.bin")),
    ),
    Case(
        "external-offset",
        "InvalidModel",
        "too short",
        _both(
            _file(_external("weights.bin", offset=str(2**62))), _file(b"\0" * 512, "weights.bin")
        ),
    ),
    Case(
        "external-length",
        "InvalidModel",
        "length of a tensor",
        _both(_file(_external("weights.bin", length="-1")), _file(b"\0" * 512, "weights.bin")),
    ),
    Case(
        "external-symlink",
        "UnsafeFile",
        "symbolic link",
        _both(_file(_external("weights.bin")), _symlink("/etc/hostname", "weights.bin")),
        links=True,
    ),
    Case("external-hard-link", "UnsafeFile", "hard link", _hard_link, links=True),
    Case(
        "model-symlink",
        "UnsafeFile",
        "symbolic link",
        _symlink("/etc/hostname", "model.onnx"),
        links=True,
    ),
    Case("custom-operator", "UnsupportedModel", "my.ops:Secret", _file(_custom_operator)),
    Case("unknown-operator", "UnsupportedModel", "does not implement", _file(_one_node("Secret"))),
    Case("future-opset", "UnsupportedModel", "older opset", _file(_one_node("Relu", opset=999))),
    Case("wrong-types", "InvalidModel", "cannot load", _file(_wrong_types)),
    Case("dangling-edge", "InvalidModel", "cannot load", _file(_dangling)),
    Case("map-output", "UnsupportedModel", "zipmap=False", _file(_map_output)),
    Case("bfloat16-input", "UnsupportedModel", "bfloat16", _file(_bfloat16)),
    Case("no-inputs", "UnsupportedModel", "no inputs", _file(_no_inputs)),
    Case(
        "endless-loop",
        "TimedOut",
        "longer than",
        _file(lambda: bytes(build.endless().SerializeToString())),
    ),
    Case(
        "two-models",
        "UnsupportedModel",
        "2 .onnx files",
        _both(_file(_sound, "a.onnx"), _file(_sound, "b.onnx")),
    ),
    Case(
        "archive-bomb",
        "ArchiveTooLarge",
        "",
        _file(_zip(("model.onnx", b"\0" * (64 << 20)), ratio=True), "model.zip"),
    ),
    Case(
        "archive-parent",
        "ArchiveUnsafe",
        "",
        _file(_zip(("../model.onnx", b"x")), "model.zip"),
    ),
    Case("archive-link", "ArchiveUnsafe", "", _file(_tar_with_link, "model.tar.gz")),
    Case(
        "archive-truncated",
        "ArchiveBroken",
        "",
        _file(_zip(("model.onnx", b"x" * 500))[:300], "model.zip"),
    ),
    Case(
        "archive-in-archive",
        "UnsafeModel",
        "archive inside",
        _file(_zip(("model.onnx", _zip(("a", b"b")))), "model.zip"),
    ),
    Case(
        "triton-without-model",
        "InvalidModel",
        "VERSION/model.onnx",
        _file(_CONFIG, "config.pbtxt"),
        format="triton",
    ),
    Case(
        "triton-broken-config",
        "InvalidConfig",
        "cannot be read",
        _both(_file(b"backend: {", "config.pbtxt"), _file(_sound, "1/model.onnx")),
        format="triton",
    ),
    Case(
        "triton-python-backend",
        "InvalidConfig",
        "'python'",
        _both(_file(b'backend: "python"', "config.pbtxt"), _file(_sound, "1/model.onnx")),
        format="triton",
    ),
    Case(
        "triton-batch-of-unbatched",
        "InvalidConfig",
        "no batch axis",
        _both(
            _file(_CONFIG, "config.pbtxt"),
            _file(lambda: bytes(build.perceptron(1).SerializeToString()), "1/model.onnx"),
        ),
        format="triton",
    ),
)


def main(folder: Path) -> None:
    for case in CASES:
        target = folder / case.name
        target.mkdir(parents=True)
        case.write(target)
        sys.stdout.write(f"{case.name:26} {case.format:7} {case.reason}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
