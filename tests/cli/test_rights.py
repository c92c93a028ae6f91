# SPDX-License-Identifier: Apache-2.0
"""What the program gives up before it looks at anything from outside."""

import re
import subprocess

from program import MODULUS


def test_no_core_files_and_no_new_privileges_before_anything_is_opened(tmp_path):
    trace = tmp_path / "trace"
    subprocess.run(["strace", "-o", trace, "-e", "trace=prctl,prlimit64,openat,openat2,open", MODULUS, "inspect", tmp_path / "x.tar.zst"],
                   capture_output=True, check=False)
    said = trace.read_text()
    opened = said.index("x.tar.zst")
    core = re.search(r"prlimit64\(0, RLIMIT_CORE, \{rlim_cur=0, rlim_max=0\}, NULL\) += 0", said)
    rights = re.search(r"prctl\(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0\) += 0", said)
    assert core and rights and max(core.end(), rights.end()) < opened
