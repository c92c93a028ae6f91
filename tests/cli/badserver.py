# SPDX-License-Identifier: Apache-2.0
"""A web server on loopback that can do wrong: it speaks in bytes, so that nothing of HTTP's rules is kept by accident.

    with BadServer() as server:
        server.serve("/x", good(data), ...)      # what each request for /x gets; the last answer is repeated
        ... server.url("/x"), server.requests, server.sent
"""
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# a server that is told to stall does so for this long, or until the client has gone
PATIENCE_S = 120


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    raw: bytes
    sent: int = 0            # bytes of the answer that the kernel took
    at: float = field(default_factory=time.monotonic)


class Gone(Exception):
    """The client closed the connection."""


class Conversation:
    def __init__(self, server: "BadServer", connection: socket.socket, request: Request):
        self.server, self.connection, self.request = server, connection, request

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                n = self.connection.send(view[:65536])
            except OSError as why:
                raise Gone from why
            self.request.sent += n
            view = view[n:]

    def head(self, status: str = "200 OK", **headers: object) -> None:
        lines = [f"HTTP/1.1 {status}"] + [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "Connection: close", "", ""]).encode())

    def wait(self, seconds: float = PATIENCE_S) -> None:
        """Says nothing for so long."""
        self.connection.settimeout(seconds)
        try:
            self.connection.recv(1)
        except OSError:
            pass
        else:
            raise Gone


Answer = Callable[[Conversation], None]


class BadServer:
    """`tls`: a (certificate, key) pair of files. `host`: an address of this machine."""

    def __init__(self, tls: tuple[Path, Path] | None = None, host: str = "127.0.0.1"):
        self.host, self.requests, self._answers = host, [], {}
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
        self._socket = socket.socket()
        # inherited by the connections: what the kernel takes ahead of the reader stays small
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
        self._socket.bind((host, 0))
        self._socket.listen(64)
        self.port = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "BadServer":
        return self

    def __exit__(self, *why) -> None:
        self._socket.close()

    def serve(self, path: str, *answers: Answer) -> str:
        """Each request for the path gets the next answer; the last one is for all that follow. Returns the address."""
        self._answers[path] = list(answers)
        return self.url(path)

    def url(self, path: str, host: str | None = None) -> str:
        return f"http{'s' if self.context else ''}://{host or self.host}:{self.port}{path}"

    @property
    def sent(self) -> int:
        return sum(request.sent for request in self.requests)

    def of(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.target == path]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection:
                self._answer(connection)
        except (OSError, Gone):
            pass

    def _answer(self, connection: socket.socket) -> None:
        raw = b""
        while b"\r\n\r\n" not in raw:
            more = connection.recv(65536)
            if not more:
                return
            raw += more
            if raw.startswith(b"\x16"):  # TLS where none is spoken
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
        first, *lines = raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        request = Request(method, target, headers, raw)
        with self._lock:
            self.requests.append(request)
            queue = self._answers.get(target) or self._answers.get("*") or [status("404 Not Found")]
            answer = queue.pop(0) if len(queue) > 1 else queue[0]
        answer(Conversation(self, connection, request))


# --- answers ---------------------------------------------------------------------------------------

def status(text: str, body: bytes = b"no", **headers: object) -> Answer:
    def answer(to: Conversation) -> None:
        to.head(text, Content_Length=len(body), **headers)
        to.send(body)
    return answer


def good(data: bytes, etag: str | None = '"one"', **headers: object) -> Answer:
    """The whole file, or the part that is asked for."""
    more = {**({"ETag": etag} if etag else {}), **headers}

    def answer(to: Conversation) -> None:
        wanted = to.request.headers.get("range")
        valid = to.request.headers.get("if-range") in (None, etag, headers.get("Last_Modified"))
        if not wanted or not valid:
            to.head(Content_Length=len(data), **more)
            to.send(data)
            return
        at = int(wanted.removeprefix("bytes=").rstrip("-"))
        if at >= len(data):
            to.head("416 Range Not Satisfiable", Content_Length=0, Content_Range=f"bytes */{len(data)}")
            return
        to.head("206 Partial Content", Content_Length=len(data) - at,
                Content_Range=f"bytes {at}-{len(data) - 1}/{len(data)}", **more)
        to.send(data[at:])
    return answer


def whole(data: bytes, **headers: object) -> Answer:
    """The whole file, whatever part is asked for."""
    def answer(to: Conversation) -> None:
        to.head(Content_Length=len(data), **headers)
        to.send(data)
    return answer


def part(data: bytes, size: int, then: Answer = lambda to: None, etag: str | None = '"one"', **headers: object) -> Answer:
    """Promises all and sends the first `size` bytes; then what `then` does, and closes."""
    def answer(to: Conversation) -> None:
        to.head(Content_Length=len(data), **({"ETag": etag} if etag else {}), **headers)
        to.send(data[:size])
        then(to)
    return answer


def stall(to: Conversation) -> None:
    to.wait()


def saying(data: bytes, then: Answer = lambda to: None) -> Answer:
    """These bytes, whatever they mean."""
    def answer(to: Conversation) -> None:
        to.send(data)
        then(to)
    return answer


def trickle(data: bytes, before: int = 0) -> Answer:
    """One byte a second, after the first `before` bytes."""
    def answer(to: Conversation) -> None:
        to.head(Content_Length=len(data), ETag='"one"')
        to.send(data[:before])
        for byte in data[before:]:
            to.send(bytes([byte]))
            to.wait(1)
    return answer


def endless(data: bytes = b"") -> Answer:
    def answer(to: Conversation) -> None:
        to.head()
        to.send(data)
        while True:
            to.send(bytes(65536))
    return answer


def redirect(target: str, code: int = 302) -> Answer:
    return status(f"{code} Found", Location=target)


# --- certificates ----------------------------------------------------------------------------------

class Authority:
    """A private CA, by openssl(1)."""

    def __init__(self, folder: Path, name: str = "ca"):
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.certificate = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        self._new_key(self.key)
        _openssl("req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}", "-days", "36500", "-out", self.certificate,
                 "-addext", "basicConstraints=critical,CA:TRUE")

    @staticmethod
    def _new_key(path: Path) -> None:
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)

    def issue(self, name: str, names: str = "DNS:localhost,IP:127.0.0.1", begins: str = "20200101000000Z",
              ends: str = "20991231235959Z") -> tuple[Path, Path]:
        """(certificate, key) of a server with these alternative names, valid from and to (UTC)."""
        key, request, certificate = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        self._new_key(key)
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        work = self.folder / f"{name}.d"
        work.mkdir()
        (work / "index").touch()
        (work / "conf").write_text(f"[ca]\ndefault_ca=a\n[a]\ndatabase={work}/index\nrand_serial=yes\nnew_certs_dir={work}\n"
                                   f"default_md=sha256\npolicy=p\nunique_subject=no\nx509_extensions=e\n[p]\ncommonName=supplied\n"
                                   f"[e]\nsubjectAltName={names}\nbasicConstraints=CA:FALSE\n")
        _openssl("ca", "-batch", "-notext", "-config", work / "conf", "-cert", self.certificate, "-keyfile", self.key, "-in", request,
                 "-out", certificate, "-startdate", begins, "-enddate", ends)
        return certificate, key


def _openssl(*words: object) -> None:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
