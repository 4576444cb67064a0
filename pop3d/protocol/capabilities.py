"""What CAPA lists (RFC 2449 section 6); only what works in the state it is asked in, and all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.pop3d import POP3_EXPIRE, POP3_LOGIN_DELAY

_ALWAYS = ["CAPA", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8 USER", "LANG"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the site allows: seconds between two logins (0: any), days that messages stay (None: for ever)."""

    login_delay: int = 0
    expire: int | None = None


USUAL = Terms()


def capabilities(
    terms: Terms = USUAL, *, mechanisms: tuple[str, ...] = (), user: bool = False, stls: bool = False
) -> list[str]:
    """The capability lines; the arguments with names are those that exist before login only."""
    lines = [*_ALWAYS, f"EXPIRE {'NEVER' if terms.expire is None else terms.expire}"]
    if terms.login_delay:
        lines.append(f"LOGIN-DELAY {terms.login_delay}")
    if stls:
        lines.append("STLS")
    if user:
        lines.append("USER")
    if mechanisms:
        lines.append("SASL " + " ".join(mechanisms))
    lines.append("IMPLEMENTATION Pillarbox")
    return lines


def terms_of(config: Config) -> Terms:
    """As configured; a fraction of a second counts as a whole one."""
    return Terms(math.ceil(config[POP3_LOGIN_DELAY]), config[POP3_EXPIRE])
