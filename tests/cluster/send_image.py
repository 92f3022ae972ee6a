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

CTR = ["podman", "exec", "-i"]


def ctr(node: str, *arguments: str) -> list[str]:
    """The command line that talks to the containerd of the node."""
    return [*CTR, node, "ctr", "--namespace", "k8s.io", *arguments]


def named_index(layout: Path, image: str) -> bytes:
    """The layout's index with the name under which containerd shall know the image."""
    index = json.loads((layout / "index.json").read_text())
    (manifest,) = index["manifests"]
    manifest["annotations"] = {"io.containerd.image.name": image}
    return json.dumps(index).encode()


def send(layout: Path, image: str, node: str) -> None:
    """Import the image on the node; a layer that the node holds is left out of the stream."""
    content = subprocess.run(
        ctr(node, "content", "ls", "-q"), check=True, capture_output=True, text=True
    )
    there = {digest.removeprefix("sha256:") for digest in content.stdout.split()}
    missing = [blob for blob in (layout / "blobs" / "sha256").iterdir() if blob.name not in there]
    importing = subprocess.Popen(
        ctr(node, "images", "import", "-"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    with importing, tarfile.open(fileobj=importing.stdin, mode="w|") as stream:
        index = named_index(layout, image)
        entry = tarfile.TarInfo("index.json")
        entry.size = len(index)
        stream.addfile(entry, io.BytesIO(index))
        stream.add(layout / "oci-layout", "oci-layout")
        for blob in missing:
            stream.add(blob, f"blobs/sha256/{blob.name}")
    if importing.returncode:
        sys.exit(f"tightship: {node} did not take {image}")


if __name__ == "__main__":
    send(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
