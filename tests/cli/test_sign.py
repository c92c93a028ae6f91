# SPDX-License-Identifier: Apache-2.0
"""Signing again: keys change, bundles stay what they are."""
import re
import shutil
import stat
import subprocess

import pytest

import minisign
from bundlemaker import OTHER_KEY, TEST_KEY, UNKNOWN_KEY, manifest_of, modules, signatures_of, signed_by
from minisign import SecretKey
from program import DONE, MODULUS, SYSTEM, UNTRUSTED, environment, modulus


@pytest.fixture
def good(tmp_path):
    file = tmp_path / "good.tar.zst"
    file.write_bytes(modules().build())
    return file


@pytest.fixture
def secret(tmp_path):
    """Writes a key's secret half; returns the path."""
    def write(key: SecretKey):
        path = tmp_path / f"{key.public.name}.key"
        path.write_text(key.text())
        return path
    return write


def ring(tmp_path, *keys):
    folder = tmp_path / ("ring-" + "-".join(key.public.name for key in keys))
    folder.mkdir(exist_ok=True)
    for key in keys:
        (folder / f"{key.public.name}.pub").write_text(key.public.text())
    return folder


def parts(file) -> tuple[bytes, list[minisign.Signature], bytes]:
    data = file.read_bytes()
    manifest, signatures = manifest_of(data), signatures_of(data)
    return manifest, minisign.parse_signatures(signatures), data[16 + len(manifest) + len(signatures):]


def signers(file) -> list[bytes]:
    return [signature.id for signature in parts(file)[1]]


def test_keys_are_changed_without_a_day_on_which_somebody_cannot_verify(tmp_path, good, secret):
    old, new = ring(tmp_path, TEST_KEY), ring(tmp_path, OTHER_KEY)
    before = parts(good)
    assert modulus("verify", "--keys", new, good).returncode == UNTRUSTED
    assert modulus("sign", "--key", secret(OTHER_KEY), "--add", good).returncode == DONE
    for who in (old, new):  # those who have the old key, and those who have the new one already
        assert modulus("verify", "--keys", who, good).returncode == DONE
    assert modulus("sign", "--key", secret(OTHER_KEY), good).returncode == DONE
    assert modulus("verify", "--keys", old, good).returncode == UNTRUSTED
    assert modulus("verify", "--keys", new, good).returncode == DONE
    after = parts(good)
    assert (after[0], after[2]) == (before[0], before[2])  # digest and payload are what they were


def test_the_new_signature_comes_first_and_the_others_stay_as_they_are(good, secret):
    before = parts(good)[1]
    modulus("sign", "--key", secret(OTHER_KEY), "--add", good)
    assert signers(good) == [OTHER_KEY.id, TEST_KEY.id]
    assert parts(good)[1][1:] == before


def test_a_key_signs_once_however_often_it_is_asked(good, secret):
    for _ in range(3):
        assert modulus("sign", "--key", secret(OTHER_KEY), "--add", good).returncode == DONE
    assert signers(good) == [OTHER_KEY.id, TEST_KEY.id]
    modulus("sign", "--key", secret(TEST_KEY), "--add", good)
    assert signers(good) == [TEST_KEY.id, OTHER_KEY.id]


def test_signing_twice_gives_the_same_bytes(good, secret):
    modulus("sign", "--key", secret(TEST_KEY), good)
    once = good.read_bytes()
    modulus("sign", "--key", secret(TEST_KEY), good)
    assert good.read_bytes() == once


@pytest.mark.parametrize("options", [[], ["--add"]])
def test_a_bundle_from_a_pipe_goes_to_standard_output_as_a_file_would_change(good, secret, options):
    words = ["sign", "--key", secret(OTHER_KEY), *options]
    done = subprocess.run([MODULUS, *words, "-"], input=good.read_bytes(), capture_output=True, env=environment())
    assert (done.returncode, done.stderr) == (DONE, b"")
    assert modulus(*words, good).returncode == DONE
    assert done.stdout == good.read_bytes()


def test_nothing_of_a_broken_bundle_comes_out_of_a_pipe(good, secret, tmp_path):
    (tmp_path / "tmp").mkdir()
    for data in (good.read_bytes()[:-1], good.read_bytes() + b"x", good.read_bytes()[:100], b""):
        done = subprocess.run([MODULUS, "sign", "--key", secret(OTHER_KEY), "-"], input=data, capture_output=True,
                              env=environment(TMPDIR=str(tmp_path / "tmp")))
        assert (done.returncode, done.stdout) == (UNTRUSTED, b"") and re.fullmatch(b"modulus: (corrupt: )?-: .*\n", done.stderr), done
        assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")
