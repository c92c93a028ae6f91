#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command as a container engine would: its own mounts over a root directory, no capability.

Usage: contained.py TREE COMMAND...
stdin: a line for each mount, "SOURCE TARGET ro|rw". In a mount and PID namespace of its own, made by the caller
(unshare --mount --pid --fork). TREE is the whole root of the container; it ends up read-only.
"""
import ctypes
import os
import subprocess
import sys

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAP = "/proc/sys/kernel/cap_last_cap"


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def bind(source: str, target: str, read_only: bool) -> None:
    os.makedirs(target, exist_ok=True)
    mount("--bind", source, target)
    if read_only:
        mount("-o", "remount,bind,ro,nosuid,nodev", target)


def main() -> None:
    tree, command = sys.argv[1], sys.argv[2:]
    last = int(open(LAST_CAP).read())
    mount("--bind", tree, tree)
    for line in sys.stdin.read().splitlines():
        source, target, how = line.split()
        bind(source, tree + target, how == "ro")
    os.makedirs(f"{tree}/proc", exist_ok=True)
    mount("-t", "proc", "proc", f"{tree}/proc")
    bind("/sys", f"{tree}/sys", True)
    mount("-o", "remount,bind,ro", tree)
    os.chroot(tree)
    os.chdir("/")
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(last + 1):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    # the exec leaves what the bounding set has: nothing
    os.execve(command[0], command, {"PATH": "/usr/bin"})


if __name__ == "__main__":
    main()
