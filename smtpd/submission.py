"""What a session's client is believed and granted as a submitter: the AUTH= of MAIL, and the mending of its header."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import smtpd_auth
from pillarbox.lib.config.parameters.smtpd_access import RELAY_CLIENTCERTS
from pillarbox.lib.smtp.events import Mail
from pillarbox.lib.smtp.networks import Networks

if TYPE_CHECKING:
    from pillarbox.smtpd.session import Session


def _permit_inet_interfaces(session: Session) -> bool:
    address = session.client.address
    return address == session.local_address or address.startswith("127.") or address == "::1"


def _permit_mynetworks(session: Session) -> bool:
    return session.trusted


def _permit_sasl_authenticated(session: Session) -> bool:
    return bool(session.sasl_username)


def _permit_tls_all_clientcerts(session: Session) -> bool:
    return session.ccert_trusted


_REWRITE: Final[dict[str, Callable[[Session], bool]]] = {
    "permit_inet_interfaces": _permit_inet_interfaces,
    "permit_mynetworks": _permit_mynetworks,
    "permit_sasl_authenticated": _permit_sasl_authenticated,
    "permit_tls_all_clientcerts": _permit_tls_all_clientcerts,
}


Questions: TypeAlias = "list[tuple[tuple[str, ...], tuple[str, ...]]]"
"""Tables, and keys of which one may be in them."""


@dataclass(frozen=True, slots=True)
class Submission:
    """The settings of a service."""

    trusted: Networks
    """Who is believed about AUTH=."""
    mends: bool
    rewrites: tuple[Callable[[Session], bool], ...]
    address_tables: tuple[str, ...] = ()
    """Tables of clients' addresses whose headers are rewritten."""
    certificate_tables: tuple[str, ...] = ()
    """The same, of fingerprints of their certificates."""

    @classmethod
    def configured(cls, config: Config) -> Submission:
        """As the parameters say."""
        trusted = config[smtpd_auth.SMTPD_TRUSTED_AUTH_CLIENTS]
        clients = config[smtpd_auth.LOCAL_HEADER_REWRITE_CLIENTS]
        return cls(
            Networks(trusted),
            config[smtpd_auth.SUBMISSION_HEADER_FIXUPS],
            tuple(_REWRITE[name] for name in clients if name in _REWRITE),
            tuple(name for name in clients if ":" in name),
            config[RELAY_CLIENTCERTS] if "permit_tls_clientcerts" in clients else (),
        )

    def asserted_sender(self, session: Session, mail: Mail) -> str:
        """Who submitted the message, by the word of a client that is believed (RFC 4954 section 5); "" for none.

        The word of any other client counts as AUTH=<>.
        """
        return mail.auth if mail.auth and session.client.address in self.trusted else ""

    def questions(self, session: Session) -> Questions:
        """Tables and keys that must be asked whether the header is rewritten; mostly none."""
        if not (self.address_tables or self.certificate_tables) or self._rewrites(session):
            return []
        prints = tuple(one for one in (session.ccert_fingerprint, session.ccert_pubkey_fingerprint) if one)
        pairs = ((self.address_tables, (session.client.address,)), (self.certificate_tables, prints))
        return [(tables, keys) for tables, keys in pairs if tables and keys]

    def _rewrites(self, session: Session) -> bool:
        return (self.mends and bool(session.sasl_username)) or any(permits(session) for permits in self.rewrites)

    def attributes(self, session: Session, sasl_sender: str, *, listed: bool = False) -> dict[str, str]:
        """What cleanup is told by attributes of the envelope; `listed`: a table had one of the keys."""
        told: dict[str, str] = {}
        if sasl_sender:
            told["sasl_sender"] = sasl_sender
        mends = self.mends and bool(session.sasl_username)
        if mends:
            told |= {"submission": "yes", "complete_header": "yes"}
        if listed or self._rewrites(session):
            told["rewrite"] = "local"
        return told