def test_a_password_is_not_taken_from_a_bundle(good, tmp_path):
    """Standard input is the bundle, and there is no terminal."""
    subprocess.run(["minisign", "-G", "-f", "-p", tmp_path / "p.pub", "-s", tmp_path / "p.key"], input=b"secret\nsecret\n", check=True,
                   capture_output=True)
    done = subprocess.run([MODULUS, "sign", "--key", tmp_path / "p.key", "-"], input=b"secret\n" + good.read_bytes(), capture_output=True,
                          env=environment(), start_new_session=True)
    assert (done.returncode, done.stdout) == (SYSTEM, b"") and b"p.key" in done.stderr and done.stderr.count(b"\n") == 1, done


def test_without_add_the_others_are_gone(tmp_path, good, secret):
    good.write_bytes(modules(sign=signed_by(TEST_KEY, UNKNOWN_KEY)).build())
    modulus("sign", "--key", secret(OTHER_KEY), good)
    assert signers(good) == [OTHER_KEY.id]


def test_a_bundle_that_nobody_signed_can_be_signed(tmp_path, good, secret):
    good.write_bytes(modules(sign=lambda manifest: b"").build())
    assert modulus("sign", "--key", secret(TEST_KEY), good).returncode == DONE
    assert modulus("verify", "--keys", ring(tmp_path, TEST_KEY), good).returncode == DONE


def test_the_ninth_signature_is_refused_and_nothing_changes(good, secret):
    good.write_bytes(modules(sign=signed_by(*map(SecretKey.for_tests, range(100, 108)))).build())
    before = good.read_bytes()
    done = modulus("sign", "--key", secret(TEST_KEY), "--add", good)
    assert done.returncode == SYSTEM and "more than 8 signatures" in done.stderr
    assert good.read_bytes() == before
    assert modulus("sign", "--key", secret(SecretKey.for_tests(100)), "--add", good).returncode == DONE


@pytest.mark.parametrize("what", ["payload-flipped", "payload-cut", "payload-longer", "manifest-of-another-format", "text", "empty"])
def test_a_broken_bundle_is_not_signed_and_not_touched(good, secret, what):
    data = good.read_bytes()
    good.write_bytes({
        "payload-flipped": data[:-5] + bytes([data[-5] ^ 1]) + data[-4:], "payload-cut": data[:-1], "payload-longer": data + b"x",
        "manifest-of-another-format": modules(fields={"format": 2}).build(), "text": b"hello", "empty": b"",
    }[what])
    before = good.read_bytes()
    done = modulus("sign", "--key", secret(TEST_KEY), good)
    assert done.returncode == UNTRUSTED and str(good) in done.stderr
    assert good.read_bytes() == before
    assert [path.name for path in good.parent.iterdir() if "part" in path.name or path.name.startswith(".")] == []


def test_an_odd_signature_frame_is_replaced_and_cannot_be_added_to(good, secret):
    """--add keeps what is there, so what is there must be signatures."""
    good.write_bytes(modules(sign=lambda manifest: b"rubbish").build())
    done = modulus("sign", "--key", secret(TEST_KEY), "--add", good)
    assert done.returncode == UNTRUSTED and "signatures" in done.stderr
    assert modulus("sign", "--key", secret(TEST_KEY), good).returncode == DONE
    assert signers(good) == [TEST_KEY.id]


def test_a_bundle_that_is_not_there(tmp_path, secret):
    done = modulus("sign", "--key", secret(TEST_KEY), tmp_path / "none")
    assert (done.returncode, done.stderr) == (SYSTEM, f"modulus: {tmp_path / 'none'}: No such file or directory\n")


def test_signed_bundles_can_be_read_by_a_web_server(good, secret):
    modulus("sign", "--key", secret(TEST_KEY), good)
    assert stat.S_IMODE(good.stat().st_mode) == 0o644


def test_the_trusted_comment_names_the_bundle(good, secret):
    good.write_bytes(modules(fields={"created": 1700000000}).build())
    modulus("sign", "--key", secret(TEST_KEY), good)
    manifest, (signature,), _ = parts(good)
    assert signature.comment == b"timestamp:1700000000\tfile:gpu-1.0-modules"
    assert signature.holds(TEST_KEY.public, manifest)
