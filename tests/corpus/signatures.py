# SPDX-License-Identifier: Apache-2.0
"""Who signed: unknown keys, signatures that do not hold, and texts that are not signatures."""
import base64
import hashlib

from bundlemaker import OTHER_KEY, TEST_KEY, UNKNOWN_KEY, Recipe, modules, signed_by
from minisign import LEGACY, PREHASHED, SecretKey, signature_text

from . import refuse

GOOD = modules()
NO_TEXT = "does not hold minisign signatures"
NOT_HELD = "does not hold: the manifest was changed"
# order of the group that Ed25519 works in (RFC 8032, 5.1): S and S + L are the same number there
L = 2**252 + 27742317777372353535851937790883648493


def signing(sign) -> Recipe:
    return GOOD.but(sign=sign)


def untrusted(name: str, says: str, sign) -> None:
    refuse(name, says, lambda: signing(sign).build(), reason="untrusted")


def malformed(name: str, change) -> None:
    """A good signature whose text was changed."""
    refuse(name, NO_TEXT, lambda: signing(lambda m: change(TEST_KEY.signature(m))).build())


def lines(change):
    """Changes the four lines of a signature."""
    def apply(text: bytes) -> bytes:
        four = text.split(b"\n")[:4]
        return b"\n".join(change(*four)) + b"\n"
    return apply


def parts(manifest: bytes, key: SecretKey = TEST_KEY, comment: bytes = b"comment") -> tuple[bytes, bytes]:
    bare = key.sign(hashlib.blake2b(manifest).digest())
    return bare, key.sign(bare + comment)


# --- by nobody that we know ------------------------------------------------------------------------

untrusted("not-signed", "not signed", lambda m: b"")
untrusted("unknown-key", f"signed by unknown key {UNKNOWN_KEY.public.name}", signed_by(UNKNOWN_KEY))
untrusted("eight-unknown-keys", "signed by unknown key", signed_by(*map(SecretKey.for_tests, range(100, 108))))
untrusted("unknown-key-legacy", "signed by unknown key", signed_by(UNKNOWN_KEY, algorithm=LEGACY))
# the rule "verify, then parse": a manifest that is rubbish is not looked at when nobody known signed it
refuse("unknown-key-and-a-manifest-that-is-rubbish", "unknown key", reason="untrusted",
       build=lambda: signing(signed_by(UNKNOWN_KEY)).but(encode=lambda m: b"\xff[[[{" * 100).build())
untrusted("known-key-with-another-key-id", "signed by unknown key",
          lambda m: SecretKey(TEST_KEY.seed, UNKNOWN_KEY.id).signature(m))

# --- by a known key, and wrong ---------------------------------------------------------------------

untrusted("unknown-key-with-a-known-key-id", NOT_HELD, lambda m: SecretKey(UNKNOWN_KEY.seed, TEST_KEY.id).signature(m))
untrusted("manifest-changed", NOT_HELD, lambda m: TEST_KEY.signature(m.replace(b'"serial":1', b'"serial":2')))
untrusted("manifest-changed-legacy", NOT_HELD, lambda m: TEST_KEY.signature(m + b" ", algorithm=LEGACY))
untrusted("signature-of-nothing", NOT_HELD, lambda m: TEST_KEY.signature(b""))
untrusted("signature-of-the-digest", NOT_HELD, lambda m: TEST_KEY.signature(hashlib.sha256(m).digest()))
untrusted("prehashed-called-legacy", NOT_HELD, lambda m: _relabelled(m, PREHASHED, LEGACY))
untrusted("legacy-called-prehashed", NOT_HELD, lambda m: _relabelled(m, LEGACY, PREHASHED))
untrusted("signature-bit-flipped", NOT_HELD, lambda m: _changed(m, lambda bare: bytes([bare[0] ^ 1]) + bare[1:]))
untrusted("signature-of-zeros", NOT_HELD, lambda m: _changed(m, lambda bare: bytes(64)))
untrusted("signature-with-S-above-L", NOT_HELD, lambda m: _changed(m, _above_l))
untrusted("trusted-comment-changed", NOT_HELD,
          lambda m: _with_comment(m, b"timestamp:1\tfile:a", b"timestamp:2\tfile:a"))
untrusted("trusted-comment-extended", NOT_HELD, lambda m: _with_comment(m, b"comment", b"comment "))
untrusted("trusted-comment-emptied", NOT_HELD, lambda m: _with_comment(m, b"comment", b""))
untrusted("trusted-comment-signed-by-another-known-key", NOT_HELD, lambda m: _comment_by(m, OTHER_KEY))
untrusted("trusted-comment-signed-alone", NOT_HELD, lambda m: _comment_alone(m))
untrusted("known-key-wrong-and-unknown-key", NOT_HELD,
          lambda m: TEST_KEY.signature(m + b" ") + UNKNOWN_KEY.signature(m))


def _relabelled(manifest: bytes, real: bytes, called: bytes) -> bytes:
    bare = TEST_KEY.sign(hashlib.blake2b(manifest).digest() if real == PREHASHED else manifest)
    return signature_text(called + TEST_KEY.id + bare, b"c", TEST_KEY.sign(bare + b"c"))


def _changed(manifest: bytes, change) -> bytes:
    """The signature proper is changed, the one over the comment fits what came of it."""
    bare = change(parts(manifest)[0])
    return signature_text(b"ED" + TEST_KEY.id + bare, b"c", TEST_KEY.sign(bare + b"c"))


def _above_l(bare: bytes) -> bytes:
    return bare[:32] + (int.from_bytes(bare[32:], "little") + L).to_bytes(32, "little")


