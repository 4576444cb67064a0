"""The server side of SMTP, ESMTP and LMTP without sockets: bytes in, events and bytes out.

    session = ServerSession(profile)
    session.greet()
    session.feed(data)
    while (event := session.next_event()) is not None:
        ...                                   # session.answer(reply) where the event asks for one
    write(session.take_output())              # one write for a whole pipelined batch

While an event waits for its answer `next_event` gives None and fed bytes are kept; the driver stops reading when
`buffered` grows.  Promises: the same events and replies however the bytes are cut; nothing grows with a line or a
message; every way out of a transaction leaves the same state; plaintext behind STARTTLS is never interpreted.  Clock,
tarpit and policy are the driver's: `tarpit` says that replies are to be delayed, and only one is produced until it is
taken.

Here are the driver's side and what all parts of the session use.  Reading is in `reading` and `receiving`, the verbs
in `commands` under the table of `states`, what answers lead to in `transitions`, what is remembered in `lifetimes`.

RFC 5321, 1870, 1985, 2033, 2034, 2852, 2920, 3030, 3207, 3461, 4865, 4954, 6152, 6531, 8689, 9422.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.conversation import Conversation
from pillarbox.lib.smtp.events import Close, End, Event, Hello, Note, Reset
from pillarbox.lib.smtp.input import Input
from pillarbox.lib.smtp.lifetimes import Chunk, Introduction, State, Transaction
from pillarbox.lib.smtp.profile import NOTHING_GRANTED, Profile
from pillarbox.lib.smtp.reading import out_of_turn, read_command, read_nothing
from pillarbox.lib.smtp.receiving import read_chunk, read_data
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.smtp.states import LMTP_TABLE, TABLE, refusing_table
from pillarbox.lib.smtp.tally import summary
from pillarbox.lib.smtp.transitions import TRANSITIONS

_CLOSING_CODES: Final = frozenset((421, 521))


class ServerSession:
    """One session, from the greeting to the end of the connection."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.tls = False
        self.errors = 0
        self.where = "CONNECT"
        """What the client did last, for "lost connection after ..."."""
        self.closed = False
        self.counts: dict[str, list[int]] = {}
        """For each verb how often it was done and how often it was tried."""
        self.granted: frozenset[str] = NOTHING_GRANTED
        """Commands that this client may use and others may not: XCLIENT, XFORWARD, EXPN."""
        self.messages = 0
        self.domains: set[str] = set()
        self.introduction = Introduction("LMTP" if profile.lmtp else "SMTP")
        self.transaction = Transaction()
        self.chunk = Chunk()
        # What the parts of the session share.
        self.table = LMTP_TABLE if profile.lmtp else TABLE
        self.input = Input()
        self.events: list[Event] = []
        self.output: list[bytes] = []
        self.read: Callable[[ServerSession], bool] = read_command
        self._junk = 0
        self._pending: Event | None = None
        self._count: list[int] | None = None
        self._greeted = False
        self.conversation: Conversation | None = None
        """Where the session is written down for the postmaster, if it is."""
        self.footer: Callable[[Reply], Reply] | None = None
        """Makes a refusal longer (smtpd_reject_footer)."""

    # --- what the client has said
    @property
    def helo_name(self) -> str:
        """The argument of HELO, EHLO or LHLO; "" before it."""
        return self.introduction.helo_name

    @property
    def protocol(self) -> str:
        """SMTP, ESMTP or LMTP."""
        return self.introduction.protocol

    @property
    def authenticated(self) -> bool:
        """Whether AUTH has succeeded."""
        return self.introduction.authenticated

    @property
    def recipients(self) -> int:
        """How many recipients of the open transaction were accepted."""
        return self.transaction.recipients

    @property
    def smtputf8(self) -> bool:
        """Whether the open transaction has the SMTPUTF8 parameter."""
        return self.transaction.smtputf8

    @property
    def content_size(self) -> int:
        """Octets of content that the open transaction has had."""
        return self.transaction.content_size

    # --- the driver's side
    @property
    def buffered(self) -> int:
        """Bytes that were fed and are not yet used."""
        return len(self.input)

    @property
    def waiting(self) -> bool:
        """Whether an event waits for its answer."""
        return self._pending is not None

    @property
    def in_transaction(self) -> bool:
        """Whether MAIL was accepted and its transaction is not over."""
        return self.transaction.state is not State.IDLE

    @property
    def in_content(self) -> bool:
        """Whether the bytes that come next are content."""
        return self.read is read_data or (self.read is read_chunk and self.chunk.refusal is None)

    @property
    def tarpit(self) -> bool:
        """Whether the client has made so many errors that each reply is to be delayed."""
        limit = self.profile.soft_error_limit
        return self.errors >= limit > 0

    @property
    def greeted(self) -> bool:
        """Whether the greeting was given."""
        return self._greeted

    def greet(self, *, patient: bool = False) -> None:
        """Say 220; or 554 to a client that has not waited for it (RFC 5321 section 3.1), unless `patient`."""
        self._greeted = True
        if self.buffered and self.profile.forbid_pipelining and not patient:
            out_of_turn(self)
        else:
            self.output.append(self.said(replies.greeting(self.profile.greeting)))

    def turn_away(self, reply: Reply, afterwards: Reply) -> None:
        """Refuse service instead of greeting; every command but QUIT gets `afterwards` (RFC 5321 section 3.1).

        A reply that ends sessions (421, 521) ends this one.
        """
        if reply.code in _CLOSING_CODES:
            self.shut(reply, "")
            return
        self._greeted = True
        self._pending = None
        self.output.append(self.said(reply))
        self.table = refusing_table(afterwards)

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        if not self.closed:
            self.input.feed(data)

    def next_event(self) -> Event | None:
        """The next event; None until more is fed, or the event before is answered, or output is taken."""
        events = self.events
        while not events:
            if self._pending is not None or not self._greeted or not self.read(self):
                return None
        return events.pop(0)

    def take_output(self) -> bytes:
        """What to write now."""
        output = self.output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    def answer_hello(self, mechanisms: tuple[str, ...] = (), now: float = 0.0) -> None:
        """Accept the name; `mechanisms` are what AUTH offers, `now` the time in seconds since the epoch."""
        event = self._pending
        assert type(event) is Hello
        introduction = self.introduction
        introduction.helo_name = event.name
        if event.verb == "HELO":
            introduction.protocol = "SMTP"
            self.answer(replies.hello(self.profile.host))
        else:
            introduction.protocol = "ESMTP" if event.verb == "EHLO" else "LMTP"
            self.answer(self.profile.extensions(self.tls, mechanisms, self.granted, now))

    def answer(self, reply: Reply) -> None:
        """Answer the event that waits; the reply's code says what becomes of it."""
        event, self._pending = self._pending, None
        if event is None:
            raise RuntimeError("no event waits for an answer")
        transition = TRANSITIONS.get(type(event))
        if transition is None or not transition(self, event, reply):
            self.reply(reply)

    def answer_recipients(self, answers: list[Reply]) -> None:
        """Answer `End` for each recipient in order (RFC 2033 section 4.2)."""
        assert type(self._pending) is End and len(answers) == self.recipients
        self._pending = None
        self.leave_transaction(silently=True)
        accepted = any(not reply.failed for reply in answers)
        for reply in answers[:-1]:
            self.output.append(self.said(replies.softened(reply) if self.profile.soft_bounce else reply))
        self.reply(answers[-1], excused=accepted)
        if accepted:
            self.message_taken()

    def tls_begins(self) -> None:
        """The handshake begins now: what has come in clear text since STARTTLS was answered is thrown away too."""
        self.input.clear()

    def tls_started(self) -> None:
        """The handshake is done; the first octets under TLS may have been fed already."""
        self.tls = True
        self.read = read_command

    def stop(self) -> bool:
        """End with 421 if the client is between transactions and nothing waits; whether the session is over."""
        if not self.closed and self._greeted and not self.waiting and not self.in_transaction and not self.events:
            self.shut(replies.stopping(self.profile.host), "")
        return self.closed

    def shut(self, reply: Reply, reason: str) -> None:
        """Break off: an answer, out of turn if need be, then the end."""
        self._pending = None
        self._count = None
        self.leave_transaction()
        self.output.append(self.said(reply))
        self.close(reason)

    def summary(self) -> str:
        """`ehlo=1 mail=1/2 quit=1 commands=3/4`: done, and tried where that differs."""
        return summary(self.counts)

    # --- what the parts of the session use
    def reply(self, reply: Reply, *, excused: bool = False) -> None:
        """Give the final reply to the current command."""
        code = reply.code
        if code >= 500 and self.profile.soft_bounce:
            reply = replies.softened(reply)
            code = reply.code
        self.output.append(self.said(reply))
        if code < 400:
            if self._count is not None and code != 334:
                self._count[0] += 1
        else:
            if not excused:
                self.errors += 1
            if code in _CLOSING_CODES:
                self.close(reply.text if code == 421 else "")
                return
        if self.errors >= self.profile.hard_error_limit > 0 and not self.closed:
            self.output.append(self.said(replies.too_many_errors(self.profile.host)))
            self.close("too many errors")

    def said(self, reply: Reply) -> bytes:
        """A reply as it is sent."""
        if self.footer is not None and reply.failed:
            reply = self.footer(reply)
        if self.conversation is not None:
            self.conversation.replied(reply)
        return reply.encode()

    def ask(self, event: Event) -> None:
        """Put an event to the driver and wait for its answer."""
        self._pending = event
        self.events.append(event)

    def note(self, kind: str, text: str) -> None:
        """Tell the driver something for the log."""
        self.events.append(Note(kind, text))

    def count(self, verb: str) -> None:
        """A command was tried; its reply will say whether it was done."""
        count = self.counts.get(verb)
        if count is None:
            count = self.counts[verb] = [0, 0]
        count[1] += 1
        self._count = count

    def count_junk(self) -> None:
        """A command that does no work."""
        self._junk += 1
        if self._junk > self.profile.junk_limit > 0:
            self.errors += 1

    def has_room_for(self, domain: str) -> bool:
        """Whether a recipient in this domain may be added (RFC 9422 section 4.3)."""
        return domain in self.domains or len(self.domains) < self.profile.domain_limit

    def message_taken(self) -> None:
        """A client that gets mail through has shown that it is no mere nuisance."""
        self.errors = self._junk = 0

    def read_commands(self) -> None:
        """Commands come next."""
        self.read = read_command

    def introduce_anew(self, protocol: str = "", helo_name: str = "", *, authenticated: bool = False) -> None:
        """Forget who the client said that it is; what is given is what somebody else has said of it."""
        self.introduction = Introduction(
            protocol or ("LMTP" if self.profile.lmtp else "SMTP"), helo_name, authenticated=authenticated
        )

    def leave_transaction(self, *, silently: bool = False) -> None:
        """The one way out of a transaction, whatever ended it."""
        left, self.transaction = self.transaction, Transaction()
        if left.state is not State.IDLE and not silently:
            self.events.append(Reset())

    def close(self, reason: str) -> None:
        """Nothing more is read."""
        if not self.closed:
            self.leave_transaction()
            self.closed = True
            self.input.clear()
            self.read = read_nothing
            self.events.append(Close(reason))
