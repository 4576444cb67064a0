"""Hypothesis walks through verb sequences beside a small model of what a session remembers.

Each rule says a command, decides how the driver answers what it asks, and predicts the replies.  After each one the
session must remember exactly what the model does: nothing that a failed verb has left behind.  A second session gets
the same octets cut at another place and must do the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import (
    Auth,
    AuthEnded,
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
    Note,
    Overflow,
    Rcpt,
    Reset,
    StartTls,
    Unknown,
    Verify,
    XClient,
)
from pillarbox.lib.smtp.lifetimes import State
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.smtp.server import ServerSession
from tests.smtp.dialogue import profile

SIZE_LIMIT = 60
ASKED = (Hello, Mail, Rcpt, Data, End, StartTls, Auth, AuthResponse, Verify, Expand, Etrn, XClient, Unknown)
YES: Mapping[type, Reply] = {
    Mail: replies.SENDER_OK,
    Rcpt: replies.RECIPIENT_OK,
    Data: replies.START_DATA,
    End: replies.queued("ID"),
    StartTls: replies.READY_FOR_TLS,
    Auth: replies.AUTHENTICATED,
    AuthResponse: replies.AUTHENTICATED,
    Verify: replies.verified("a@b.example"),
    Expand: replies.expanded(("a@b.example", "c@d.example")),
    Etrn: replies.QUEUING_STARTED,
    XClient: replies.greeting("mx.example ESMTP"),
    Unknown: replies.NOT_RECOGNIZED,
}
NO = replies.WRITE_ERROR
AWAY = Reply.of("554 5.7.1 No service for you")


@dataclass
class Model:
    """What a session is to remember."""

    protocol: str
    helo_name: str = ""
    authenticated: bool = False
    tls: bool = False
    state: State = State.IDLE
    smtputf8: bool = False
    binary: bool = False
    recipients: int = 0
    forwarded: dict[str, str] = field(default_factory=dict)
    closed: bool = False

    def leave(self) -> None:
        """The transaction is over."""
        self.state, self.recipients, self.smtputf8, self.binary = State.IDLE, 0, False, False
        self.forwarded = {}


class Driven:
    """A session with a driver; `answers` are its next decisions, by kind of event (accept where there is none)."""

    def __init__(self, lmtp: bool, asks: bool) -> None:
        self.session = ServerSession(
            profile(
                lmtp=lmtp, auth=True, tls=True, etrn=True, size_limit=SIZE_LIMIT, recipient_limit=3, deliver_by=60,
                soft_error_limit=0, hard_error_limit=0, junk_limit=0, asks_unknown=asks,
            )
        )  # fmt: skip
        self.session.granted = frozenset(("XCLIENT", "XFORWARD", "EXPN"))
        self.session.greet()
        self.session.take_output()
        self.answers: dict[type, Reply] = {}
        self.events: list[Event] = []
        self.output = b""

    def feed(self, data: bytes) -> None:
        """Feed and answer until nothing more comes."""
        session = self.session
        session.feed(data)
        while True:
            event = session.next_event()
            if event is None:
                output = session.take_output()
                if not output:
                    return
                self.output += output
                continue
            self._join(event)
            if isinstance(event, ASKED):
                # The event that waits is the last one given: nothing goes on without its answer.
                assert session.waiting
                assert not session.events
                assert session.next_event() is None
                self._answer(event)

    def _join(self, event: Event) -> None:
        # How content is cut into events is not part of the promise.
        if isinstance(event, Content) and self.events and isinstance(self.events[-1], Content):
            self.events[-1] = Content(self.events[-1].data + event.data)
        elif isinstance(event, Overflow) and self.events and isinstance(self.events[-1], Content):
            self.events[-1] = event  # what came before is worthless
        else:
            self.events.append(replace(event) if isinstance(event, Content) else event)

    def _answer(self, event: Event) -> None:
        session = self.session
        reply = self.answers.get(type(event)) or YES.get(type(event))
        if isinstance(event, XClient) and reply is AWAY:
            session.turn_away(reply, replies.turned_away("client"))
        elif isinstance(event, Hello) and reply is None:
            session.answer_hello(("PLAIN",))
        elif isinstance(event, End) and session.profile.lmtp:
            assert reply is not None
            session.answer_recipients([reply] * session.recipients)
        else:
            assert reply is not None
            session.answer(reply)
            if isinstance(event, StartTls) and not reply.failed:
                session.tls_started()


class ServerMachine(RuleBasedStateMachine):
    """The rules."""

    @initialize(lmtp=st.booleans(), asks=st.booleans())
    def connect(self, lmtp: bool, asks: bool) -> None:
        """A new connection; `asks`: whether the driver wants to know of unknown commands."""
        self.lmtp, self.asks = lmtp, asks
        self.model = Model("LMTP" if lmtp else "SMTP")
        self.one, self.other = Driven(lmtp, asks), Driven(lmtp, asks)

    # --- saying and checking
    def say(self, data: bytes, cut: int, *codes: int, **answers: Reply) -> list[Event]:
        """Say something; the replies must have these codes.  Gives the events that were not notes."""
        for driven in (self.one, self.other):
            driven.answers = {kind: answers[kind.__name__] for kind in ASKED if kind.__name__ in answers}
            driven.events, driven.output = [], b""
        self.one.feed(data)
        cut %= len(data) + 1
        self.other.feed(data[:cut])
        self.other.feed(data[cut:])
        assert self.one.output == self.other.output
        assert self.one.events == self.other.events
        lines = self.one.output.decode().split("\r\n")[:-1]
        assert [int(line[:3]) for line in lines if line[3] == " "] == list(codes), (data, lines)
        return [event for event in self.one.events if not isinstance(event, Note)]

    def ended(self, events: list[Event], *, message: bool = False) -> None:
        """The transaction is over: with a message there was an End, otherwise a Reset if there was one to end."""
        resets = [event for event in events if isinstance(event, Reset)]
        assert len(resets) == (0 if message or self.model.state is State.IDLE else 1)
        self.model.leave()

    @invariant()
    def remembers_what_the_model_does(self) -> None:
        """Everything that has a life time, in both sessions."""
        if not hasattr(self, "model"):
            return
        model = self.model
        for session in (self.one.session, self.other.session):
            transaction = session.transaction
            assert session.closed == model.closed
            assert not session.waiting
            assert session.in_transaction == (model.state is not State.IDLE)
            assert not session.in_content
            assert session.buffered == 0
            if model.closed:
                continue
            assert (session.protocol, session.helo_name) == (model.protocol, model.helo_name)
            assert (session.authenticated, session.tls) == (model.authenticated, model.tls)
            assert (transaction.state, transaction.recipients) == (model.state, model.recipients)
            assert (transaction.smtputf8, transaction.binary) == (model.smtputf8, model.binary)
            assert (transaction.forwarded or {}) == model.forwarded
            assert (transaction.chunks is not None) == (model.state is State.CHUNKS)
            assert session.chunk.left == 0
            assert session.chunk.refusal is None
            if model.state is not State.CHUNKS:
                assert transaction.content_size == 0
                assert not transaction.overflowed
                assert transaction.data is None

    @precondition(lambda self: self.model.closed)
    @rule()
    def connect_again(self) -> None:
        """The next client."""
        self.connect(self.lmtp, self.asks)

    # --- verbs
    @precondition(lambda self: not self.model.closed)
    @rule(
        verb=st.sampled_from(("HELO", "EHLO", "LHLO")),
        name=st.sampled_from(("", "c")),
        no=st.booleans(),
        cut=st.integers(0),
    )
    def hello(self, verb: str, name: str, no: bool, cut: int) -> None:
        """A name, no name, or one that policy refuses."""
        data = f"{verb} {name}\r\n".encode()
        if (verb == "LHLO") != self.lmtp:
            self.say(data, cut, 500)
        elif not name:
            self.say(data, cut, 501)
        elif no:
            self.ended(self.say(data, cut, 451, Hello=NO))
        else:
            self.ended(self.say(data, cut, 250))
            self.model.helo_name = name
            self.model.protocol = {"HELO": "SMTP", "EHLO": "ESMTP", "LHLO": "LMTP"}[verb]

    @precondition(lambda self: not self.model.closed)
    @rule(
        parameter=st.sampled_from(
            ("", "SMTPUTF8", "BODY=8BITMIME", "BODY=BINARYMIME", "SIZE=61", "X=1", "REQUIRETLS", "BY=59;R", "BY=60;R")
        ),
        no=st.booleans(),
        cut=st.integers(0),
    )
    def mail(self, parameter: str, no: bool, cut: int) -> None:
        """With parameters that are taken, and such that are refused for several reasons."""
        model = self.model
        refused = {"SIZE=61": 552, "X=1": 555, "BY=59;R": 555} | ({} if model.tls else {"REQUIRETLS": 530})
        data = f"MAIL FROM:<a@b.example> {parameter}\r\n".encode()
        if model.state is not State.IDLE or (self.lmtp and not model.helo_name):
            self.say(data, cut, 503)
        elif parameter in refused:
            assert not self.say(data, cut, refused[parameter])
        elif no:
            self.say(data, cut, 451, Mail=NO)
        else:
            self.say(data, cut, 250)
            model.state = State.MAIL
            model.smtputf8, model.binary = parameter == "SMTPUTF8", parameter == "BODY=BINARYMIME"

    @precondition(lambda self: not self.model.closed)
    @rule(
        path=st.sampled_from(("<c@d.example>", "<\u00fc@d.example>", "<a@b@c>")), no=st.booleans(), cut=st.integers(0)
    )
    def rcpt(self, path: str, no: bool, cut: int) -> None:
        """Good, international, bad, one too many."""
        model = self.model
        data = f"RCPT TO:{path}\r\n".encode()
        if model.state in (State.IDLE, State.CHUNKS):
            self.say(data, cut, 503)
        elif path == "<a@b@c>":
            self.say(data, cut, 501)
        elif not path.isascii() and not model.smtputf8:
            self.say(data, cut, 553)
        elif model.recipients >= 3:
            self.say(data, cut, 452)
        elif no:
            self.say(data, cut, 451, Rcpt=NO)
        else:
            self.say(data, cut, 250)
            model.state = State.RCPT
            model.recipients += 1

    def open(self, recipients: int, parameter: str, cut: int) -> None:
        """A whole envelope in one piece, so that what comes behind it is reached often; nothing where one is open."""
        model = self.model
        if model.state is not State.IDLE or not recipients:
            return
        verb = "LHLO" if self.lmtp else "EHLO"
        rcpt = "RCPT TO:<c@d.example>\r\n" * recipients
        data = f"{verb} c\r\nMAIL FROM:<> {parameter}\r\n{rcpt}".encode()
        self.say(data, cut, *[250] * (2 + recipients))
        model.leave()
        model.helo_name, model.protocol = "c", "LMTP" if self.lmtp else "ESMTP"
        model.state, model.recipients, model.binary = State.RCPT, recipients, bool(parameter)

    @precondition(lambda self: not self.model.closed)
    @rule(
        content=st.sampled_from((b"", b"x\r\n", b"..\r\n", b"x\n.\ny\r\n", b"RSET\r\n", b"x" * SIZE_LIMIT + b"\r\n")),
        no=st.sampled_from((None, Data, End)),
        recipients=st.integers(0, 3),
        cut=st.integers(0),
    )
    def data(self, content: bytes, no: type | None, recipients: int, cut: int) -> None:
        """DATA with its content in the same piece."""
        self.open(recipients, "", cut)
        model = self.model
        data = b"DATA\r\n"
        if model.state is not State.RCPT:
            self.say(data, cut, 554 if model.state is State.MAIL else 503)
        elif model.binary:
            self.say(data, cut, 503)
        elif no is Data:
            self.say(data, cut, 451, Data=NO)
        else:
            self.message(data + content + b".\r\n", cut, 354, too_big=len(content) > SIZE_LIMIT, no=no is End)

    def message(self, data: bytes, cut: int, *before: int, too_big: bool, no: bool) -> None:
        """The last octets of a message: as many replies as LMTP wants."""
        final = [552 if too_big else 451 if no else 250] * (self.model.recipients if self.lmtp else 1)
        events = self.say(data, cut, *before, *final, **({"End": NO} if no else {}))
        assert [type(event) for event in events].count(End) == (not too_big)
        assert any(isinstance(event, Overflow) for event in events) <= too_big
        self.ended(events, message=not too_big)

    @precondition(lambda self: not self.model.closed)
    @rule(
        content=st.sampled_from((b"", b"QUIT\r\n", b"x", b"\r", b"\n", b"a: b\r\n\r\n\0\n", b"x" * (SIZE_LIMIT + 9))),
        last=st.booleans(),
        no=st.sampled_from((None, Data, End)),
        recipients=st.integers(0, 3),
        parameter=st.sampled_from(("", "BODY=BINARYMIME")),
        cut=st.integers(0),
    )
    def bdat(self, content: bytes, last: bool, no: type | None, recipients: int, parameter: str, cut: int) -> None:
        """A chunk; its octets are no commands wherever it stands."""
        self.open(recipients, parameter, cut)
        model = self.model
        session = self.one.session
        data = b"BDAT %d%s\r\n" % (len(content), b" LAST" if last else b"") + content
        if model.state in (State.IDLE, State.MAIL):
            self.ended(self.say(data, cut, 554 if model.state is State.MAIL else 503))
            return
        refused = model.state is State.RCPT and no is Data
        size = session.transaction.content_size + len(content)
        if refused:
            codes = [451] * (model.recipients if self.lmtp and last else 1)
            self.ended(self.say(data, cut, *codes, Data=NO))
        elif size > SIZE_LIMIT + 4:  # a few octets may be held, or become fewer
            codes = [552] * (model.recipients if self.lmtp and last else 1)
            self.ended(self.say(data, cut, *codes))
        elif size > SIZE_LIMIT - 4:
            self.say(b"RSET\r\n", cut, 250)
            model.leave()
        elif last:
            self.message(data, cut, too_big=False, no=no is End)
        else:
            self.say(data, cut, 250)
            model.state = State.CHUNKS

    @precondition(lambda self: not self.model.closed)
    @rule(argument=st.sampled_from(("", "x")), cut=st.integers(0))
    def rset(self, argument: str, cut: int) -> None:
        """RSET."""
        if argument:
            self.say(b"RSET x\r\n", cut, 501)
        else:
            self.ended(self.say(b"RSET\r\n", cut, 250))

    @precondition(lambda self: not self.model.closed)
    @rule(
        command=st.sampled_from(
            (
                *(("NOOP", 250, ""), ("HELP", 214, ""), ("HELP XYZZY", 504, ""), ("VRFY", 501, ""), ("EXPN", 501, "")),
                *(
                    ("VRFY a@b.example", 252, "Verify"),
                    ("EXPN list", 250, "Expand"),
                    ("TURN", 502, ""),
                    ("XYZZY", 500, "Unknown"),
                ),
                *(("NO\0OP", 500, ""), ("NOOP \udcff", 500, ""), ("NOOP " + "x" * 3000, 500, ""), ("DATA x", 0, "")),
            )
        ),
        no=st.booleans(),
        cut=st.integers(0),
    )
    def aside(self, command: tuple[str, int, str], no: bool, cut: int) -> None:
        """What changes nothing, whatever becomes of it."""
        text, code, event = command
        if text == "DATA x":
            code = {State.RCPT: 501, State.MAIL: 554}.get(self.model.state, 503)
        if event == "Unknown" and not self.asks:
            event = ""
        data = text.encode("utf-8", "surrogateescape") + b"\r\n"
        if event and no:
            self.say(data, cut, 451, **{event: NO})
        else:
            assert len(self.say(data, cut, code)) == bool(event)

    @precondition(lambda self: not self.model.closed)
    @rule(argument=st.sampled_from(("", "a b", "a/b", "example.org")), no=st.booleans(), cut=st.integers(0))
    def etrn(self, argument: str, no: bool, cut: int) -> None:
        """ETRN."""
        data = f"ETRN {argument}\r\n".encode()
        if self.lmtp:
            self.say(data, cut, 500)
        elif self.model.state is not State.IDLE:
            self.say(data, cut, 503)
        elif argument != "example.org":
            self.say(data, cut, 501 if argument == "a/b" else 500)
        else:
            self.say(data, cut, 451 if no else 250, **({"Etrn": NO} if no else {}))

    @precondition(lambda self: not self.model.closed)
    @rule(
        way=st.sampled_from(("initial", "challenge", "abort", "malformed", "endless", "syntax")),
        no=st.booleans(),
        cut=st.integers(0),
    )
    def auth(self, way: str, no: bool, cut: int) -> None:
        """AUTH in one step or two, or given up in the middle."""
        model = self.model
        if model.state is not State.IDLE or not model.helo_name or model.authenticated:
            self.say(b"AUTH PLAIN\r\n", cut, 503)
            return
        asked = replies.challenge("")
        if way == "initial":
            self.say(b"AUTH PLAIN c2VjcmV0\r\n", cut, 451 if no else 235, **({"Auth": NO} if no else {}))
            model.authenticated = not no
        elif way == "challenge":
            answers = {"Auth": asked, **({"AuthResponse": NO} if no else {})}
            self.say(b"AUTH PLAIN\r\nc2VjcmV0\r\n", cut, 334, 451 if no else 235, **answers)
            model.authenticated = not no
        elif way == "syntax":
            self.say(b"AUTH P?\r\n", cut, 501)
        else:
            line = {"abort": b"*", "malformed": b"?", "endless": b"A" * 20000}[way]
            events = self.say(
                b"AUTH PLAIN\r\n" + line + b"\r\n", cut, 334, 500 if way == "endless" else 501, Auth=asked
            )
            assert [type(event) for event in events] == [Auth, AuthEnded]

    @precondition(lambda self: not self.model.closed)
    @rule(no=st.booleans(), argument=st.sampled_from(("", " x")), injected=st.sampled_from((b"", b"MAIL FROM:<>\r\n")))
    def starttls(self, no: bool, argument: str, injected: bytes) -> None:
        """STARTTLS; what is sent with it in clear text is nobody's command."""
        model = self.model
        data = f"STARTTLS{argument}\r\n".encode()
        if model.state is not State.IDLE:
            self.say(data, 0, 503)
        elif model.tls:
            self.say(data, 0, 554)
        elif argument:
            self.say(data, 0, 501)
        elif no:
            self.say(data, 0, 451, StartTls=NO)
        else:
            self.say(data + injected, 0, 220)
            self.model = Model("LMTP" if self.lmtp else "SMTP", tls=True)

    @precondition(lambda self: not self.model.closed)
    @rule(
        argument=st.sampled_from(("", "ADDR=x", "ADDR=192.0.2.1", "HELO=h LOGIN=ann", "PROTO=ESMTP")),
        no=st.sampled_from((None, None, NO, AWAY)),
        cut=st.integers(0),
    )
    def xclient(self, argument: str, no: Reply | None, cut: int) -> None:
        """XCLIENT, for a client that is welcome, or not, or is turned away for good."""
        model = self.model
        data = f"XCLIENT {argument}\r\n".encode()
        if model.state is not State.IDLE:
            self.say(data, cut, 503)
        elif argument in ("", "ADDR=x"):
            self.say(data, cut, 501)
        elif no is AWAY:
            self.say(data, cut, 554, XClient=AWAY)
            for command in (b"EHLO c\r\n", b"MAIL FROM:<>\r\n", b"BDAT 6 LAST\r\nQUIT\r\n", b"XCLIENT HELO=h\r\n"):
                assert not self.say(command, cut, 503)
            self.say(b"QUIT\r\n", cut, 221)
            model.closed = True
        elif no is NO:
            self.say(data, cut, 451, XClient=NO)
        else:
            self.say(data, cut, 220)
            self.model = Model("LMTP" if self.lmtp else "SMTP", tls=model.tls)
            if argument.startswith("HELO"):
                self.model.helo_name, self.model.authenticated = "h", True
            elif argument.startswith("PROTO") and not self.lmtp:
                self.model.protocol = "ESMTP"

    @precondition(lambda self: not self.model.closed)
    @rule(argument=st.sampled_from(("", "PORT=x", "HELO=h", "PORT=5")), cut=st.integers(0))
    def xforward(self, argument: str, cut: int) -> None:
        """XFORWARD."""
        data = f"XFORWARD {argument}\r\n".encode()
        if self.model.state is not State.IDLE:
            self.say(data, cut, 503)
        elif argument in ("", "PORT=x"):
            self.say(data, cut, 501)
        else:
            assert not self.say(data, cut, 250)
            name, _, value = argument.partition("=")
            self.model.forwarded = {**self.model.forwarded, name: value}

    @precondition(lambda self: not self.model.closed)
    @rule(
        ending=st.sampled_from((("QUIT", 221), ("GET / HTTP/1.0", 221), ("BDAT x", 521), ("421", 421))),
        cut=st.integers(0),
    )
    def leave(self, ending: tuple[str, int], cut: int) -> None:
        """The ways in which a session ends; nothing behind them is read."""
        text, code = ending
        if text == "421":
            events = self.say(b"VRFY a\r\nNOOP\r\n", cut, code, Verify=replies.server_error("mx.example"))
        else:
            events = self.say(f"{text}\r\nNOOP\r\n".encode(), cut, code)
        assert isinstance(events[-1], Close)
        self.ended(events)
        self.model.closed = True


ServerMachine.TestCase.settings = hypothesis_settings(max_examples=300, stateful_step_count=30, deadline=None)
TestServerMachine = ServerMachine.TestCase
