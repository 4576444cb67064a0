"""What the commands of URLAUTH share (RFC 4467): the mechanism INTERNAL, and who may use a URL.

A token is `01` (the way in which it is made, section 2.4.1) and the HMAC-SHA-256 of the URL up to its access
identifier, as it came, octet for octet; its key is that of the URL's user to the mailbox (`lib.store.url_keys`).
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.urls import Authorization, MessageUrl
from pillarbox.imapd.session.context import Session
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import IMAP_URLAUTH_HOST, IMAP_URLAUTH_SUBMIT_USER
from pillarbox.lib.store.url_keys import SIZE, Key

MECHANISM: Final = "INTERNAL"
CODE: Final = f"URLMECH {MECHANISM}"
"""The response code that tells of the mechanisms (section 8)."""
_VERSION: Final = b"\x01"
_ANY_HOST: Final = "*"


def _capability(config: Config) -> str:
    return "URLAUTH" if config[IMAP_URLAUTH_HOST] else ""


def _binary_capability(config: Config) -> str:
    return "URLAUTH=BINARY" if config[IMAP_URLAUTH_HOST] else ""


CAPABILITIES: Final = (_capability, _binary_capability)


def must_be_on(session: Session) -> None:
    """Raises BadSyntax where the administrator wants none of this."""
    if not session.config[IMAP_URLAUTH_HOST]:
        raise BadSyntax("Unknown command.")


def mechanisms_line(config: Config) -> bytes:
    """What SELECT and EXAMINE say (section 8); nothing where it is off."""
    return response.status(b"*", b"OK", "Mechanisms of URLAUTH.", CODE) if config[IMAP_URLAUTH_HOST] else b""


def make_token(key: bytes, rump: bytes) -> bytes:
    """The token for a URL that ends with its access identifier (section 5)."""
    return _VERSION + hmac.digest(key, rump, "sha256")


def is_authorized(key: Key | None, authorization: Authorization) -> bool:
    """Whether the token is one made with this key; as much work where there is no key (section 6)."""
    expected = make_token(secrets.token_bytes(SIZE) if key is None else key.secret, authorization.rump)
    return hmac.compare_digest(expected, authorization.token) and key is not None


def same_user(name: str, other: str) -> bool:
    """Whether two names are of one user: addresses of accounts have no case, system users have."""
    return name == other or ("@" in name and name.lower() == other.lower())


def is_of_this_server(config: Config, url: MessageUrl) -> bool:
    """Whether the URL calls this server as it is to be called."""
    wanted = config[IMAP_URLAUTH_HOST]
    host = (url.host or "").removesuffix(":143").lower()
    return bool(host) and wanted in (_ANY_HOST, host)


def may_use(session: Session, authorization: Authorization) -> bool:
    """Whether the access identifier means this session (section 3)."""
    match authorization.kind:
        case "submit":
            return any(same_user(name, session.username) for name in session.config[IMAP_URLAUTH_SUBMIT_USER])
        case "user":
            return same_user(authorization.userid, session.username)
        case _:  # authuser, anonymous: there are no anonymous sessions
            return True
