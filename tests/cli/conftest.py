# SPDX-License-Identifier: Apache-2.0
"""What several files need: the helpers of tests/tools and tests/corpus, a fake machine, something that measures."""
import resource
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "tools"), str(TESTS)]

# A program that goes wrong must not fill the disk; what it runs into is an error that its test sees.
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def machine(tmp_path):
    from fakehost import Machine
    return Machine(tmp_path)


@pytest.fixture
def workshop(tmp_path):
    from workshop import Workshop
    return Workshop(tmp_path / "w")


@pytest.fixture(scope="session")
def spawner(tmp_path_factory):
    from spawner import Spawner
    one = Spawner(tmp_path_factory.mktemp("spawner"))
    yield one
    one.close()


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """A directory with the public halves of both test keys."""
    from corpus import KEYS
    folder = tmp_path_factory.mktemp("keys")
    for key in KEYS:
        (folder / f"{key.public.name}.pub").write_text(key.public.text())
    return folder
