# SPDX-License-Identifier: Apache-2.0
"""What `make analyse` and `make coverage` stand on: a file is analysed once while nothing changes, a finding is never
remembered, and the lines that nothing ran are counted."""
import os
import subprocess
import sys

import pytest

from program import TREE

TOOLS = TREE / "tests/tools"


@pytest.fixture
def analyse(tmp_path):
    """Runs analysed.sh with an analyser that notes each of its runs and ends as the source says."""
    (tmp_path / "source").write_text("0")
    (tmp_path / "settings").write_text("all checks")
    analyser = tmp_path / "analyser"
    analyser.write_text(f'#!/bin/sh\n[ "$1" != --version ] || exec cat {tmp_path}/version\n'
                        f'echo run >> {tmp_path}/runs; echo "a finding"; exit "$(cat {tmp_path}/source)"\n')
    analyser.chmod(0o755)
    (tmp_path / "version").write_text("1")
    (tmp_path / "runs").write_text("")

    def run(*words: str) -> tuple[int, str, int]:
        done = subprocess.run([TOOLS / "analysed.sh", f"{tmp_path}/source {tmp_path}/settings", analyser, *words],
                              text=True, capture_output=True, env={**os.environ, "MODULUS_CACHE": f"{tmp_path}/cache"})
        return done.returncode, done.stderr, len((tmp_path / "runs").read_text().split())
    return run


def test_what_was_clean_is_not_looked_at_again(analyse):
    assert [analyse(), analyse()] == [(0, "", 1), (0, "", 1)]


@pytest.mark.parametrize("name", ["source", "settings", "version"])
def test_another_source_setting_or_version_is_looked_at(analyse, tmp_path, name):
    analyse()
    (tmp_path / name).write_text("00")
    assert analyse() == (0, "", 2)


def test_another_option_is_looked_at(analyse):
    analyse()
    assert analyse("--more") == (0, "", 2)


def test_a_finding_is_shown_each_time(analyse, tmp_path):
    (tmp_path / "source").write_text("3")
    assert [analyse(), analyse()] == [(1, "a finding\n", 1), (1, "a finding\n", 2)]


@pytest.fixture
def counted(tmp_path):
    """A program of two files, of which nothing runs the second; its other function runs for a word."""
    (tmp_path / "stage").mkdir()
    (tmp_path / "stage/one.c").write_text("""static int more(void) {
    return 0;
}
int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1)
        return more();
    return 0;
}
""")
    (tmp_path / "stage/two.c").write_text("int two(void);\nint two(void)\n{\n\treturn 2;\n}\n")
    for name in ("one", "two"):
        subprocess.run(["gcc", "--coverage", "-c", f"stage/{name}.c", "-o", f"{name}.o"], cwd=tmp_path, check=True)
    subprocess.run(["gcc", "--coverage", "one.o", "-o", "program"], cwd=tmp_path, check=True)

    def judge(floor: float, *words: str) -> subprocess.CompletedProcess:
        subprocess.run([tmp_path / "program", *words], check=True)
        return subprocess.run([sys.executable, TOOLS / "coverage.py", str(floor), "table", "one.o", "two.o"],
                              cwd=tmp_path, capture_output=True, text=True)
    return judge


def test_a_file_that_nothing_ran_counts_with_all_its_lines(counted, tmp_path):
    done = counted(35)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:4] for line in (tmp_path / "table").read_text().splitlines()] == [
        ["stage/two.c", "0", "of", "2"], ["stage/one.c", "3", "of", "6"], ["stage/", "3", "of", "8"]]


def test_fewer_lines_than_the_floor_fail_and_more_pass(counted):
    assert (low := counted(50)).returncode == 1 and "fewer than 50 %" in low.stderr
    assert counted(50, "word").returncode == 0
