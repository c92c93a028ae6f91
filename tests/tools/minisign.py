# SPDX-License-Identifier: Apache-2.0
"""minisign's keys and signatures (its manual, "Signature format"), read and written without minisign.

Nothing here is lenient: one spelling of each text is right. Keys for tests come from a seed, so that no secret key has
to be kept anywhere; they are worthless outside tests, since anybody can make them again.
"""
import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LEGACY, PREHASHED = b"Ed", b"ED"
UNTRUSTED, TRUSTED = b"untrusted comment:", b"trusted comment: "


class NotSignatures(ValueError):
    """The text is not one minisign signature after another."""


@dataclass(frozen=True)
class PublicKey:
    id: bytes   # 8 bytes, as stored
    raw: bytes  # 32 bytes

    @property
    def name(self) -> str:
        """As minisign prints it: the id is a little-endian number."""
        return self.id[::-1].hex().upper()

    def text(self) -> str:
        return f"untrusted comment: minisign public key {self.name}\n{_base64(b'Ed' + self.id + self.raw)}\n"

    @classmethod
    def parse(cls, text: bytes) -> "PublicKey":
        lines = text.removesuffix(b"\n").split(b"\n")
        if len(lines) != 2 or not lines[0].startswith(UNTRUSTED):
            raise ValueError("not a minisign public key")
        blob = _unbase64(lines[1], 42)
        if blob[:2] != b"Ed":
            raise ValueError("not an Ed25519 key")
        return cls(blob[2:10], blob[10:])

    def holds(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class SecretKey:
    seed: bytes
    id: bytes

    @classmethod
    def for_tests(cls, number: int) -> "SecretKey":
        """A TEST KEY: anybody can make it again."""
        seed = hashlib.sha256(b"modulus test key %d, of no use to anybody" % number).digest()
        return cls(seed, hashlib.sha256(seed).digest()[:8])

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.id, self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def text(self) -> str:
        """The secret key file that `minisign -W` writes: not encrypted, checksum zero."""
        blob = b"Ed" + b"\0\0" + b"B2" + bytes(48) + self.id + self.seed + self.public.raw + bytes(32)
        return f"untrusted comment: minisign encrypted secret key\n{_base64(blob)}\n"

    def sign(self, message: bytes) -> bytes:
        """The bare 64 bytes."""
        return self._key.sign(message)

    def signature(self, message: bytes, comment: bytes = b"timestamp:0\tfile:test", algorithm: bytes = PREHASHED,
                  untrusted: bytes = b"untrusted comment: a test's signature") -> bytes:
        """The four lines."""
        bare = self.sign(hashlib.blake2b(message).digest() if algorithm == PREHASHED else message)
        return signature_text(algorithm + self.id + bare, comment, self.sign(bare + comment), untrusted)


def signature_text(blob: bytes, comment: bytes, over_all: bytes,
                   untrusted: bytes = b"untrusted comment: a test's signature") -> bytes:
    """Four lines of any content."""
    return b"\n".join([untrusted, _base64(blob).encode(), TRUSTED + comment, _base64(over_all).encode(), b""])


@dataclass(frozen=True)
class Signature:
    algorithm: bytes
    id: bytes
    bare: bytes
    comment: bytes
    over_all: bytes

    def holds(self, key: PublicKey, message: bytes) -> bool:
        if self.algorithm == PREHASHED:
            message = hashlib.blake2b(message).digest()
        return key.holds(self.bare, message) and key.holds(self.over_all, self.bare + self.comment)


def parse_signatures(text: bytes) -> list[Signature]:
    """All signatures of a text; NotSignatures when anything else is in it."""
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()  # the last line may lack its LF, and an empty text has no line
    if len(lines) % 4:
        raise NotSignatures("not four lines each")
    return [_signature(lines[at:at + 4]) for at in range(0, len(lines), 4)]


def _signature(lines: list[bytes]) -> Signature:
    if not lines[0].startswith(UNTRUSTED) or not lines[2].startswith(TRUSTED):
        raise NotSignatures("a comment line is missing")
    try:
        blob, over_all = _unbase64(lines[1], 74), _unbase64(lines[3], 64)
    except ValueError as why:
        raise NotSignatures(str(why)) from None
    if blob[:2] not in (LEGACY, PREHASHED):
        raise NotSignatures("an algorithm that is not Ed25519")
    return Signature(blob[:2], blob[2:10], blob[10:], lines[2][len(TRUSTED):], over_all)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: bytes, length: int) -> bytes:
    """Exactly `length` bytes in their one right spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if len(data) != length or base64.b64encode(data) != text:
        raise ValueError("not the one spelling of so many bytes")
    return data
