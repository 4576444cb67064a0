"""What the `ssl` module does not show of OpenSSL: called in the library that `_ssl` itself is linked with.

The addresses of SSL_CTX and SSL are read out of the `ssl` module's objects, whose layout is no public interface.  So
nothing is believed: before the first use in a process (master does it before the first fork) `_verified` compares what
it finds at these addresses with what the `ssl` module says, without ever following a pointer that does not point into
writable memory.  Where anything differs (another interpreter, another layout, a library without these functions)
`library()` is None, is so for good, and callers go on without.

What depends on it: tickets shared between processes, details of key exchange and signature in the log, untrusted client
certificates, channel binding, OpenSSL's own DANE.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import sys
from ctypes import POINTER, c_char_p, c_int, c_long, c_size_t, c_uint, c_uint64, c_void_p
from functools import cache
from typing import Any

OLDEST = 0x30000000
"""OpenSSL 3.0: the first with EVP_MAC and `SSL_CTX_set_tlsext_ticket_key_evp_cb`."""

_POINTER = ctypes.sizeof(c_void_p)
_HEAD = object.__basicsize__
"""Where the members of an object begin, behind its reference count and type."""

VERIFY_CALLBACK = ctypes.CFUNCTYPE(c_int, c_int, c_void_p)
TICKET_CALLBACK = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_int)

_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "OpenSSL_version_num": (ctypes.c_ulong, ()),
    "SSL_CTX_ctrl": (c_long, (c_void_p, c_int, c_long, c_void_p)),
    "SSL_CTX_get_options": (c_uint64, (c_void_p,)),
    "SSL_CTX_get_verify_mode": (c_int, (c_void_p,)),
    "SSL_CTX_get_num_tickets": (c_size_t, (c_void_p,)),
    "SSL_CTX_set_timeout": (c_long, (c_void_p, c_long)),
    "SSL_CTX_set_session_id_context": (c_int, (c_void_p, c_char_p, c_uint)),
    "SSL_CTX_set_tlsext_ticket_key_evp_cb": (c_int, (c_void_p, TICKET_CALLBACK)),
    "SSL_CTX_set_verify": (None, (c_void_p, c_int, VERIFY_CALLBACK)),
    "SSL_CTX_set_verify_depth": (None, (c_void_p, c_int)),
    "SSL_ctrl": (c_long, (c_void_p, c_int, c_long, c_void_p)),
    "SSL_get_SSL_CTX": (c_void_p, (c_void_p,)),
    "SSL_get_verify_result": (c_long, (c_void_p,)),
    "SSL_get_certificate": (c_void_p, (c_void_p,)),
    "SSL_get_signature_type_nid": (c_int, (c_void_p, POINTER(c_int))),
    "SSL_get_peer_signature_type_nid": (c_int, (c_void_p, POINTER(c_int))),
    "SSL_group_to_name": (c_char_p, (c_void_p, c_int)),
    "SSL_CTX_dane_enable": (c_int, (c_void_p,)),
    "SSL_dane_enable": (c_int, (c_void_p, c_char_p)),
    "SSL_dane_set_flags": (ctypes.c_ulong, (c_void_p, ctypes.c_ulong)),
    "SSL_dane_tlsa_add": (c_int, (c_void_p, ctypes.c_uint8, ctypes.c_uint8, ctypes.c_uint8, c_char_p, c_size_t)),
    "SSL_add1_host": (c_int, (c_void_p, c_char_p)),
    "SSL_set_hostflags": (None, (c_void_p, c_uint)),
    "ERR_clear_error": (None, ()),
    "SSL_export_keying_material": (
        c_int,
        (c_void_p, c_void_p, c_size_t, c_char_p, c_size_t, c_char_p, c_size_t, c_int),
    ),
    "X509_get0_pubkey": (c_void_p, (c_void_p,)),
    "X509_verify_cert_error_string": (c_char_p, (c_long,)),
    "i2d_X509": (c_int, (c_void_p, c_void_p)),
    "EVP_PKEY_get_bits": (c_int, (c_void_p,)),
    "EVP_PKEY_get_group_name": (c_int, (c_void_p, c_void_p, c_size_t, c_void_p)),
    "OBJ_nid2sn": (c_char_p, (c_int,)),
    "EVP_sha256": (c_void_p, ()),
    "EVP_aes_256_cbc": (c_void_p, ()),
    "EVP_EncryptInit_ex": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)),
    "EVP_DecryptInit_ex": (c_int, (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)),
    "EVP_MAC_CTX_set_params": (c_int, (c_void_p, c_void_p)),
    "HMAC": (c_void_p, (c_void_p, c_void_p, c_int, c_char_p, c_size_t, c_void_p, c_void_p)),
    "RAND_bytes": (c_int, (c_void_p, c_int)),
}
"""Every function that the package calls: result, arguments (the manual pages of OpenSSL 3)."""


@cache
def library() -> Any | None:
    """The library with `_FUNCTIONS`, or None where the objects of the `ssl` module are not what they should be."""
    try:
        # The extension module's own dependencies are searched: this is the library that `ssl` uses, no other copy.
        loaded = ctypes.CDLL(_ssl.__file__)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
        if sys.implementation.name != "cpython" or loaded.OpenSSL_version_num() < OLDEST:
            return None
        return loaded if _verified(loaded) else None
    except (AttributeError, OSError, ValueError, ssl.SSLError):
        return None


def context_address(context: ssl.SSLContext) -> int:
    """The SSL_CTX of a context.  Only where `library()` is there."""
    return _pointer_at(id(context) + _HEAD)


def session_address(session: ssl.SSLObject) -> int:
    """The SSL of a session, 0 where it is not found for sure.  Only where `library()` is there."""
    inner = getattr(session, "_sslobj", None)
    if inner is None or type(inner) is not _ssl._SSLSocket:  # type: ignore[attr-defined]
        return 0
    context = inner.context
    # struct PySSLSocket: the weak reference to the socket, the SSL, the context object.
    if _pointer_at(id(inner) + _HEAD + 2 * _POINTER) != id(context):
        return 0
    return _pointer_at(id(inner) + _HEAD + _POINTER)


def _pointer_at(address: int) -> int:
    return c_void_p.from_address(address).value or 0


def _writable_ranges() -> list[tuple[int, int]]:
    ranges = []
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            span, rights = line.split()[:2]
            if rights.startswith("rw"):
                start, end = span.split("-")
                ranges.append((int(start, 16), int(end, 16)))
    return ranges


def _is_memory(address: int) -> bool:
    """Whether a block of memory may begin here (it is aligned, and this page can be read and written)."""
    return not address % _POINTER and any(start <= address < end - _POINTER for start, end in _writable_ranges())


def _verified(loaded: Any) -> bool:
    """Whether the addresses lead where they should: compared in two contexts that differ in everything looked at."""
    if ssl.SSLContext.__base__.__basicsize__ < _HEAD + _POINTER:  # type: ignore[union-attr]
        return False
    for options, mode, flags, tickets in (
        (ssl.OP_NO_TICKET, ssl.CERT_NONE, 0, 3),
        (ssl.OP_NO_COMPRESSION, ssl.CERT_REQUIRED, 3, 1),  # SSL_VERIFY_PEER and SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.options |= options
        context.verify_mode, context.num_tickets = mode, tickets
        address = context_address(context)
        if not _is_memory(address):
            return False
        seen = loaded.SSL_CTX_get_options(address), loaded.SSL_CTX_get_verify_mode(address)
        if seen != (int(context.options), flags) or loaded.SSL_CTX_get_num_tickets(address) != tickets:
            return False
        session = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
        inside = session_address(session)
        if not _is_memory(inside) or loaded.SSL_get_SSL_CTX(inside) != address:
            return False
    return True
