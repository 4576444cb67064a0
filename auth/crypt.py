"""crypt(3) of the system's libcrypt, which knows every hash that /etc/shadow may hold (yescrypt among them).

The standard library's module is gone since Python 3.13.  The interpreter lock is released during the call.
"""

from __future__ import annotations

import ctypes
import hmac
from functools import cache

DATA_SIZE = 256 * 1024
"""More than `struct crypt_data` takes in any libcrypt: 128 KiB in glibc's, 32 KiB in libxcrypt."""


@cache
def _library() -> ctypes.CDLL:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p)
        library.crypt_r.restype = ctypes.c_char_p
        return library
    raise OSError("there is no libcrypt on this system")


def crypt(password: str, setting: str) -> str | None:
    """The hash of a password under a setting (or an existing hash); None where libcrypt does not know the kind.

    Raises OSError where there is no libcrypt.
    """
    if "\0" in password or "\0" in setting:
        return None
    data = ctypes.create_string_buffer(DATA_SIZE)
    result = _library().crypt_r(password.encode("utf-8", "surrogateescape"), setting.encode(), data)
    text = result.decode("ascii", "replace") if result else "*0"
    return None if text.startswith("*") else text


def verify(password: str, stored: str) -> bool:
    """Whether the password matches a hash of /etc/shadow; False for a locked or empty one."""
    if not stored or stored[0] in "!*":
        return False
    computed = crypt(password, stored)
    return computed is not None and hmac.compare_digest(computed.encode(), stored.encode())