def _with_comment(manifest: bytes, signed: bytes, shown: bytes) -> bytes:
    bare, over_all = parts(manifest, comment=signed)
    return signature_text(b"ED" + TEST_KEY.id + bare, shown, over_all)


def _comment_by(manifest: bytes, key: SecretKey) -> bytes:
    bare, _ = parts(manifest)
    return signature_text(b"ED" + TEST_KEY.id + bare, b"c", key.sign(bare + b"c"))


def _comment_alone(manifest: bytes) -> bytes:
    bare, _ = parts(manifest)
    return signature_text(b"ED" + TEST_KEY.id + bare, b"c", TEST_KEY.sign(b"c"))


# --- not the text of signatures --------------------------------------------------------------------

malformed("signatures-rubbish", lambda s: b"rubbish")
malformed("signatures-one-LF", lambda s: b"\n")
malformed("signatures-NUL", lambda s: bytes(len(s)))
malformed("signatures-public-key", lambda s: TEST_KEY.public.text().encode())
malformed("signature-CRLF", lambda s: s.replace(b"\n", b"\r\n"))
malformed("signature-LF-before", lambda s: b"\n" + s)
malformed("signature-three-lines", lines(lambda u, s, t, g: (u, s, t)))
malformed("signature-one-line", lines(lambda u, s, t, g: (u,)))
malformed("signature-without-untrusted-comment", lines(lambda u, s, t, g: (s, t, g)))
malformed("signature-without-trusted-comment", lines(lambda u, s, t, g: (u, s, g)))
malformed("untrusted-comment-upper-case", lines(lambda u, s, t, g: (u.upper(), s, t, g)))
malformed("trusted-comment-upper-case", lines(lambda u, s, t, g: (u, s, t.upper(), g)))
malformed("trusted-comment-without-its-blank", lines(lambda u, s, t, g: (u, s, t.replace(b": ", b":", 1), g)))
malformed("trusted-comment-with-a-tab", lines(lambda u, s, t, g: (u, s, t.replace(b": ", b":\t", 1), g)))
malformed("signature-algorithm-unknown", lines(lambda u, s, t, g: (u, _blob(s, lambda b: b"EX" + b[2:]), t, g)))
malformed("signature-algorithm-lower-case", lines(lambda u, s, t, g: (u, _blob(s, lambda b: b"ed" + b[2:]), t, g)))
malformed("signature-one-byte-short", lines(lambda u, s, t, g: (u, _blob(s, lambda b: b[:-1]), t, g)))
malformed("signature-one-byte-long", lines(lambda u, s, t, g: (u, _blob(s, lambda b: b + b"\0"), t, g)))
malformed("global-signature-one-byte-short", lines(lambda u, s, t, g: (u, s, t, _blob(g, lambda b: b[:-1]))))
malformed("global-signature-one-byte-long", lines(lambda u, s, t, g: (u, s, t, _blob(g, lambda b: b + b"\0"))))
malformed("global-signature-empty", lines(lambda u, s, t, g: (u, s, t, b"")))
malformed("signature-base64-without-padding", lines(lambda u, s, t, g: (u, s.rstrip(b"="), t, g)))
malformed("signature-base64-with-blanks", lines(lambda u, s, t, g: (u, s[:50] + b" " + s[50:], t, g)))
malformed("signature-base64-blank-at-the-end", lines(lambda u, s, t, g: (u, s + b" ", t, g)))
malformed("signature-base64-spare-bits-set", lines(lambda u, s, t, g: (u, _spare_bits(s), t, g)))
malformed("global-signature-base64-spare-bits-set", lines(lambda u, s, t, g: (u, s, t, _spare_bits(g))))
malformed("signature-base64-url-alphabet", lambda s: _until_special(s, lambda line: line.translate(
    bytes.maketrans(b"+/", b"-_"))))
malformed("rubbish-before-a-good-signature", lambda s: b"rubbish\n" + s)
malformed("rubbish-after-a-good-signature", lambda s: s + b"rubbish\n")
malformed("LF-after-a-good-signature", lambda s: s + b"\n")
malformed("NUL-after-a-good-signature", lambda s: s + b"\0")
malformed("half-a-signature-after-a-good-one", lambda s: s + s[:len(s) // 2])
malformed("blank-line-between-signatures", lambda s: s + b"\n" + s)


def _blob(line: bytes, change) -> bytes:
    return base64.b64encode(change(base64.b64decode(line)))


def _spare_bits(line: bytes) -> bytes:
    """The same bytes in another spelling: bits that nobody decodes are set."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    bare = line.rstrip(b"=")
    other = bare[:-1] + bytes([alphabet[alphabet.index(bare[-1]) | 1]]) + line[len(bare):]
    assert base64.b64decode(other) == base64.b64decode(line) and other != line
    return other


def _until_special(text: bytes, change) -> bytes:
    four = text.split(b"\n")
    other = [four[0], change(four[1]), four[2], change(four[3]), b""]
    assert other != four, "no + and no / in this signature: choose another key"
    return b"\n".join(other)


# --- too many --------------------------------------------------------------------------------------

TOO_MANY = "more than 8 signatures"
refuse("nine-signatures", TOO_MANY, lambda: signing(signed_by(*[TEST_KEY] * 9)).build())
refuse("nine-signatures-the-last-by-a-known-key", TOO_MANY,
       lambda: signing(signed_by(*map(SecretKey.for_tests, range(100, 108)), TEST_KEY)).build())
refuse("nine-signatures-the-first-by-a-known-key", TOO_MANY,
       lambda: signing(signed_by(TEST_KEY, *map(SecretKey.for_tests, range(100, 108)))).build())
