# SPDX-License-Identifier: Apache-2.0
"""Keys: made, kept secret, exchanged with minisign both ways, directories of them."""
import base64
import os
import re
import shutil
import stat
import subprocess

import pytest

import minisign
from bundlemaker import OTHER_KEY, TEST_KEY, UNKNOWN_KEY, manifest_of, modules, signatures_of, signed_by
from minisign import LEGACY, PREHASHED, PublicKey, SecretKey
from program import DONE, SYSTEM, UNTRUSTED, modulus

needs_minisign = pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")


def run_minisign(*args, cwd, answer: str = "\n"):
    return subprocess.run(["minisign", *map(str, args)], input=answer, capture_output=True, text=True, cwd=cwd)


@pytest.fixture
def pair(tmp_path):
    secret, public = tmp_path / "key.sec", tmp_path / "key.pub"
    done = modulus("keygen", "--secret", secret, "--public", public)
    assert done.returncode == DONE, done.stderr
    return secret, public


@pytest.fixture
def good(tmp_path):
    file = tmp_path / "good.tar.zst"
    file.write_bytes(modules().build())
    return file


def verify(folder, *files):
    return modulus("verify", "--keys", folder, *files)


# --- keygen ----------------------------------------------------------------------------------------

def test_keygen_makes_a_pair_that_belongs_together_and_says_its_id(tmp_path):
    secret, public = tmp_path / "s", tmp_path / "p"
    done = modulus("keygen", "--secret", secret, "--public", public)
    key = PublicKey.parse(public.read_bytes())
    assert (done.returncode, done.stdout) == (DONE, f"key {key.name}: secret half in {secret}, public half in {public}\n")
    assert public.read_text().startswith(f"untrusted comment: minisign public key {key.name}\n")


def test_keygen_keeps_the_secret_half_to_its_owner_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        modulus("keygen", "--secret", tmp_path / "s", "--public", tmp_path / "p")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o644


@pytest.mark.parametrize("existing", ["s", "p"])
def test_keygen_never_overwrites_and_leaves_no_half(tmp_path, existing):
    (tmp_path / existing).write_text("precious")
    done = modulus("keygen", "--secret", tmp_path / "s", "--public", tmp_path / "p")
    assert done.returncode == SYSTEM and f"{tmp_path / existing}: File exists" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [existing] and (tmp_path / existing).read_text() == "precious"


def test_keygen_does_not_write_through_a_link(tmp_path):
    (tmp_path / "s").symlink_to("elsewhere")
    assert modulus("keygen", "--secret", tmp_path / "s", "--public", tmp_path / "p").returncode == SYSTEM
    assert not (tmp_path / "elsewhere").exists() and not (tmp_path / "p").exists()


def test_keygen_into_a_directory_that_is_not_there(tmp_path):
    done = modulus("keygen", "--secret", tmp_path / "no" / "s", "--public", tmp_path / "p")
    assert done.returncode == SYSTEM and "No such file or directory" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_keys_are_two(tmp_path):
    for name in "ab":
        modulus("keygen", "--secret", tmp_path / f"{name}.sec", "--public", tmp_path / f"{name}.pub")
    a, b = (PublicKey.parse((tmp_path / f"{name}.pub").read_bytes()) for name in "ab")
    assert a.id != b.id and a.raw != b.raw


# --- minisign --------------------------------------------------------------------------------------

