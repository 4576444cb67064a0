"""Delivering messages to the command of a pipe service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pillarbox.lib.address import Address, AddressSyntaxError, parse_mailbox, split_extension
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.local import EXPORT_ENVIRONMENT
from pillarbox.lib.config.parameters.pipe import PIPE_TIME_LIMIT
from pillarbox.lib.delivery import (
    BOUNCED,
    DEFERRED,
    SENT,
    DeliveryRecipient,
    DeliveryRequest,
    Result,
    log_result,
    text_content,
)
from pillarbox.lib.delivery.command import PATH, run_command
from pillarbox.lib.delivery.delivered import delivered_to, has_visited
from pillarbox.lib.delivery.result import RELAYED
from pillarbox.lib.store.failure import DeliveryFailure
from pillarbox.lib.store.mbox.quoting import from_line
from pillarbox.pipe.command import PipeCommand, UnsafeAddress
from pillarbox.pipe.content import pipe_content

Outcome = tuple[DeliveryRequest, list[Result], str]
_ATTRIBUTES: Final = {
    "client_address": "client_address",
    "client_helo": "client_helo",
    "client_hostname": "client_name",
    "client_port": "client_port",
    "client_protocol": "protocol",
    "sasl_method": "sasl_method",
    "sasl_sender": "sasl_sender",
    "sasl_username": "sasl_username",
}


class PipeDelivery:
    """The agent's work; one per process, which already runs as the command's user."""

    def __init__(self, config: Config, service: str, command: PipeCommand, alive: Callable[[], None]) -> None:
        self._config = config
        self._service = service
        self._command = command
        self._alive = alive
        self._delimiters = config[RECIPIENT_DELIMITER]
        exported = (entry.partition("=") for entry in config[EXPORT_ENVIRONMENT])
        self._environment = {name: value for name, equals, value in exported if equals} | {"PATH": PATH}

    def deliver(self, batch: Sequence[DeliveryRequest]) -> Iterator[Outcome]:
        """Deliver; yields each request with a result for each of its recipients, logged."""
        for request in batch:
            groups = [request.recipients]
            if self._command.one_at_a_time:
                groups = [(recipient,) for recipient in request.recipients]
            refused = {recipient.n: why for recipient in request.recipients if (why := self._refused(recipient))}
            groups = [tuple(each for each in group if each.n not in refused) for group in groups]
            found = {result.n: result for group in groups if group for result in self._run(request, group)}
            results = [found.get(each.n) or self._bad(each.n, refused[each.n]) for each in request.recipients]
            for recipient, result in zip(request.recipients, results, strict=True):
                log_result(request, recipient, result)
            yield request, results, ""

    def _refused(self, recipient: DeliveryRecipient) -> str:
        """Why the command cannot be given this recipient, which is nobody's fault beside it; "" where it can."""
        try:
            self._command.check(self._recipient_macros(recipient))
        except (UnsafeAddress, AddressSyntaxError) as error:
            return str(error)
        return ""

    def _bad(self, number: int, why: str) -> Result:
        return Result(number, BOUNCED, "5.1.3", f"bad address: {why}", self._service)

    def _run(self, request: DeliveryRequest, recipients: Sequence[DeliveryRecipient]) -> list[Result]:
        status, dsn, text = SENT, "2.0.0", f"delivered via {self._service} service"
        if request.probe:
            text = f"delivers to command: {self._command.argv[0]}"
        try:
            self._attempt(request, recipients)
        except DeliveryFailure as failure:
            status, dsn, text = (BOUNCED if failure.permanent else DEFERRED), failure.dsn, failure.text
        except (UnsafeAddress, AddressSyntaxError) as error:
            status, dsn, text = BOUNCED, "5.1.3", f"bad address: {error}"
        except (OSError, EOFError) as error:
            status, dsn, text = DEFERRED, "4.3.0", f"cannot read the queue file: {error}"
        # Who hears of a success hears that it was handed on, unless the command is the end of the way (flag X).
        handed = RELAYED if status == SENT and "X" not in self._command.flags else ""
        return [Result(recipient.n, status, dsn, text, self._service, handed=handed) for recipient in recipients]

    def _attempt(self, request: DeliveryRequest, recipients: Sequence[DeliveryRecipient]) -> None:
        command = self._command
        content = text_content(request.content, request.body)
        if command.size and content.size > command.size:
            raise DeliveryFailure(
                "5.2.3", f"message size {content.size} exceeds size limit {command.size} of {self._service}"
            )
        if "D" in command.flags:
            visited = delivered_to(content.header())
            for recipient in recipients:
                if has_visited(visited, recipient.address):
                    raise DeliveryFailure("5.4.6", f"mail forwarding loop for {recipient.address}")
        if request.probe:
            return
        arguments = command.arguments(
            self._message_macros(request, content.size), [self._recipient_macros(recipient) for recipient in recipients]
        )
        run_command(
            arguments,
            pipe_content(content.chunks(), command, self._prefix(request, recipients[0])),
            self._environment,
            directory=command.directory,
            time_limit=self._config[PIPE_TIME_LIMIT],
            shown=command.argv[0],
            alive=self._alive,
        )

    def _prefix(self, request: DeliveryRequest, recipient: DeliveryRecipient) -> bytes:
        """The lines before the message that the flags ask for."""
        flags = self._command.flags
        sender = self._sender(request)
        lines = b""
        if "F" in flags:
            lines += from_line(sender, request.arrival)
        if "R" in flags:
            lines += _line("Return-Path", f"<{sender}>")
        if "O" in flags:
            lines += _line("X-Original-To", recipient.original or recipient.address)
        if "D" in flags:
            lines += _line("Delivered-To", recipient.address)
        return lines

    def _sender(self, request: DeliveryRequest) -> str:
        return request.sender or self._command.null_sender

    def _message_macros(self, request: DeliveryRequest, size: int) -> dict[str, str]:
        sender = self._sender(request)
        if request.sender:
            sender = self._spelled(parse_mailbox(request.sender, allow_bare=True), fold=False)
        return {
            "sender": sender,
            "nexthop": request.nexthop.lower() if "h" in self._command.flags else request.nexthop,
            "queue_id": request.queue_id,
            "size": str(size),
            "envid": request.envid,
            **{name: request.attributes.get(key, "") for name, key in _ATTRIBUTES.items()},
        }

    def _recipient_macros(self, recipient: DeliveryRecipient) -> dict[str, str]:
        address = parse_mailbox(recipient.address, allow_bare=True)
        flags = self._command.flags
        local = address.local.lower() if "u" in flags else address.local
        domain = address.domain.lower() if "h" in flags else address.domain
        user, extension = split_extension(local, self._delimiters)
        return {
            "recipient": self._spelled(address, fold=True),
            "original_recipient": self._original(recipient.original) or self._spelled(address, fold=True),
            "user": user,
            "extension": extension or "",
            "mailbox": local,
            "domain": domain,
        }

    def _original(self, address: str) -> str:
        """An address as it was once, spelled as the others where it is one that can be."""
        try:
            return self._spelled(parse_mailbox(address, allow_bare=True), fold=True)
        except AddressSyntaxError:
            return address

    def _spelled(self, address: Address, fold: bool) -> str:
        """An address as an argument: its local part quoted only with the flag q, folded as u and h say."""
        flags = self._command.flags
        local = address.local.lower() if fold and "u" in flags else address.local
        domain = address.domain.lower() if fold and "h" in flags else address.domain
        if "q" in flags:
            return str(Address(local, domain))
        return f"{local}@{domain}" if domain else local


def _line(name: str, value: str) -> bytes:
    clean = "".join(character if character >= " " else "?" for character in value)
    return f"{name}: {clean}\n".encode("utf-8", "surrogateescape")
