"""What XFORWARD says about the next message's first client: for the log, and for the envelope's client attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

from pillarbox.lib.dns import UNKNOWN
from pillarbox.lib.smtp.client_attributes import known
from pillarbox.lib.smtp.replies import printable

if TYPE_CHECKING:
    from pillarbox.smtpd.session import Session


class ClientFields(TypedDict):
    """The envelope's fields about a client."""

    client_name: str
    client_address: str
    client_port: str
    client_helo: str
    protocol: str


def client_fields(session: Session, protocol: str) -> ClientFields:
    """Of the client itself, or of the one that XFORWARD names; what that one does not name is not known."""
    forwarded = session.core.transaction.forwarded
    if not forwarded:
        client = session.client
        return ClientFields(
            client_name=client.name,
            client_address=client.address,
            client_port=str(client.port),
            client_helo=session.core.helo_name,
            protocol=protocol,
        )
    return ClientFields(
        client_name=known(forwarded, "NAME") or UNKNOWN,
        client_address=known(forwarded, "ADDR") or UNKNOWN,
        client_port=known(forwarded, "PORT"),
        client_helo=known(forwarded, "HELO"),
        protocol=known(forwarded, "PROTO"),
    )


def forwarded_text(forwarded: Mapping[str, str]) -> str:
    """`, orig_queue_id=ID, orig_client=NAME[ADDRESS]` behind client= in the log."""
    text = ""
    if identity := known(forwarded, "IDENT"):
        text += f", orig_queue_id={printable(identity)}"
    if "NAME" in forwarded or "ADDR" in forwarded:
        text += f", orig_client={known(forwarded, 'NAME') or UNKNOWN}[{known(forwarded, 'ADDR') or UNKNOWN}]"
    return text
