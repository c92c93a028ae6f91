# SPDX-License-Identifier: Apache-2.0
"""A web server of the host, on loopback: QEMU's user network shows it to the guest as guest.HOST_ADDRESS."""

import http.server
import io
import re
import ssl
import threading
from pathlib import Path

from .guest import HOST_ADDRESS
from .host import run
from .trees import write


class WebServer:
    """Serves one folder, the rest of a file as well when it is still the same; remembers what was asked for. A context
    manager: when it ends, nobody answers any more."""

    def __init__(self, folder: Path, tls: tuple[Path, Path] | None = None):
        asked = self.asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args, **more):
                super().__init__(*args, directory=str(folder), **more)

            def send_head(self):
                wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                path = Path(self.translate_path(self.path))
                if not wanted or not path.is_file():
                    return super().send_head()
                content, at = path.read_bytes(), int(wanted[1])
                unchanged = self.headers.get("If-Range") in (None, self.date_time_string(path.stat().st_mtime))
                if not unchanged or at >= len(content):
                    return super().send_head()
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {at}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - at))
                self.end_headers()
                return io.BytesIO(content[at:])

            def log_request(self, code="-", size="-"):
                asked.append((self.path, int(code)))

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if tls else ''}://{HOST_ADDRESS}:{self._server.server_port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

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