@needs_minisign
def test_minisign_signs_with_our_key_and_checks_with_our_public_key(tmp_path, pair):
    secret, public = pair
    (tmp_path / "text").write_text("text")
    signed = run_minisign("-S", "-s", secret, "-m", "text", cwd=tmp_path)
    assert signed.returncode == 0, signed.stderr
    checked = run_minisign("-V", "-p", public, "-m", "text", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout


@needs_minisign
def test_minisign_checks_our_signature_over_the_manifest_taken_out(tmp_path, pair, good):
    secret, public = pair
    assert modulus("sign", "--key", secret, good).returncode == DONE
    (tmp_path / "manifest").write_bytes(manifest_of(good.read_bytes()))
    (tmp_path / "manifest.minisig").write_bytes(signatures_of(good.read_bytes()))
    checked = run_minisign("-V", "-p", public, "-m", "manifest", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "timestamp:0\tfile:gpu-1.0-modules" in checked.stdout
    (tmp_path / "manifest").write_bytes(manifest_of(good.read_bytes()).replace(b'"serial":1', b'"serial":2'))
    assert run_minisign("-V", "-p", public, "-m", "manifest", cwd=tmp_path).returncode != 0


@needs_minisign
@pytest.mark.parametrize("how,algorithm", [([], PREHASHED), (["-l"], LEGACY)], ids=["prehashed", "legacy"])
def test_manifests_signed_by_minisign_are_accepted(tmp_path, keys, how, algorithm):
    made = run_minisign("-G", "-W", "-p", tmp_path / "m.pub", "-s", tmp_path / "m.key", cwd=tmp_path)
    assert made.returncode == 0, made.stderr

    def sign(manifest: bytes) -> bytes:
        (tmp_path / "manifest").write_bytes(manifest)
        done = run_minisign("-S", *how, "-s", tmp_path / "m.key", "-m", "manifest", "-t", "made by minisign", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "manifest.minisig").read_bytes()

    file = tmp_path / "b.tar.zst"
    file.write_bytes(modules(sign=sign).build())
    (one,) = minisign.parse_signatures(signatures_of(file.read_bytes()))
    assert (one.algorithm, one.comment) == (algorithm, b"made by minisign")
    assert verify(tmp_path, file).returncode == DONE
    assert verify(keys, file).returncode == UNTRUSTED  # and by nobody who does not have that key
    changed = tmp_path / "changed.tar.zst"
    changed.write_bytes(file.read_bytes().replace(b"made by minisign", b"made by somebody"[:16]))
    assert "does not hold" in verify(tmp_path, changed).stderr


@needs_minisign
def test_we_sign_with_a_key_that_minisign_made(tmp_path, good):
    run_minisign("-G", "-W", "-p", tmp_path / "m.pub", "-s", tmp_path / "m.key", cwd=tmp_path)
    assert modulus("sign", "--key", tmp_path / "m.key", good).returncode == DONE
    assert verify(tmp_path, good).returncode == DONE


# --- secret key files ------------------------------------------------------------------------------

SECRET = TEST_KEY.text()
BAD_SECRETS = {
    "empty": "", "a-public-key": TEST_KEY.public.text(), "no-comment": SECRET.split("\n", 1)[1], "one-line": SECRET.split("\n")[0],
    "cut": SECRET[:-30], "text": "hello\n" * 10, "another-algorithm": SECRET.replace("RWQ", "RXQ", 1).replace("RWR", "RXR", 1),
}


@pytest.mark.parametrize("what", BAD_SECRETS)
def test_what_is_not_a_secret_key_is_said_and_nothing_is_signed(tmp_path, good, what):
    (tmp_path / "bad").write_text(BAD_SECRETS[what])
    before = good.read_bytes()
    done = modulus("sign", "--key", tmp_path / "bad", good)
    assert done.returncode == SYSTEM and f"{tmp_path / 'bad'}: not a minisign secret key" in done.stderr
    assert good.read_bytes() == before


def test_a_secret_key_whose_halves_do_not_belong_together_is_refused(tmp_path, good):
    first, line = SECRET.splitlines()
    blob = bytearray(base64.b64decode(line))
    blob[62] ^= 1  # the first byte of the seed
    (tmp_path / "bad").write_text(f"{first}\n{base64.b64encode(blob).decode()}\n")
    done = modulus("sign", "--key", tmp_path / "bad", good)
    assert done.returncode == SYSTEM and "damaged" in done.stderr


def test_a_secret_key_that_is_not_there(tmp_path, good):
    done = modulus("sign", "--key", tmp_path / "none", good)
    assert (done.returncode, done.stderr) == (SYSTEM, f"modulus: {tmp_path / 'none'}: No such file or directory\n")


def test_the_secret_key_is_never_shown(tmp_path, good):
    (tmp_path / "s").write_text(SECRET[:-6])
    done = modulus("sign", "--key", tmp_path / "s", good)
    assert done.returncode == SYSTEM and SECRET.splitlines()[1][:20] not in done.stdout + done.stderr


# --- directories of public keys --------------------------------------------------------------------

def test_the_key_directory_must_be_one(tmp_path, good):
    done = verify(tmp_path / "none", good)
    assert (done.returncode, done.stderr) == (SYSTEM, f"modulus: {tmp_path / 'none'}: No such file or directory\n")
    assert verify(good, good).returncode == SYSTEM


def test_an_empty_key_directory_trusts_nobody(tmp_path, good):
    (tmp_path / "empty").mkdir()
    done = verify(tmp_path / "empty", good)
    assert done.returncode == UNTRUSTED
    assert f"signed by {TEST_KEY.public.name}, and no public key is installed" in done.stderr


def test_only_visible_files_called_pub_are_keys(tmp_path, good):
    text = TEST_KEY.public.text()
    for name in (".hidden.pub", "key.pub~", "key.txt", "pub"):
        (tmp_path / name).write_text(text)
    assert verify(tmp_path, good).returncode == UNTRUSTED
    (tmp_path / "x.pub").write_text(text)
    assert verify(tmp_path, good).returncode == DONE


BAD_PUBLICS = {
    "empty": "", "secret": SECRET, "one-line": "RWQ\n", "text": "hello\n", "without-comment": TEST_KEY.public.text().split("\n", 1)[1],
    "line-too-many": TEST_KEY.public.text() + "x\n", "CRLF": TEST_KEY.public.text().replace("\n", "\r\n"), "large": "x" * 5000,
    "cut": TEST_KEY.public.text()[:-10], "spare": re.sub("\n$", " \n", TEST_KEY.public.text()),
}


@pytest.mark.parametrize("what", BAD_PUBLICS)
def test_a_file_that_is_no_key_is_a_warning_and_the_others_count(tmp_path, good, what):
    (tmp_path / "bad.pub").write_text(BAD_PUBLICS[what], newline="")
    done = verify(tmp_path, good)
    assert done.returncode == UNTRUSTED and done.stderr.startswith(f"modulus: {tmp_path}/bad.pub: ")
    (tmp_path / "good.pub").write_text(TEST_KEY.public.text())
    done = verify(tmp_path, good)
    assert done.returncode == DONE and done.stderr.startswith(f"modulus: {tmp_path}/bad.pub: ")


def test_sixty_four_keys_count_and_no_more(tmp_path, good):
    for number in range(63):
        (tmp_path / f"k{number:02}.pub").write_text(SecretKey.for_tests(1000 + number).public.text())
    (tmp_path / "l.pub").write_text(TEST_KEY.public.text())
    assert verify(tmp_path, good).returncode == DONE
    (tmp_path / "k63.pub").write_text(OTHER_KEY.public.text())
    done = verify(tmp_path, good)
    assert done.returncode == UNTRUSTED and f"{tmp_path}/l.pub: more than 64 keys" in done.stderr


def test_a_revoked_key_counts_no_more_however_it_is_written(tmp_path, good):
    (tmp_path / "k.pub").write_text(TEST_KEY.public.text())
    for line in (TEST_KEY.public.name, TEST_KEY.public.name.lower(), f"  {TEST_KEY.public.name} ; stolen"):
        (tmp_path / "revoked").write_text(f"; keys that were stolen\n\n{line}\n")
        done = verify(tmp_path, good)
        assert done.returncode == UNTRUSTED and f"signed by revoked key {TEST_KEY.public.name}" in done.stderr
    (tmp_path / "revoked").write_text(f"{UNKNOWN_KEY.public.name}\n")
    assert verify(tmp_path, good).returncode == DONE


def test_a_bundle_by_a_revoked_key_and_another_is_good(tmp_path):
    for key in (TEST_KEY, OTHER_KEY):
        (tmp_path / f"{key.public.name}.pub").write_text(key.public.text())
    (tmp_path / "revoked").write_text(TEST_KEY.public.name + "\n")
    file = tmp_path / "b.tar.zst"
    file.write_bytes(modules(sign=signed_by(TEST_KEY, OTHER_KEY)).build())
    done = verify(tmp_path, file)
    assert done.returncode == DONE and done.stdout.endswith(f"signed by key {OTHER_KEY.public.name}\n")


def test_a_line_that_revokes_nothing_is_a_warning(tmp_path, good):
    (tmp_path / "k.pub").write_text(TEST_KEY.public.text())
    (tmp_path / "revoked").write_text("everybody\n")
    done = verify(tmp_path, good)
    assert done.returncode == DONE and f"{tmp_path}/revoked: 'everybody' is not a key id" in done.stderr
