"""What CAPABILITY lists (RFC 9051 section 7.2.2): only what works.

Each module of `imapd.commands`, `imapd.fetch` and `imapd.search` says in CAPABILITIES what it brings; they are gathered
here.  An entry is the capability itself, or a function of the configuration that gives it (empty: not announced).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Final, TypeAlias

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import IMAP_LITERAL_MINUS

Capability: TypeAlias = "str | Callable[[Config], str]"


def literals(config: Config) -> str:
    """LITERAL+, which includes LITERAL- and does not stand beside it (RFC 7888 section 5)."""
    return "LITERAL-" if config[IMAP_LITERAL_MINUS] else "LITERAL+"


PROTOCOL: Final[tuple[Capability, ...]] = ("IMAP4rev1", "IMAP4rev2", "SASL-IR", literals, "LOGIN-REFERRALS")
"""What no command brings; they come first."""

BEFORE_LOGIN: Final[tuple[Capability, ...]] = (*PROTOCOL[:-1], "ID", "ENABLE", "IDLE", "LOGIN-REFERRALS")
"""As Dovecot does: a client learns early what the session will have."""

_gathered: Final[list[Capability]] = []


def gather(modules: Iterable[ModuleType]) -> None:
    """Take the CAPABILITIES of these modules in; `imapd.commands` does so when it is loaded."""
    for module in modules:
        _gathered.extend(vars(module).get("CAPABILITIES", ()))


def session_capabilities(config: Config) -> str:
    """The capabilities of a session, as in the response: those of the protocol, then by name."""
    fixed = [_word(entry, config) for entry in PROTOCOL]
    others = {_word(entry, config) for entry in _gathered}
    return " ".join([*filter(None, fixed), *sorted(others - {*fixed, ""})])


def _word(entry: Capability, config: Config) -> str:
    return entry if isinstance(entry, str) else entry(config)


def login_capabilities(config: Config, *, tls_offered: bool, mechanisms: tuple[str, ...]) -> str:
    """The capabilities before login; LOGINDISABLED where no password may be sent (RFC 3501 section 6.2.3)."""
    words = [_word(entry, config) for entry in BEFORE_LOGIN]
    if tls_offered:
        words.append("STARTTLS")
    words += [f"AUTH={name.upper()}" for name in mechanisms]
    if "PLAIN" not in mechanisms and "LOGIN" not in mechanisms:
        words.append("LOGINDISABLED")
    return " ".join(words)
