"""The envelope of a request as commands for one server, with what that server offers taken into account.

What can't be sent to it is a `Misfit`: of the whole message, or of single recipients.  Recipients beyond the server's
limits (RFC 9422) are left for another message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pillarbox.lib.address.address import split_address, unquote_local
from pillarbox.lib.delivery import DeliveryRecipient, DeliveryRequest, Result
from pillarbox.lib.smtp.client_capabilities import NO_LIMITS
from pillarbox.lib.smtp.client_command import BadAddress, ascii_address, mail_from, rcpt_to
from pillarbox.smtp_client.body import Body, fit_body, needs_utf8, plain_body
from pillarbox.smtp_client.connection import Connection
from pillarbox.smtp_client.deadline import by_parameter
from pillarbox.smtp_client.misfit import Misfit
from pillarbox.smtp_client.origin import origin_commands
from pillarbox.smtp_client.outgoing import Told
from pillarbox.smtp_client.protection import check_requiretls
from pillarbox.smtp_client.results import local_failure
from pillarbox.smtp_client.route import Server
from pillarbox.smtp_client.settings import Settings


@dataclass(frozen=True, slots=True)
class Prepared:
    """Commands, the recipients that they are for, the verdicts over those that have none, and those that have to wait.

    `body` is what is sent; `before` are the commands before MAIL.
    """

    mail: bytes
    commands: list[bytes]
    recipients: list[DeliveryRecipient]
    misfits: list[tuple[DeliveryRecipient, Result]]
    left: list[DeliveryRecipient]
    body: Body
    before: list[bytes]


async def prepare(
    request: DeliveryRequest,
    recipients: Sequence[DeliveryRecipient],
    connection: Connection,
    settings: Settings,
    told: Told | None = None,
) -> Prepared:
    """`told`: what servers are told of sender and recipients, where that is not what the request says.

    Raises Misfit, also where no recipient is left; OSError or EOFError where the content can't be read.
    """
    others: list[DeliveryRecipient] = []
    if told is not None:
        # One message has one sender: those who are to see another one get the next.
        request = replace(request, sender=told.sender_for(recipients[0]))
        others = [one for one in recipients if told.sender_for(one) != request.sender]
        recipients = [one for one in recipients if told.sender_for(one) == request.sender]
    capabilities, server = connection.client.capabilities, connection.server
    requiretls = request.requiretls and check_requiretls(
        request, capabilities, server, settings, encrypted=bool(connection.tls)
    )
    size = request.content.size
    limit = capabilities.size_limit
    if limit and size > limit:
        raise _too_large(size, limit, server)
    by = by_parameter(request, capabilities, server, settings) if request.deliver_by else ""
    offered = "SMTPUTF8" in capabilities
    utf8 = request.smtputf8 and offered
    sender: str | None = request.sender if settings.quote_envelope else _unquoted(request.sender)
    if not offered and (request.smtputf8 or not request.sender.isascii()):
        sender = ascii_address(request.sender)
        if sender is None or (request.smtputf8 and await needs_utf8(request.content)):
            raise _utf8_misfit(server)
    if offered and not utf8:
        utf8 = not (request.sender.isascii() and all(_address(one, told).isascii() for one in recipients))
    chosen, left = _within_limits(recipients, connection) if capabilities.limits is not NO_LIMITS else (recipients, [])
    left = [*left, *others]
    commands: list[bytes] = []
    taken: list[DeliveryRecipient] = []
    misfits: list[tuple[DeliveryRecipient, Result]] = []
    for recipient in chosen:
        address: str | None = _address(recipient, told)
        if not utf8:
            address = ascii_address(address or "")
        if address is not None and not settings.quote_envelope:
            address = _unquoted(address)
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
    if not taken and not left:
        first = misfits[0][1]
        raise Misfit(first.dsn, first.text)
    body = plain_body(request, eight_bit="8BITMIME" in capabilities)
    if body is None:
        body = await fit_body(request, capabilities, server, settings)
    if limit and body.content.size > limit:
        raise _too_large(body.content.size, limit, server)
    try:
        mail = mail_from(
            sender or "",
            capabilities,
            size=body.content.size,
            body=body.declared,
            smtputf8=utf8,
            ret=request.ret,
            envid=request.envid,
            requiretls=requiretls,
            by=by,
            authenticated=connection.login is not None,
        )
    except BadAddress as error:
        raise Misfit("5.1.7", f"bad sender address: {error}") from None
    before = origin_commands(request, capabilities) if settings.send_xforward else []
    return Prepared(mail, commands, taken, misfits, left, body, before)


def _address(recipient: DeliveryRecipient, told: Told | None) -> str:
    return recipient.address if told is None else told.address(recipient)


def _unquoted(address: str) -> str:
    local, domain = split_address(address)
    return f"{unquote_local(local)}@{domain}" if local.startswith('"') else address


def _within_limits(
    recipients: Sequence[DeliveryRecipient], connection: Connection
) -> tuple[list[DeliveryRecipient], list[DeliveryRecipient]]:
    """Those that the server takes with one message, in this session, and the others (RFC 9422 section 4)."""
    limits = connection.client.capabilities.limits
    chosen: list[DeliveryRecipient] = []
    left: list[DeliveryRecipient] = []
    for recipient in recipients:
        domain = recipient.address.rpartition("@")[2].lower()
        known = domain in connection.domains
        if (limits.recipients and len(chosen) >= limits.recipients) or (
            limits.domains and not known and len(connection.domains) >= limits.domains
        ):
            left.append(recipient)
            continue
        chosen.append(recipient)
        connection.domains.add(domain)
    return chosen, left


def _orcpt(recipient: DeliveryRecipient) -> str:
    """The original recipient that the next system is told (RFC 3461 section 5.2.1 lets us add one)."""
    if recipient.orcpt:
        return recipient.orcpt
    return f"rfc822;{recipient.original or recipient.address}"


def _too_large(size: int, limit: int, server: Server) -> Misfit:
    return Misfit("5.3.4", f"message size {size} exceeds size limit {limit} of server {server.name}")


def _utf8_misfit(server: Server) -> Misfit:
    return Misfit("5.6.7", f"SMTPUTF8 is required, but was not offered by host {server.name}")
