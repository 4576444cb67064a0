"""A driver for the server side that answers every event at once, so that dialogues can be fed in any pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pillarbox.lib.smtp import refusals, replies
from pillarbox.lib.smtp.events import (
    Auth,
    AuthResponse,
    Close,
    Content,
    Data,
    End,
    Etrn,
    Event,
    Expand,
    Hello,
    Mail,
    Overflow,
    Rcpt,
    Reset,
    StartTls,
    Verify,
    XClient,
)
from pillarbox.lib.smtp.profile import Profile
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.smtp.server import ServerSession

HOST = "mx.example"


def profile(**settings: object) -> Profile:
    """A profile for tests; pipelining anywhere is allowed, so that a whole dialogue can be fed at once."""
    values: dict[str, object] = {"host": HOST, "greeting": f"{HOST} ESMTP Pillarbox", "forbid_pipelining": False}
    return Profile(**{**values, **settings})  # type: ignore[arg-type]


def default_policy(event: Event) -> Reply | None:
    """Take everything but recipients that begin with `no`; AUTH succeeds with `secret`."""
    match event:
        case Mail():
            return replies.SENDER_OK
        case Rcpt():
            return (
                refusals.relay_denied(554, event.recipient)
                if event.recipient.startswith("no")
                else replies.RECIPIENT_OK
            )
        case Data():
            return replies.START_DATA
        case End():
            return replies.queued("ID")
        case StartTls():
            return replies.READY_FOR_TLS
        case Auth(initial=None):
            return replies.challenge("")
        case Auth(initial=data) | AuthResponse(data=data):
            return replies.AUTHENTICATED if data == b"secret" else replies.auth_failed("wrong")
        case Verify():
            return replies.verified(event.argument)
        case Expand():
            return replies.expanded(("a@b.example", "c@d.example"))
        case Etrn():
            return replies.QUEUING_STARTED
        case XClient():
            return replies.greeting(f"{HOST} ESMTP Pillarbox")
    return None


@dataclass
class Talk:
    """What came of a dialogue."""

    session: ServerSession
    output: bytes = b""
    events: list[Event] = field(default_factory=list)
    content: bytes = b""
    messages: list[bytes] = field(default_factory=list)
    policy: Callable[[Event], Reply | None] = default_policy

    @property
    def codes(self) -> list[int]:
        """The codes of all replies, the greeting first."""
        return [int(line[:3]) for line in self.output.split(b"\r\n") if line[3:4] == b" "]

    @property
    def last(self) -> str:
        """The last reply line."""
        return self.output.decode().rstrip("\r\n").rpartition("\r\n")[2]

    def feed(self, data: bytes) -> Talk:
        """Feed a piece and answer what it leads to."""
        session = self.session
        session.feed(data)
        while True:
            event = session.next_event()
            if event is None:
                output = session.take_output()
                if not output:
                    return self
                self.output += output
                continue
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, Content):
            self.content += event.data
            return
        self.events.append(event)
        if isinstance(event, (Reset, Overflow)):
            self.content = b""
        elif isinstance(event, Close):
            pass
        elif isinstance(event, Hello):
            self.session.answer_hello(("PLAIN",))
        elif isinstance(event, End):
            self.messages.append(self.content)
            self.content = b""
            if self.session.profile.lmtp:
                self.session.answer_recipients([replies.recipient_queued("x", "ID")] * self.session.recipients)
            else:
                self._answer(event)
        else:
            self._answer(event)

    def _answer(self, event: Event) -> None:
        reply = self.policy(event)
        if reply is not None:
            self.session.answer(reply)
            if isinstance(event, StartTls):
                self.session.tls_started()


def talk(
    pieces: Iterable[bytes] | bytes,
    settings: Profile | None = None,
    policy: Callable[[Event], Reply | None] = default_policy,
    granted: Iterable[str] = (),
) -> Talk:
    """Greet, then feed the pieces one after the other."""
    session = ServerSession(settings or profile())
    session.granted = frozenset(granted)
    session.greet()
    result = Talk(session, policy=policy)
    result.feed(b"")
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        result.feed(piece)
    return result
