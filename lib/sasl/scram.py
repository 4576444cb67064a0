"""The computations and message grammar that both sides of SCRAM share (RFC 5802, RFC 7677), SHA-256 unless told else.

`ScramKeys` is what a server keeps: neither the password nor anything that logs in elsewhere.  Its text form is that of
RFC 5803.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from pillarbox.lib.sasl.stringprep import prepare_password

HASH = "sha256"
DIGEST_SIZE = 32
SCHEME = "SCRAM-SHA-256"

ITERATIONS = 10_000
"""For new keys.  RFC 7677 section 4 asks for at least 4096; the client pays them at every login."""

ITERATION_RANGE = range(4096, 10_000_001)
"""What a client accepts: fewer would help a false server to guess, more would hold the client up for seconds."""

SALT_SIZE = 16


_BINDING_FLAG = re.compile(rb"p=[A-Za-z0-9.\-]{1,64}")


class ScramSyntaxError(Exception):
    """A SCRAM message that breaks the grammar of RFC 5802 section 7."""


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What the server keeps of a password (RFC 5802 section 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    def to_text(self) -> str:
        """`SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803 section 2)."""
        keys = f"{encode_base64(self.stored_key)}:{encode_base64(self.server_key)}"
        return f"{SCHEME}${self.iterations}:{encode_base64(self.salt)}${keys}"

    @classmethod
    def from_text(cls, text: str) -> ScramKeys:
        """Read the text form; raises ValueError."""
        scheme, parameters, keys = text.split("$")
        iterations, salt = parameters.split(":")
        stored, server = keys.split(":")
        if scheme != SCHEME:
            raise ValueError(f"{scheme} keys are not {SCHEME} keys")
        result = cls(
            base64.b64decode(salt, validate=True),
            int(iterations),
            base64.b64decode(stored, validate=True),
            base64.b64decode(server, validate=True),
        )
        if len(result.stored_key) != DIGEST_SIZE or len(result.server_key) != DIGEST_SIZE or result.iterations < 1:
            raise ValueError("damaged SCRAM keys")
        return result


def digest(data: bytes, name: str = HASH) -> bytes:
    """H(data)."""
    return hashlib.new(name, data).digest()


def mac(key: bytes, data: bytes, name: str = HASH) -> bytes:
    """HMAC(key, data)."""
    return hmac.digest(key, data, name)


def xor(left: bytes, right: bytes) -> bytes:
    """The exclusive-or of two strings of equal length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def salted_password(password: str, salt: bytes, iterations: int, name: str = HASH) -> bytes:
    """Hi(Normalize(password), salt, i); costs `iterations` hashes and releases the interpreter lock meanwhile."""
    return hashlib.pbkdf2_hmac(name, prepare_password(password).encode("utf-8", "surrogateescape"), salt, iterations)


def make_scram_keys(password: str, salt: bytes, iterations: int = ITERATIONS) -> ScramKeys:
    """The keys of `password` with a fresh random `salt`."""
    salted = salted_password(password, salt, iterations)
    return ScramKeys(salt, iterations, digest(mac(salted, b"Client Key")), mac(salted, b"Server Key"))


def attributes(message: bytes) -> list[tuple[str, str]]:
    """The `name=value` pairs of a SCRAM message, in order; raises `ScramSyntaxError`."""
    try:
        parts = message.decode("utf-8").split(",")
    except UnicodeDecodeError:
        raise ScramSyntaxError("not UTF-8") from None
    pairs = []
    for part in parts:
        if len(part) < 2 or part[1] != "=" or not part[0].isascii() or not part[0].isalpha() or "\0" in part:
            raise ScramSyntaxError("an attribute name=value was expected")
        pairs.append((part[0], part[2:]))
    return pairs


def decode(value: str) -> bytes:
    """A base64 attribute value; raises `ScramSyntaxError`."""
    try:
        return binascii.a2b_base64(value.encode(), strict_mode=True)
    except (binascii.Error, ValueError):
        raise ScramSyntaxError("base64 was expected") from None


def is_nonce(value: str) -> bool:
    """Whether `value` is printable without comma: `%x21-2B / %x2D-7E`."""
    return bool(value) and all("\x21" <= char <= "\x7e" and char != "," for char in value)


def is_binding_flag(flag: bytes) -> bool:
    """Whether a gs2-cbind-flag demands channel binding: `p=` and a cb-name, 1*(ALPHA / DIGIT / "." / "-")."""
    return _BINDING_FLAG.fullmatch(flag) is not None


def escape_name(name: str) -> str:
    """A saslname: `,` and `=` are written `=2C` and `=3D`."""
    return name.replace("=", "=3D").replace(",", "=2C")


def unescape_name(value: str) -> str:
    """The name in a saslname; raises `ScramSyntaxError` for any other use of `=`."""
    name = value.replace("=2C", ",").replace("=3D", "\0")
    if "=" in name or not value:
        raise ScramSyntaxError("a saslname was expected")
    return name.replace("\0", "=")


def encode_base64(data: bytes) -> str:
    """An attribute value that holds octets."""
    return base64.b64encode(data).decode()
