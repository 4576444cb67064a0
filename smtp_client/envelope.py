"""The envelope of a request as commands for one server, with what that server offers taken into account.

What can't be sent to it is a `Misfit`: of the whole message, or of single recipients.

8-bit content to a server without 8BITMIME is sent as it is: practically every server passes it on, and a
conversion would break signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox.lib.delivery import DeliveryRecipient, DeliveryRequest, Result
from pillarbox.lib.smtp.client_capabilities import Capabilities
from pillarbox.lib.smtp.client_command import BadAddress, ascii_address, mail_from, rcpt_to
from pillarbox.smtp_client.results import local_failure
from pillarbox.smtp_client.route import Server


class Misfit(Exception):
    """The message can't go to this server."""

    def __init__(self, dsn: str, text: str) -> None:
        super().__init__(text)
        self.dsn = dsn
        self.text = text


@dataclass(frozen=True, slots=True)
class Prepared:
    """Commands, the recipients that they are for, and the verdicts over those that have none."""

    mail: bytes
    commands: list[bytes]
    recipients: list[DeliveryRecipient]
    misfits: list[tuple[DeliveryRecipient, Result]]


def prepare(
    request: DeliveryRequest, recipients: Sequence[DeliveryRecipient], capabilities: Capabilities, server: Server
) -> Prepared:
    """Raises Misfit, also where no recipient is left."""
    size = request.content.size
    limit = capabilities.size_limit
    if limit and size > limit:
        raise Misfit("5.3.4", f"message size {size} exceeds size limit {limit} of server {server.name}")
    if request.body == "binarymime":
        raise Misfit("5.6.3", f"BINARYMIME is required, but can't be sent to host {server.name}")
    if request.requiretls:
        raise Misfit("5.7.30", f"REQUIRETLS is required, but is not supported for host {server.name}")
    offered = "SMTPUTF8" in capabilities
    utf8 = request.smtputf8 and offered
    sender: str | None = request.sender
    if not offered and (not request.sender.isascii() or request.smtputf8):
        sender = ascii_address(request.sender)
        if sender is None or (request.smtputf8 and not request.content.header().isascii()):
            raise _utf8_misfit(server)
    utf8 = utf8 or (offered and not all(address.isascii() for address in _addresses(request, recipients)))
    commands: list[bytes] = []
    taken: list[DeliveryRecipient] = []
    misfits: list[tuple[DeliveryRecipient, Result]] = []
    for recipient in recipients:
        address = recipient.address if utf8 else ascii_address(recipient.address)
        if address is None:
            misfit = _utf8_misfit(server)
            misfits.append((recipient, local_failure(recipient.n, misfit.dsn, misfit.text, server)))
            continue
        try:
            command = rcpt_to(address, capabilities, notify=recipient.notify, orcpt=_orcpt(recipient))
        except BadAddress as error:
            misfits.append((recipient, local_failure(recipient.n, "5.1.3", f"bad recipient address: {error}", server)))
            continue
        commands.append(command)
        taken.append(recipient)
    if not taken:
        first = misfits[0][1]
        raise Misfit(first.dsn, first.text)
    try:
        mail = mail_from(
            sender or "",
            capabilities,
            size=size,
            body=request.body,
            smtputf8=utf8,
            ret=request.ret,
            envid=request.envid,
        )
    except BadAddress as error:
        raise Misfit("5.1.7", f"bad sender address: {error}") from None
    return Prepared(mail, commands, taken, misfits)


def _addresses(request: DeliveryRequest, recipients: Sequence[DeliveryRecipient]) -> list[str]:
    return [request.sender, *(recipient.address for recipient in recipients)]


def _orcpt(recipient: DeliveryRecipient) -> str:
    """The original recipient that the next system is told (RFC 3461 section 5.2.1 lets us add one)."""
    if recipient.orcpt:
        return recipient.orcpt
    return f"rfc822;{recipient.original or recipient.address}"


def _utf8_misfit(server: Server) -> Misfit:
    return Misfit("5.6.7", f"SMTPUTF8 is required, but was not offered by host {server.name}")
