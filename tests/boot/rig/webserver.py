# SPDX-License-Identifier: Apache-2.0
"""A web server of the host, on loopback: QEMU's user network shows it to the guest as guest.HOST_ADDRESS."""

import contextlib
import http.server
import io
import re
import ssl
import threading
from pathlib import Path

from .guest import HOST_ADDRESS
from .host import run
from .trees import write


def _of_proxy(path: str) -> str:
    """Without what RFC 9112, 3.2.2 puts before it where a proxy is asked."""
    return re.sub(r"^http://[^/]*", "", path)


def _tag(path: Path) -> str:
    about = path.stat()
    return f'"{about.st_mtime_ns:x}-{about.st_size:x}"'


class WebServer:
    """Serves one folder, and of a file that is still the same its rest or nothing; remembers what was asked for. A context
    manager: when it ends, nobody answers any more."""

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None):
        asked = self.asked = []
        editions = self._editions = {}

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args, **more):
                super().__init__(*args, directory=str(folder), **more)

            edition: Path | None = None

            def do_GET(self):
                left = editions.get(_of_proxy(self.path), [])
                self.edition = left.pop(0) if len(left) > 1 else left[0] if left else None
                with contextlib.suppress(ConnectionError):      # who has seen the header may want no more
                    super().do_GET()

            def translate_path(self, path):
                return str(self.edition or super().translate_path(_of_proxy(path)))

            def end_headers(self):
                path = Path(self.translate_path(self.path))
                if path.is_file():
                    self.send_header("ETag", _tag(path))
                super().end_headers()

            def send_head(self):
                wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                path = Path(self.translate_path(self.path))
                if path.is_file() and self.headers.get("If-None-Match") == _tag(path):
                    self.send_response(304)
                    self.end_headers()
                    return None
                if not wanted or not path.is_file():
                    return super().send_head()
                content, at = path.read_bytes(), int(wanted[1])
                unchanged = self.headers.get("If-Range") in (None, _tag(path))
                if not unchanged or at >= len(content):
                    return super().send_head()
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {at}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - at))
                self.end_headers()
                return io.BytesIO(content[at:])

            def log_request(self, code="-", size="-"):
                asked.append((_of_proxy(self.path), int(code)))

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if tls else ''}://{HOST_ADDRESS}:{self._server.server_port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def proxy(self) -> str:
        """Who takes this for its proxy finds what a guest finds at `url`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def serve(self, path: str, *files: Path) -> None:
        """Who asks for the path first gets the first file, the next one the next, and all that follow the last."""
        self._editions[path] = list(files)

    def __enter__(self) -> "WebServer":
        return self

    def __exit__(self, *why) -> None:
        self._server.shutdown()
        self._server.server_close()


def private_authority(folder: Path) -> tuple[Path, tuple[Path, Path]]:
    """A CA certificate, and (certificate, key) of a server that the guest calls HOST_ADDRESS; valid from today on."""
    folder.mkdir()
    ca, ca_key, certificate, key, request = (folder / name for name in ("ca.pem", "ca.key", "server.pem", "server.key", "request"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("openssl", "req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-subj", "/CN=test authority", "-days", "3650")
    run("openssl", "req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=test server")
    write(folder / "extensions", f"subjectAltName=IP:{HOST_ADDRESS}\nbasicConstraints=CA:FALSE\n")
    run("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "3650",
        "-extfile", folder / "extensions", "-out", certificate)
    return ca, (certificate, key)
