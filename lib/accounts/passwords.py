"""Password hashes: Argon2id in PHC string form.

The cost is OWASP's second choice, 19 MiB and two passes: about 20 ms of one core, so that a burst of logins does not
fill the machine.  The interpreter lock is released meanwhile.
"""

from __future__ import annotations

import os
from base64 import b64encode
from functools import cache

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from pillarbox.lib.accounts.errors import BadPassword
from pillarbox.lib.sasl.stringprep import prepare_password

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1
SALT_SIZE = 16
HASH_SIZE = 32

PASSWORD_LIMIT = 1024
"""Octets.  More is no safer, and each would be hashed for anyone who sends it."""


def check_new_password(password: str) -> None:
    """Raise BadPassword for one that cannot be used: empty, too long, or holding NUL or line ends."""
    if not password:
        raise BadPassword("the password is empty")
    if len(password.encode("utf-8", "surrogateescape")) > PASSWORD_LIMIT:
        raise BadPassword(f"the password is longer than {PASSWORD_LIMIT} octets")
    if any(char in password for char in "\0\r\n"):
        raise BadPassword("the password holds a NUL or a line end, which no client can send")


def hash_password(password: str) -> str:
    """A fresh hash, `$argon2id$v=19$m=19456,t=2,p=1$...`; takes about 20 ms."""
    kdf = Argon2id(salt=os.urandom(SALT_SIZE), length=HASH_SIZE, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB)
    return kdf.derive_phc_encoded(_octets(password))


def verify_password(password: str, phc: str) -> bool:
    """Whether the password matches; False also for a hash of a kind that is not known.  Takes about 20 ms."""
    octets = _octets(password)
    if len(octets) > PASSWORD_LIMIT:
        octets = b""
    try:
        Argon2id.verify_phc_encoded(octets, phc)
    except (InvalidKey, ValueError):
        return False
    return bool(octets)


@cache
def unmatchable_hash() -> str:
    """A hash that no password matches, to be verified for unknown users so that they take as long as known ones."""
    salt, digest = (b64encode(os.urandom(size)).rstrip(b"=").decode() for size in (SALT_SIZE, HASH_SIZE))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${digest}"


def _octets(password: str) -> bytes:
    return prepare_password(password).encode("utf-8", "surrogateescape")
