"""A client whose owner has the recipients one by one: for a server that passes each of its own commands on.

    client.open(Transaction(mail, []))     # MAIL; then transaction.mail_reply
    client.add(command)                    # RCPT; then transaction.recipient_replies[-1]
    client.data()                          # DATA; then progress is CONTENT, or DONE where it is refused
    client.content(octets); client.end_content(octets)
    client.abandon()                       # RSET instead of DATA

Between the calls the owner lets octets flow until `waiting` is None, as with `Client`.
"""

from __future__ import annotations

from pillarbox.lib.smtp import client_command as command
from pillarbox.lib.smtp.client import Client, Order, State
from pillarbox.lib.smtp.client_reply import ServerReply
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_transaction import Progress, Transaction


class StepwiseClient(Client):
    """One connection's conversation, a command at a time."""

    def open(self, transaction: Transaction) -> None:
        """Begin a message: what is to come before it, and MAIL."""
        self._order(Order.BEGIN)
        self.transaction = transaction
        self.state = State.MESSAGE
        self._recipient = 0
        self._content_ended = False
        if self._needs_reset:
            self._commands.append((Stage.RSET, command.RSET))
            self._needs_reset = False
        self._commands.extend((Stage.XFORWARD, one) for one in transaction.before)
        self._commands.append((Stage.MAIL, transaction.mail))
        self._send_next()

    def add(self, recipient: bytes) -> None:
        """RCPT, a complete command."""
        transaction = self._envelope()
        transaction.recipients.append(recipient)
        transaction.recipient_replies.append(None)
        self._send(Stage.RCPT, recipient)

    def data(self) -> None:
        """DATA."""
        self._envelope()
        self._send(Stage.DATA, command.DATA)

    def abandon(self) -> None:
        """Forget the message before its content."""
        self._envelope()
        self._finish()
        self._send(Stage.RSET, command.RSET)

    def _envelope(self) -> Transaction:
        transaction = self.transaction
        if self.state is not State.MESSAGE or self._awaited or transaction is None:
            raise RuntimeError(f"a step of a message while {self.state.value}")
        if transaction.progress is not Progress.ENVELOPE:
            raise RuntimeError("an envelope's command within the content")
        return transaction

    def _on_recipient(self, reply: ServerReply) -> None:
        assert self.transaction is not None
        self.transaction.recipient_replies[self._recipient] = reply
        self._recipient += 1
