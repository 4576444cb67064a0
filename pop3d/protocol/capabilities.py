"""What CAPA lists (RFC 2449 section 6); only what works in the state it is asked in, and all of it."""

from __future__ import annotations

_ALWAYS = ["CAPA", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER"]


def capabilities(*, mechanisms: tuple[str, ...] = (), user: bool = False, stls: bool = False) -> list[str]:
    """The capability lines; the arguments are those that exist before login only."""
    lines = list(_ALWAYS)
    if stls:
        lines.append("STLS")
    if user:
        lines.append("USER")
    if mechanisms:
        lines.append("SASL " + " ".join(mechanisms))
    lines.append("IMPLEMENTATION Pillarbox")
    return lines
