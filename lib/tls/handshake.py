"""What a client's handshake takes along besides its context: a session to resume, and TLSA records to be held to.

The event loops make the TLS object of a connection themselves, deep inside `start_tls`, by `wrap_bio` of the context
that they were given.  What they are given is a `Carrier`: it makes the object from the real context, and puts in what
belongs to this one handshake.  A context for DANE knows no authority: used without records, it trusts nobody.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pillarbox.lib.dns import TLSA
from pillarbox.lib.tls import native

# <openssl/ssl.h>, <openssl/x509v3.h>
DANE_FLAG_NO_DANE_EE_NAMECHECKS = 1
X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS = 4


@dataclass(slots=True)
class Plan:
    """One handshake."""

    session: ssl.SSLSession | None = None
    associations: tuple[TLSA, ...] = ()
    """Usable TLSA records of which the server must meet one; only with a context for DANE."""
    names: tuple[str, ...] = ()
    """The names of which an authority's certificate must have one, in ASCII; ".domain" is all below it."""
    held: bool = field(default=False, init=False)
    """Whether OpenSSL has been given the associations."""


class Carrier(ssl.SSLContext):
    """In the place of a context, for one handshake at a time."""

    context: ssl.SSLContext | None
    plan: Plan | None

    def __new__(cls) -> Carrier:
        """A context of its own, of which nothing is used."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """A TLS object of the real context, with what the plan says."""
        context, plan = self.context, self.plan
        if context is None or plan is None:
            raise ValueError("a handshake that nobody has planned")
        if plan.session is not None:
            named["session"] = plan.session
        session = context.wrap_bio(*arguments, **named)
        if plan.associations:
            plan.held = _hold(session, plan)
        return session


_idle: list[Carrier] = []
"""Carriers that are not in use: making one takes as long as a tenth of a handshake.  Never more than were in use at
once."""


@contextmanager
def planned(context: ssl.SSLContext, plan: Plan) -> Iterator[Carrier]:
    """What to give to an event loop in place of `context`, for one handshake, which begins and ends inside."""
    carrier = _idle.pop() if _idle else Carrier()
    carrier.context, carrier.plan = context, plan
    yield carrier
    # One whose handshake was broken off is not used again: the loop may still come to it.
    carrier.context = carrier.plan = None
    _idle.append(carrier)


def engine() -> Any | None:
    """OpenSSL's functions for DANE, None where they cannot be reached."""
    return native.library()


def enable_dane(context: ssl.SSLContext) -> bool:
    """Make a context one for DANE: whoever is not named by TLSA records is not trusted.

    False where OpenSSL cannot be told; the context then takes everybody, and the caller has to look (`association`).
    """
    context.check_hostname = False
    library = engine()
    if library is None or library.SSL_CTX_dane_enable(native.context_address(context)) <= 0:
        context.verify_mode = ssl.CERT_NONE
        return False
    context.verify_mode = ssl.CERT_REQUIRED
    return True


def _hold(session: ssl.SSLObject, plan: Plan) -> bool:
    library = engine()
    address = native.session_address(session) if library is not None else 0
    if library is None or not address or not plan.names:  # without a name OpenSSL would compare none
        return False
    try:
        if library.SSL_dane_enable(address, None) <= 0:
            return False
        library.SSL_dane_set_flags(address, DANE_FLAG_NO_DANE_EE_NAMECHECKS)
        library.SSL_set_hostflags(address, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
        for name in plan.names:
            if library.SSL_add1_host(address, name.encode("ascii")) != 1:
                return False
        added = 0
        for record in plan.associations:
            added += (
                library.SSL_dane_tlsa_add(
                    address, record.usage, record.selector, record.matching, record.data, len(record.data)
                )
                > 0
            )
        return added > 0
    finally:
        library.ERR_clear_error()  # what is left there would be taken for the next operation's


def peer_chain(session: ssl.SSLObject) -> list[bytes]:
    """The certificates that the server has sent, its own first, in DER."""
    get = getattr(session, "get_unverified_chain", None)
    if get is not None:  # from Python 3.13
        return [bytes(certificate) for certificate in get() or ()]
    inner = getattr(session, "_sslobj", None)
    get = getattr(inner, "get_unverified_chain", None)
    if get is not None:
        return [certificate.public_bytes(2) for certificate in get() or ()]  # 2: DER (_ssl.ENCODING_DER)
    own = session.getpeercert(binary_form=True)
    return [own] if own else []
