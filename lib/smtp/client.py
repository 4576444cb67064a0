"""The client's side of an SMTP or LMTP conversation, without I/O (RFC 5321, RFC 2033, RFC 2920, RFC 3207).

    client = Client(name="mail.example.org")
    client.receive(octets); socket.send(client.take_output())     # whenever octets come, and after every call
    client.hello(); ...                                           # when not client.waiting
    client.authenticate("PLAIN", initial); ...                    # where the server wants to know who we are
    client.begin(Transaction(mail, recipients)); ...              # then transaction.progress is CONTENT or DONE
    client.content(octets); client.end_content(octets); ...       # then DONE

The owner asks for one thing at a time and lets octets flow until `waiting` is None; what the server said is then in
`greeting`, `hello_reply`, `capabilities`, `transaction`.  With PIPELINING a whole envelope is one flight.  The core
knows no time, no addresses and no policy; it never raises for what a server says except `ReplyError` for what is no
reply, after which the connection is of no use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from pillarbox.lib.smtp import client_command as command
from pillarbox.lib.smtp.client_capabilities import Capabilities, parse_capabilities
from pillarbox.lib.smtp.client_reply import ReplyError, ReplyParser, ServerReply
from pillarbox.lib.smtp.client_stage import Stage
from pillarbox.lib.smtp.client_transaction import Progress, Transaction
from pillarbox.lib.smtp.conversation import Conversation


class State(Enum):
    """Where the conversation stands."""

    CONNECTED = "no greeting yet"
    GREETED = "a greeting, no EHLO"
    SECURING = "STARTTLS was accepted; the next octets are a TLS handshake"
    READY = "between messages"
    MESSAGE = "within a message"
    CLOSING = "the server refused the conversation, announced its end, or QUIT was sent"


class Order(Enum):
    """What the owner may ask for."""

    HELLO = "EHLO, LHLO or HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH, or a response to its challenge"
    BEGIN = "a message"
    CONTENT = "content of a message"
    RESET = "RSET"
    QUIT = "QUIT"


# What may be asked when; anything else is a fault of the caller, not of the server.
ALLOWED: dict[State, frozenset[Order]] = {
    State.CONNECTED: frozenset({Order.QUIT}),
    State.GREETED: frozenset({Order.HELLO, Order.QUIT}),
    State.SECURING: frozenset(),
    State.READY: frozenset({Order.HELLO, Order.STARTTLS, Order.AUTH, Order.BEGIN, Order.RESET, Order.QUIT}),
    State.MESSAGE: frozenset({Order.CONTENT, Order.QUIT}),
    State.CLOSING: frozenset({Order.QUIT}),
}

# (stage that a reply answers, kind of reply) -> next state; what is absent keeps the state.
TRANSITIONS: dict[tuple[Stage, int], State] = {
    (Stage.GREETING, 2): State.GREETED,
    (Stage.GREETING, 3): State.CLOSING,
    (Stage.GREETING, 4): State.CLOSING,
    (Stage.GREETING, 5): State.CLOSING,
    (Stage.EHLO, 2): State.READY,
    (Stage.LHLO, 2): State.READY,
    (Stage.HELO, 2): State.READY,
    (Stage.STARTTLS, 2): State.SECURING,
    (Stage.QUIT, 2): State.CLOSING,
}


class Client:
    """One connection's conversation.  `pipelining` False sends one command at a time whatever the server offers."""

    def __init__(
        self, name: str, *, lmtp: bool = False, pipelining: bool = True, without: frozenset[str] = frozenset()
    ) -> None:
        self.lmtp = lmtp
        self.state = State.CONNECTED
        self.greeting: ServerReply | None = None
        self.hello_reply: ServerReply | None = None
        self.starttls_reply: ServerReply | None = None
        self.auth_reply: ServerReply | None = None
        """334 with a challenge, or the outcome."""
        self.capabilities = Capabilities()
        self.transaction: Transaction | None = None
        self.unsolicited: ServerReply | None = None
        """A reply that answers nothing: the server is about to leave."""
        self.conversation: Conversation | None = None
        """Where the session is written down for the postmaster, if it is."""
        self._name = name
        self._may_pipeline = pipelining
        self._without = without
        self._parser = ReplyParser()
        self._output: list[bytes] = []
        self._commands: deque[tuple[Stage, bytes]] = deque()
        self._awaited: deque[Stage] = deque([Stage.GREETING])
        self._recipient = 0  # the recipient that the next RCPT reply is for
        self._needs_reset = False
        self._content_ended = False
        self._reader: dict[Stage, Callable[[ServerReply], None]] = {
            Stage.GREETING: self._on_greeting,
            Stage.EHLO: self._on_hello,
            Stage.LHLO: self._on_hello,
            Stage.HELO: self._on_hello,
            Stage.STARTTLS: self._on_starttls,
            Stage.AUTH: self._on_auth,
            Stage.RSET: self._on_reset,
            Stage.XFORWARD: self._on_xforward,
            Stage.MAIL: self._on_mail,
            Stage.RCPT: self._on_recipient,
            Stage.DATA: self._on_data,
            Stage.END_OF_DATA: self._on_final,
            Stage.QUIT: self._on_quit,
        }

    # --- octets

    @property
    def waiting(self) -> Stage | None:
        """What the server owes next; None when it is the owner's turn."""
        if not self._awaited or (self._awaited[0] is Stage.END_OF_DATA and not self._content_ended):
            return None
        return self._awaited[0]

    @property
    def reusable(self) -> bool:
        """Whether another message may follow."""
        return self.state is State.READY and not self._awaited and not self._parser.pending and self.unsolicited is None

    @property
    def pipelining(self) -> bool:
        """Whether commands go out without waiting."""
        return self._may_pipeline and self.capabilities.pipelining

    def take_output(self) -> bytes:
        """The octets to send now."""
        if not self._output:
            return b""
        data = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        return data

    def receive(self, data: bytes) -> bool:
        """Take octets from the server; whether they complete a reply.  Raises ReplyError."""
        replies = self._parser.feed(data)
        for reply in replies:
            if self.conversation is not None:
                self.conversation.answered(reply.code, "\r\n".join(reply.lines))
            if not self._awaited or self._premature(reply):
                self.unsolicited = reply
                self.state = State.CLOSING
                self._finish()
                continue
            stage = self._awaited.popleft()
            state = TRANSITIONS.get((stage, reply.kind))
            if state is not None:
                self.state = state
            self._reader[stage](reply)
            if reply.code == 421:  # RFC 5321 section 3.8: the server closes after this
                self.state = State.CLOSING
                self._commands.clear()
                if not self._awaited:
                    self._finish()
            self._send_next()
        if self.state is State.SECURING and self._parser.pending:
            raise ReplyError("octets in clear text after STARTTLS")  # an injection, RFC 3207 section 5 (errata 4084)
        return bool(replies)

    def _premature(self, reply: ServerReply) -> bool:
        """Whether a reply comes although the content is not complete."""
        return self._awaited[0] is Stage.END_OF_DATA and not self._content_ended

    def _order(self, order: Order) -> None:
        if order not in ALLOWED[self.state] or (self._awaited and order is not Order.QUIT):
            if order is Order.CONTENT and self.state is State.MESSAGE and self._awaited[0] is Stage.END_OF_DATA:
                return
            raise RuntimeError(f"{order.value} asked for while {self.state.value}")

    def _send(self, stage: Stage, octets: bytes) -> None:
        if self.conversation is not None:
            self.conversation.sent(octets)
        self._output.append(octets)
        self._awaited.append(stage)

    def _send_next(self) -> None:
        if self._commands and not self._awaited:
            self._send(*self._commands.popleft())

    # --- handshake

    def hello(self, *, extended: bool = True) -> None:
        """EHLO (LHLO for LMTP); HELO where `extended` is False."""
        self._order(Order.HELLO)
        stage = Stage.LHLO if self.lmtp else Stage.EHLO if extended else Stage.HELO
        self._send(stage, command.hello(stage.name, self._name))

    def start_tls(self) -> None:
        """STARTTLS; afterwards `state` is SECURING or unchanged."""
        self._order(Order.STARTTLS)
        self._send(Stage.STARTTLS, command.STARTTLS)

    def secured(self) -> None:
        """The TLS handshake is done: forget what was said before it (RFC 3207 section 4.2)."""
        self.state = State.GREETED
        self.capabilities = Capabilities()

    def authenticate(self, mechanism: str, initial: bytes | None) -> None:
        """AUTH (RFC 4954); afterwards `auth_reply` says whether the server is content, or wants an answer."""
        self._order(Order.AUTH)
        self._send(Stage.AUTH, command.auth(mechanism, initial))

    def respond(self, response: bytes | None) -> None:
        """Answer a challenge; None gives the exchange up."""
        self._order(Order.AUTH)
        if self.conversation is not None:
            self.conversation.sent_secret()
        self._output.append(command.auth_response(response))
        self._awaited.append(Stage.AUTH)

    def _on_auth(self, reply: ServerReply) -> None:
        self.auth_reply = reply

    def _on_greeting(self, reply: ServerReply) -> None:
        self.greeting = reply

    def _on_hello(self, reply: ServerReply) -> None:
        self.hello_reply = reply
        if reply.kind == 2:
            self.capabilities = parse_capabilities(reply, self._without)

    def _on_starttls(self, reply: ServerReply) -> None:
        self.starttls_reply = reply

    # --- a message

    def begin(self, transaction: Transaction) -> None:
        """Send an envelope.  When `waiting` is None again, `transaction.progress` is CONTENT or DONE."""
        self._order(Order.BEGIN)
        self.transaction = transaction
        self.state = State.MESSAGE
        self._recipient = 0
        self._content_ended = False
        if self.pipelining:
            if self._needs_reset:
                self._send(Stage.RSET, command.RSET)
            # One flight: RFC 2920 section 3.1 lets DATA be the last of a group.
            if transaction.before:
                self._output += transaction.before
                self._awaited.extend([Stage.XFORWARD] * len(transaction.before))
            self._output.append(transaction.mail)
            self._output += transaction.recipients
            if self.conversation is not None:
                for octets in (transaction.mail, *transaction.recipients):
                    self.conversation.sent(octets)
            self._awaited.append(Stage.MAIL)
            self._awaited.extend([Stage.RCPT] * len(transaction.recipients))
            if transaction.with_data:
                self._output.append(command.DATA)
                self._awaited.append(Stage.DATA)
        else:
            if self._needs_reset:
                self._commands.append((Stage.RSET, command.RSET))
            self._commands.extend((Stage.XFORWARD, one) for one in transaction.before)
            self._commands.append((Stage.MAIL, transaction.mail))
            self._commands.extend((Stage.RCPT, recipient) for recipient in transaction.recipients)
            if transaction.with_data:
                self._commands.append((Stage.DATA, command.DATA))
            self._send_next()
        self._needs_reset = False

    def _on_xforward(self, reply: ServerReply) -> None:
        assert self.transaction is not None
        if reply.kind != 2:
            self.transaction.complaints.append(reply)

    def _on_mail(self, reply: ServerReply) -> None:
        assert self.transaction is not None
        self.transaction.mail_reply = reply
        if reply.kind != 2:
            self._commands.clear()
            if not self._awaited:
                self._finish()

    def _on_recipient(self, reply: ServerReply) -> None:
        transaction = self.transaction
        assert transaction is not None
        if transaction.mail_accepted:  # otherwise the server only repeats that there is no sender
            transaction.recipient_replies[self._recipient] = reply
        self._recipient += 1
        if self._recipient < len(transaction.recipients):
            return
        if transaction.probe and not transaction.with_data:
            self._needs_reset = transaction.mail_accepted
            self._finish()
        elif transaction.chunked:
            # RFC 3030 section 2: with BDAT there is nothing to wait for between the envelope and the content.
            if transaction.accepted:
                transaction.progress = Progress.CONTENT
                self._awaited.extend([Stage.END_OF_DATA] * transaction.finals_expected)
            else:
                self._needs_reset = transaction.mail_accepted
                self._finish()
        elif not transaction.accepted and self._commands:
            self._commands.clear()  # not pipelined: spare the DATA
            self._needs_reset = True
            self._finish()

    def _on_data(self, reply: ServerReply) -> None:
        transaction = self.transaction
        assert transaction is not None
        transaction.data_reply = reply
        if reply.kind == 3:
            if transaction.probe:
                self.state = State.CLOSING  # nothing may follow but a message
                self._finish()
                return
            if transaction.accepted:
                transaction.progress = Progress.CONTENT
                self._awaited.extend([Stage.END_OF_DATA] * transaction.finals_expected)
                return
            # RFC 2920 section 3.1: no valid recipient, yet the server wants content: send it none.
            # LMTP has no reply for nobody, so there the conversation can't go on.
            if self.lmtp:
                self.state = State.CLOSING
            else:
                self._output.append(b".\r\n")
                self._awaited.append(Stage.END_OF_DATA)
                self._content_ended = True
                transaction.progress = Progress.ENDING
                return
        self._needs_reset = transaction.mail_accepted and reply.kind != 3
        self._finish()

    def content(self, octets: bytes) -> None:
        """Send encoded content (see `client_content`); to be called while `progress` is CONTENT."""
        self._order(Order.CONTENT)
        self._output.append(octets)

    def end_content(self, octets: bytes) -> None:
        """Send the last encoded content, the dot included."""
        self._order(Order.CONTENT)
        self._output.append(octets)
        self._content_ended = True
        if self.transaction is not None:
            self.transaction.progress = Progress.ENDING

    def _on_final(self, reply: ServerReply) -> None:
        assert self.transaction is not None
        self.transaction.final_replies.append(reply)
        if not self._awaited:
            self._finish()

    def _finish(self) -> None:
        """The transaction is over, well or not."""
        if self.transaction is not None:
            self.transaction.progress = Progress.DONE
        if self.state is State.MESSAGE:
            self.state = State.READY
        self._commands.clear()
        self._awaited.clear()

    # --- the rest

    def reset(self) -> None:
        """RSET, as a question whether the server is still there."""
        self._order(Order.RESET)
        self._send(Stage.RSET, command.RSET)

    def _on_reset(self, reply: ServerReply) -> None:
        if reply.kind != 2:
            self.state = State.CLOSING
            self._finish()

    def quit(self) -> None:
        """QUIT; the connection may be closed without waiting for the reply."""
        self._order(Order.QUIT)
        self._commands.clear()
        self._send(Stage.QUIT, command.QUIT)
        self.state = State.CLOSING

    def _on_quit(self, reply: ServerReply) -> None:
        pass
