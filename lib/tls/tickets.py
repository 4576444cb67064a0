"""Session tickets that all processes of one service accept, and no other service does.

RFC 5077, RFC 8446 section 4.6.1.

A client that comes again resumes its session, whichever process of the service it meets; full handshakes are most of
what TLS costs.  Master makes a `TicketKeys` per service; a fork hands it on, and the child wipes those of all other
services (`TicketKeys.wipe`) before it does anything else.

    secret of a period -> ticket key of that period        (HMAC-SHA-256, as HKDF-Expand of RFC 5869)
                       -> secret of the next period        the secret and the old key are overwritten

Every process goes from one period to the next by the same clock, so that all have the same keys without a word to each
other, and none has those of the past: who breaks into a process can read no session that was resumed before the last
period.  Tickets of the last period are still taken, and renewed.  A reload, and a new certificate, change nothing of
this; a start of the suite does.

The `ssl` module has no way to set ticket keys.  They go in by a callback of the library behind it (see `native`), after
the address of the context has been proved by writing keys and reading them back.  Where that cannot be done, each
process has tickets of its own, as OpenSSL makes them, and a line in the log says so.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from pillarbox.lib.log import log
from pillarbox.lib.tls import native

SECRET_SIZE = 32
NAME_SIZE, MAC_SIZE, CIPHER_SIZE, IV_SIZE = 16, 32, 32, 16
KEY_SIZE = NAME_SIZE + MAC_SIZE + CIPHER_SIZE

# <openssl/tls1.h>, <openssl/ssl.h>
SSL_CTRL_SET_SESS_CACHE_MODE = 44
SSL_CTRL_GET_TLSEXT_TICKET_KEYS = 58
SSL_CTRL_SET_TLSEXT_TICKET_KEYS = 59
SSL_SESS_CACHE_SERVER_WITHOUT_MEMORY = 0x0002 | 0x0300

# <openssl/core.h>
OSSL_PARAM_UTF8_STRING, OSSL_PARAM_OCTET_STRING = 4, 5

# What the callback answers (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
ERROR, UNKNOWN, GOOD, RENEW = -1, 0, 1, 2

_LONGEST_SLEEP = 100_000
"""Periods: what a clock can have advanced at most; more is a broken clock."""


class TicketKeys:
    """The keys of one service: of this period and the last one.  Memory that holds a secret is overwritten in place."""

    def __init__(self, service: str, lifetime: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`lifetime` is a period's length in seconds: so old a ticket gets.  `clock` is the same in all processes."""
        self.service = service
        self.lifetime = lifetime
        self._clock = clock
        self._secret = bytearray(SECRET_SIZE)
        with open("/dev/urandom", "rb", buffering=0) as source:
            source.readinto(self._secret)  # straight into the memory that is wiped later
        self.current = bytearray(KEY_SIZE)
        self.last = bytearray(KEY_SIZE)
        self._period = self._period_now()
        self._derive(self.current)
        self._has_last = False

    def _period_now(self) -> int:
        return int(self._clock() // self.lifetime)

    def advance(self) -> None:
        """Go on to the period that the clock says; cheap where it has not changed.  The clock going back is ignored."""
        now = self._period_now()
        if now <= self._period:
            return
        for _ in range(min(now - self._period, _LONGEST_SLEEP)):
            self.last[:] = self.current
            self._next_secret()
            self._derive(self.current)
        # Nothing was issued with keys that were passed over, so it does no harm that the last one is among them.
        self._has_last = True
        self._period = now

    def wipe(self) -> None:
        """Overwrite every secret; the object is of no use then."""
        for memory in (self._secret, self.current, self.last):
            memory[:] = bytes(len(memory))

    def key_named(self, name: bytes) -> tuple[bytearray, bool] | None:
        """The key with this name, and whether it is the last period's."""
        if name == self.current[:NAME_SIZE]:
            return self.current, False
        if self._has_last and name == self.last[:NAME_SIZE]:
            return self.last, True
        return None

    def _derive(self, key: bytearray) -> None:
        for info, start, size in (
            (b"name", 0, NAME_SIZE),
            (b"mac", NAME_SIZE, MAC_SIZE),
            (b"cipher", NAME_SIZE + MAC_SIZE, CIPHER_SIZE),
        ):
            self._expand(info, key, start, size)

    def _next_secret(self) -> None:
        following = bytearray(SECRET_SIZE)
        self._expand(b"next", following, 0, SECRET_SIZE)
        self._secret[:] = following
        following[:] = bytes(SECRET_SIZE)

    def _expand(self, info: bytes, into: bytearray, start: int, size: int) -> None:
        """One block of HKDF-Expand (RFC 5869 section 2.3) with the secret as its key."""
        data = b"pillarbox ticket " + info + b"\0" + self.service.encode() + b"\x01"
        block = (ctypes.c_char * 32)()
        secret = (ctypes.c_char * SECRET_SIZE).from_buffer(self._secret)
        library = native.library()
        if library is None or not library.HMAC(library.EVP_sha256(), secret, SECRET_SIZE, data, len(data), block, None):
            raise RuntimeError("no HMAC")  # `ticket_keys` has made sure that there is one
        target = (ctypes.c_char * size).from_buffer(into, start)
        ctypes.memmove(target, block, size)
        ctypes.memset(block, 0, 32)


def ticket_keys(service: str, lifetime: float) -> TicketKeys | None:
    """New keys for a service; None without tickets (`lifetime` 0), or where processes cannot share them."""
    if not lifetime:
        return None
    if native.library() is None:
        _tell_once()
        return None
    return TicketKeys(service, lifetime)


def _tell_once() -> None:
    if not _told:
        _told.append("")
        log.warning("TLS session tickets are not shared by the processes of a service: this ssl module cannot be told")


_told: list[str] = []
_kept: list[Any] = []
"""Callbacks that contexts hold; they must live as long."""


def share_tickets(contexts: Sequence[ssl.SSLContext], keys: TicketKeys, *, identity: str) -> None:
    """Give the contexts of one service (the default one and those of single names) its ticket keys.

    `identity` is what must be the same for a session to be resumed: the service, and what it demands of clients.
    """
    library = native.library()
    if library is None or not all(_proved(library, context, keys) for context in contexts):
        _tell_once()
        return
    sessions = hashlib.sha256(identity.encode()).digest()
    callback = native.TICKET_CALLBACK(_Tickets(library, keys).answer)
    _kept.append(callback)
    for context in contexts:
        address = native.context_address(context)
        library.SSL_CTX_set_session_id_context(address, sessions, len(sessions))
        library.SSL_CTX_set_timeout(address, int(keys.lifetime))
        # Sessions without tickets are not kept: another process could not resume them, and they take memory.
        library.SSL_CTX_ctrl(address, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_SERVER_WITHOUT_MEMORY, None)
        library.SSL_CTX_set_tlsext_ticket_key_evp_cb(address, callback)


def _proved(library: Any, context: ssl.SSLContext, keys: TicketKeys) -> bool:
    """Write this period's key into a context and read it back."""
    address = native.context_address(context)
    given = (ctypes.c_char * KEY_SIZE).from_buffer(keys.current)
    if library.SSL_CTX_ctrl(address, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, KEY_SIZE, given) != 1:
        return False
    read = bytearray(KEY_SIZE)
    there = (ctypes.c_char * KEY_SIZE).from_buffer(read)
    done = library.SSL_CTX_ctrl(address, SSL_CTRL_GET_TLSEXT_TICKET_KEYS, KEY_SIZE, there)
    good = done == 1 and hmac.compare_digest(read, keys.current)
    read[:] = bytes(KEY_SIZE)
    return good


class _Parameter(ctypes.Structure):
    """OSSL_PARAM(3)."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("data_type", ctypes.c_uint),
        ("data", ctypes.c_void_p),
        ("data_size", ctypes.c_size_t),
        ("return_size", ctypes.c_size_t),
    )


class _Tickets:
    """What the library calls for each ticket that it makes or is shown."""

    def __init__(self, library: Any, keys: TicketKeys) -> None:
        self._library = library
        self._keys = keys
        self._cipher = library.EVP_aes_256_cbc()
        self._digest = ctypes.create_string_buffer(b"SHA256")
        self._parameters = (_Parameter * 3)()
        self._parameters[1] = _Parameter(
            b"digest", OSSL_PARAM_UTF8_STRING, ctypes.addressof(self._digest), len(b"SHA256"), 0
        )

    def answer(self, _session: int, name: int, iv: int, cipher: int, mac: int, encrypting: int) -> int:
        """See SSL_CTX_set_tlsext_ticket_key_evp_cb(3).  Without a ticket there is a full handshake: no harm done."""
        library, keys = self._library, self._keys
        keys.advance()
        if encrypting:
            key, renew = keys.current, False
            if library.RAND_bytes(iv, IV_SIZE) != 1:
                return ERROR
            ctypes.memmove(name, _address(key), NAME_SIZE)
            begin = library.EVP_EncryptInit_ex
        else:
            found = keys.key_named(ctypes.string_at(name, NAME_SIZE))
            if found is None:
                return UNKNOWN
            key, renew = found
            begin = library.EVP_DecryptInit_ex
        self._parameters[0] = _Parameter(b"key", OSSL_PARAM_OCTET_STRING, _address(key) + NAME_SIZE, MAC_SIZE, 0)
        if library.EVP_MAC_CTX_set_params(mac, self._parameters) != 1:
            return ERROR
        if begin(cipher, self._cipher, None, _address(key) + NAME_SIZE + MAC_SIZE, iv) != 1:
            return ERROR
        return RENEW if renew else GOOD


def _address(memory: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
