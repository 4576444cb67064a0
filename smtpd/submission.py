"""What a session's client is believed and granted as a submitter: the AUTH= of MAIL, and the mending of its header."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters import smtpd_auth
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


_REWRITE: Final[dict[str, Callable[[Session], bool]]] = {
    "permit_inet_interfaces": _permit_inet_interfaces,
    "permit_mynetworks": _permit_mynetworks,
    "permit_sasl_authenticated": _permit_sasl_authenticated,
}


@dataclass(frozen=True, slots=True)
class Submission:
    """The settings of a service."""

    trusted: Networks
    """Who is believed about AUTH=."""
    mends: bool
    rewrites: tuple[Callable[[Session], bool], ...]

    @classmethod
    def configured(cls, config: Config) -> Submission:
        """As the parameters say."""
        trusted = config[smtpd_auth.SMTPD_TRUSTED_AUTH_CLIENTS]
        clients = config[smtpd_auth.LOCAL_HEADER_REWRITE_CLIENTS]
        return cls(
            Networks(trusted), config[smtpd_auth.SUBMISSION_HEADER_FIXUPS], tuple(_REWRITE[name] for name in clients)
        )

    def asserted_sender(self, session: Session, mail: Mail) -> str:
        """Who submitted the message, by the word of a client that is believed (RFC 4954 section 5); "" for none.

        The word of any other client counts as AUTH=<>.
        """
        return mail.auth if mail.auth and session.client.address in self.trusted else ""

    def attributes(self, session: Session, sasl_sender: str) -> dict[str, str]:
        """What cleanup is told by attributes of the envelope."""
        told: dict[str, str] = {}
        if sasl_sender:
            told["sasl_sender"] = sasl_sender
        mends = self.mends and bool(session.sasl_username)
        if mends:
            told |= {"submission": "yes", "complete_header": "yes"}
        if mends or any(permits(session) for permits in self.rewrites):
            told["rewrite"] = "local"
        return told
