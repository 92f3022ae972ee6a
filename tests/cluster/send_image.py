"""Sends an image to one node of the cluster, but only the layers that the node does not have.

Usage: send_image.py LAYOUT IMAGE NODE, where LAYOUT is a folder in the OCI image layout, as
`podman save --format oci-dir` writes it.
"""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

CTR = ["podman", "exec", "-i"]


def ctr(node: str, *arguments: str) -> list[str]:
    """The command line that talks to the containerd of the node."""
    return [*CTR, node, "ctr", "--namespace", "k8s.io", *arguments]


def blob(layout: Path, digest: str) -> Path:
    """The file of a blob by its digest."""
    return layout / "blobs" / digest.replace(":", "/")


def manifest_of(layout: Path, image: str) -> dict[str, Any]:
    """The index entry of the image, under the name by which containerd shall know it."""
    reference = image.rpartition("/")[2]
    for entry in json.loads((layout / "index.json").read_text())["manifests"]:
        if entry["annotations"]["org.opencontainers.image.ref.name"] == reference:
            return {**entry, "annotations": {"io.containerd.image.name": image}}
    sys.exit(f"tightship: {layout} holds no image {reference}")


def send(layout: Path, image: str, node: str) -> None:
    """Import the image on the node; a layer that the node holds is left out of the stream."""
    entry = manifest_of(layout, image)
    manifest = json.loads(blob(layout, entry["digest"]).read_text())
    parts = [entry, manifest["config"], *manifest["layers"]]
    there = subprocess.run(
        ctr(node, "content", "ls", "-q"), check=True, capture_output=True, text=True
    ).stdout.split()
    importing = subprocess.Popen(
        ctr(node, "images", "import", "-"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    with importing, tarfile.open(fileobj=importing.stdin, mode="w|") as stream:
        index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        header = tarfile.TarInfo("index.json")
        header.size = len(index)
        stream.addfile(header, io.BytesIO(index))
        stream.add(layout / "oci-layout", "oci-layout")
        for digest in {part["digest"] for part in parts} - set(there):
            stream.add(blob(layout, digest), f"blobs/{digest.replace(':', '/')}")
    if importing.returncode:
        sys.exit(f"tightship: {node} did not take {image}")


if __name__ == "__main__":
    send(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
