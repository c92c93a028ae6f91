# SPDX-License-Identifier: Apache-2.0
"""strace(1), for tests that look at system calls or end the program at one of them."""
import os
import shutil
import subprocess

import pytest

# nor a program with sanitizers: LeakSanitizer traces it itself, and its counters would be cut off
TRACEABLE = not os.environ.get("MODULUS_BUILD") and shutil.which("strace") is not None and subprocess.run(
    ["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
needs_strace = pytest.mark.skipif(not TRACEABLE, reason="strace is not installed or not allowed here")
