# SPDX-License-Identifier: Apache-2.0
"""What the program gives up before it looks at anything from outside."""

import re
import subprocess

from program import MODULUS


def test_no_core_file_could_be_written_once_anything_is_opened(tmp_path):
    trace = tmp_path / "trace"
    subprocess.run(["strace", "-o", trace, "-e", "trace=prlimit64,openat,openat2,open", MODULUS, "inspect", tmp_path / "x.tar.zst"],
                   capture_output=True, check=False)
    said = trace.read_text()
    core = re.search(r"prlimit64\(0, RLIMIT_CORE, \{rlim_cur=0, rlim_max=0\}, NULL\) += 0", said)
    assert core and core.end() < said.index("x.tar.zst")
