"""Addresses that milters give: read as MAIL and RCPT read theirs, so that nothing else reaches the queue."""

from __future__ import annotations

from pillarbox.lib.milter import AddRecipient, ChangeSender, DeleteRecipient, MilterError
from pillarbox.lib.queue.edits import RecipientEdit
from pillarbox.lib.queue.envelope import Recipient
from pillarbox.lib.smtp.events import Mail, Rcpt
from pillarbox.lib.smtp.grammar import parse_mail, parse_rcpt


class Addresses:
    """Completes what has no domain by `origin`."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def sender(self, edit: ChangeSender) -> tuple[str, str, str]:
        """A new reverse-path as (address, RET, ENVID).  Raises MilterError."""
        parameters = edit.parameters
        if not edit.address.isascii() and "SMTPUTF8" not in parameters.upper():
            parameters += " SMTPUTF8"  # libmilter's addresses are UTF-8, whatever the parameters say
        argument = f"FROM:{_path(edit.address)} {parameters}".rstrip()
        event = parse_mail(argument)
        if type(event) is not Mail:
            raise MilterError(f'a sender "{edit.address} {edit.parameters}" that is none')
        return self._complete(event.sender), event.ret, event.envid

    def added(self, edit: AddRecipient) -> RecipientEdit:
        """A further recipient.  Raises MilterError."""
        event = parse_rcpt(
            f"TO:{_path(edit.address)} {edit.parameters}".rstrip(), dsn=True, smtputf8=True, strict=False
        )
        if type(event) is not Rcpt:
            raise MilterError(f'a recipient "{edit.address} {edit.parameters}" that is none')
        return RecipientEdit(Recipient(self._complete(event.recipient), "", event.orcpt, event.notify))

    def deleted(self, edit: DeleteRecipient) -> RecipientEdit:
        """A recipient less; one that is no address is nobody's."""
        event = parse_rcpt(f"TO:{_path(edit.address)}", dsn=False, smtputf8=True, strict=False)
        address = event.recipient if type(event) is Rcpt else edit.address
        return RecipientEdit(Recipient(self._complete(address)), delete=True)

    def _complete(self, address: str) -> str:
        if address and ("@" not in address or address[-1] == '"'):
            return f"{address}@{self._origin}"
        return address


def _path(address: str) -> str:
    return address if address.startswith("<") else f"<{address}>"
