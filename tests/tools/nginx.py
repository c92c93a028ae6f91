# SPDX-License-Identifier: Apache-2.0
"""nginx, for one folder: what a fleet asks, and where Python's own server would be what is measured."""
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin")


class WebServer:
    """Its files are in `folder`, which is made. `log`: one line for each request, in these words of nginx."""

    def __init__(self, folder: Path, files: Path, log: str | None = None, locations: str = ""):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        folder.mkdir()
        self.log = folder / "access.log"
        logged = f"log_format asked '{log}'; access_log {self.log} asked;" if log else "access_log off;"
        temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "conf").write_text(f"daemon off; pid {folder}/pid; user root; events {{ }}\nhttp {{ {logged} sendfile on; "
                                     f"{temporary} server {{ listen 127.0.0.1:{self.port}; root {files}; {locations} }} }}\n")
        self.program = subprocess.Popen([PROGRAM or "nginx", "-c", folder / "conf", "-e", folder / "error.log"],
                                        stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"nginx does not listen: {(folder / 'error.log').read_text()}")

    def close(self) -> None:
        self.program.terminate()
        self.program.wait()
