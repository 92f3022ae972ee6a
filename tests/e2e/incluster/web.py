"""An HTTPS server that answers badly; runs inside the cluster and prints what it was asked.

    python web.py FOLDER PORT

FOLDER holds tls.crt, tls.key and model.onnx. What it answers depends on the path's first part.
"""

import os
import ssl
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LARGE = 70 << 20
METADATA = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
_ZEROS = bytes(1 << 20)


class Answers(BaseHTTPRequestHandler):
    """One request."""

    def __init__(self, model: bytes, port: int, *connection: object) -> None:
        self._model = model
        api = os.environ["KUBERNETES_SERVICE_HOST"]
        self._targets = {
            "to-metadata": METADATA,
            "to-api-server": f"https://{api}/api/v1/secrets",
            "to-private": f"https://{os.environ['POD_IP']}:{port}/private/model.onnx",
        }
        super().__init__(*connection)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        """The head of an answer."""
        self._answer()

    def do_GET(self) -> None:
        """The answer."""
        if self._answer():
            self._body()

    def _answer(self) -> bool:
        kind = self.path.split("/")[1]
        if kind in self._targets:
            self.send_response(302)
            self.send_header("Location", self._targets[kind])
        elif kind == "forbidden":
            self.send_response(403)
        else:
            self.send_response(200)
        sizes = {"large": LARGE, "good": len(self._model), "private": len(self._model)}
        if kind in sizes:
            self.send_header("Content-Length", str(sizes[kind]))
        self.end_headers()
        return kind in {"large", "endless", "good", "private"}

    def _body(self) -> None:
        if self.path.startswith(("/large/", "/endless/")):
            for _ in range(LARGE // len(_ZEROS)):
                self.wfile.write(_ZEROS)
        else:
            self.wfile.write(self._model)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 (the base class' name)
        """One line for each request."""
        del format
        print(self.command, self.path, flush=True)  # noqa: T201 (the test reads it)


def main(folder: str, port: str) -> None:
    """Serves until it is killed."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(folder, "tls.crt"), Path(folder, "tls.key"))
    model = Path(folder, "model.onnx").read_bytes()
    server = ThreadingHTTPServer(("", int(port)), partial(Answers, model, int(port)))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
