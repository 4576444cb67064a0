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

RFC 5321, 1870, 2033, 2034, 2920, 3030, 3207, 3461, 4954, 6152, 6531.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pillarbox.lib.sasl.wire import SaslAborted, SaslSyntaxError, decode_response
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.commands import AUTH_LINE_LIMIT, refusing_chunk
from pillarbox.lib.smtp.content import ChunkDecoder, DataDecoder
from pillarbox.lib.smtp.events import (
    Auth,
    AuthEnded,
    AuthResponse,
    Close,
    Content,
    Data,
    End,
    Event,
    Hello,
    Mail,
    Note,
    Overflow,
    Rcpt,
    Reset,
    StartTls,
)
from pillarbox.lib.smtp.profile import Profile
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.smtp.states import BEFORE_TLS, JUNK, LAST_IN_GROUP, LMTP_TABLE, ORDER, TABLE, State

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_QUOTE_LIMIT: Final = 100  # characters of the client's input in a note for the log
_CLOSING_CODES: Final = frozenset((421, 521))


class ServerSession:
    """One session, from the greeting to the end of the connection."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.helo_name = ""
        self.protocol = "LMTP" if profile.lmtp else "SMTP"
        self.tls = False
        self.authenticated = False
        self.smtputf8 = False
        self.recipients = 0
        self.overshoot = 0
        self.errors = 0
        self.where = "CONNECT"
        """What the client did last, for "lost connection after ..."."""
        self.content_size = 0
        self.closed = False
        self.counts: dict[str, list[int]] = {}
        """For each verb how often it was done and how often it was tried."""
        self._table = LMTP_TABLE if profile.lmtp else TABLE
        self._junk = 0
        self._buffer = b""
        self._start = 0
        self._events: list[Event] = []
        self._output: list[bytes] = []
        self._pending: Event | None = None
        self._count: list[int] | None = None
        self._read = self._read_command
        self._skipping = False
        self._greeted = False
        self._data: DataDecoder | None = None
        self._chunks: ChunkDecoder | None = None
        self._chunk_size = 0
        self._chunk_last = False
        self._chunk_refusal: Reply | None = None
        self._overflowed = False
        self._enter(State.START)

    # --- the driver's side
    @property
    def buffered(self) -> int:
        """Bytes that were fed and are not yet used."""
        return len(self._buffer) - self._start

    @property
    def waiting(self) -> bool:
        """Whether an event waits for its answer."""
        return self._pending is not None

    @property
    def in_transaction(self) -> bool:
        """Whether MAIL was accepted and its transaction is not over."""
        return self._state not in (State.START, State.READY)

    @property
    def in_content(self) -> bool:
        """Whether the bytes that come next are content."""
        return self._read == self._read_data or (self._read == self._read_chunk and self._chunk_refusal is None)

    @property
    def tarpit(self) -> bool:
        """Whether the client has made so many errors that each reply is to be delayed."""
        limit = self.profile.soft_error_limit
        return self.errors >= limit > 0

    def greet(self) -> None:
        """Say 220; or 554 to a client that has not waited for it (RFC 5321 section 3.1)."""
        self._greeted = True
        if self.buffered and self.profile.forbid_pipelining:
            self._out_of_turn()
        else:
            self._output.append(replies.greeting(self.profile.greeting).encode())

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        if self.closed:
            return
        self._buffer = self._buffer[self._start :] + data if self._start < len(self._buffer) else data
        self._start = 0

    def next_event(self) -> Event | None:
        """The next event; None until more is fed, or the event before is answered, or output is taken."""
        events = self._events
        while not events:
            if self._pending is not None or not self._greeted or not self._read():
                return None
        return events.pop(0)

    def take_output(self) -> bytes:
        """What to write now."""
        output = self._output
        if not output:
            return b""
        data = output[0] if len(output) == 1 else b"".join(output)
        output.clear()
        return data

    def answer_hello(self, mechanisms: tuple[str, ...] = ()) -> None:
        """Accept the name; `mechanisms` are what AUTH offers."""
        event = self._pending
        assert type(event) is Hello
        self.helo_name = event.name
        self._enter(State.READY)
        if event.verb == "HELO":
            self.protocol = "SMTP"
            self.answer(replies.hello(self.profile.host))
        else:
            self.protocol = "ESMTP" if event.verb == "EHLO" else "LMTP"
            self.answer(self.profile.extensions(self.tls, mechanisms))

    def answer(self, reply: Reply) -> None:
        """Answer the event that waits; the reply's code says what becomes of it."""
        event, self._pending = self._pending, None
        if event is None:
            raise RuntimeError("no event waits for an answer")
        transition = _TRANSITIONS.get(type(event))
        if transition is not None and transition(self, event, reply):
            return
        self.reply(reply)

    def answer_recipients(self, answers: list[Reply]) -> None:
        """Answer `End` for each recipient in order (RFC 2033 section 4.2)."""
        assert type(self._pending) is End and len(answers) == self.recipients
        self._pending = None
        self.leave_transaction(silently=True)
        accepted = any(not reply.failed for reply in answers)
        for reply in answers[:-1]:
            self._output.append((replies.softened(reply) if self.profile.soft_bounce else reply).encode())
        last = answers[-1]
        self.reply(last, excused=accepted)
        if accepted:
            self._message_taken()

    def tls_started(self) -> None:
        """The handshake is done; what the client said before is forgotten (RFC 3207 section 4.2)."""
        self.tls = True
        self._read = self._read_command

    def stop(self) -> bool:
        """End with 421 if the client is between transactions and nothing waits; whether the session is over."""
        if not self.closed and self._greeted and not self.waiting and not self.in_transaction and not self._events:
            self.shut(replies.stopping(self.profile.host), "")
        return self.closed

    def shut(self, reply: Reply, reason: str) -> None:
        """Break off: an answer, out of turn if need be, then the end."""
        self._pending = None
        self._count = None
        self.leave_transaction()
        self._output.append(reply.encode())
        self.close(reason)

    # --- what the commands use
    def reply(self, reply: Reply, *, excused: bool = False) -> None:
        """Give the final reply to the current command."""
        code = reply.code
        if code >= 500 and self.profile.soft_bounce:
            reply = replies.softened(reply)
            code = reply.code
        self._output.append(reply.encode())
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
            self._output.append(replies.too_many_errors(self.profile.host).encode())
            self.close("too many errors")

    def ask(self, event: Event) -> None:
        """Put an event to the driver and wait for its answer."""
        self._pending = event
        self._events.append(event)

    def note(self, kind: str, text: str) -> None:
        """Tell the driver something for the log."""
        self._events.append(Note(kind, text))

    def close(self, reason: str) -> None:
        """Nothing more is read."""
        if not self.closed:
            self.leave_transaction()
            self.closed = True
            self._buffer, self._start = b"", 0
            self._read = self._read_nothing
            self._events.append(Close(reason))

    def leave_transaction(self, *, silently: bool = False) -> None:
        """The one way out of a transaction, whatever ended it."""
        if self._state is State.START or self._state is State.READY:
            return
        self._enter(State.READY)
        self.recipients = 0
        self.overshoot = 0
        self.smtputf8 = False
        self.content_size = 0
        self._data = None
        self._chunks = None
        self._overflowed = False
        if not silently:
            self._events.append(Reset())

    def begin_chunk(self, size: int, last: bool, refusal: Reply | None) -> None:
        """A BDAT command was read; `size` octets follow whatever becomes of it."""
        self._chunk_size, self._chunk_last, self._chunk_refusal = size, last, refusal
        if refusal is None and self._chunks is None:
            self.ask(Data(chunked=True))
            return
        self._begin_chunk()

    # --- transitions, one per kind of event; True where the reply was given or must not be given
    def _after_mail(self, event: Mail, reply: Reply) -> bool:
        if not reply.failed:
            self._enter(State.MAIL)
            self.smtputf8 = event.smtputf8
        return False

    def _after_rcpt(self, event: Rcpt, reply: Reply) -> bool:
        if not reply.failed:
            self._enter(State.RCPT)
            self.recipients += 1
        return False

    def _after_data(self, event: Data, reply: Reply) -> bool:
        if event.chunked:
            if reply.failed:
                self._chunk_refusal = reply
            self._begin_chunk()
            return True
        if reply.code == 354:
            self.content_size = 0
            self._data = DataDecoder(self.profile.bare_newline)
            self._read = self._read_data
            self._output.append(reply.encode())
            return True
        return False

    def _after_end(self, event: End, reply: Reply) -> bool:
        self.leave_transaction(silently=True)
        if reply.failed:
            return False
        self.reply(reply)
        self._message_taken()
        return True

    def _after_starttls(self, event: StartTls, reply: Reply) -> bool:
        if reply.failed:
            return False
        self.reply(reply)
        self._buffer, self._start = b"", 0
        self._read = self._read_nothing
        self.helo_name = ""
        self.protocol = "LMTP" if self.profile.lmtp else "SMTP"
        self.authenticated = False
        self._enter(State.START)
        return True

    def _after_auth(self, event: Auth | AuthResponse, reply: Reply) -> bool:
        self._read = self._read_command
        if reply.code == 334:
            self._read = self._read_response
        elif not reply.failed:
            self.authenticated = True
        return False

    def _message_taken(self) -> None:
        # A client that gets mail through has shown that it is no mere nuisance.
        self.errors = self._junk = 0

    # --- reading
    def _enter(self, state: State) -> None:
        self._state = state
        self._verbs = self._table[state]

    def _read_nothing(self) -> bool:
        return False

    def _line(self, limit: int) -> bytes | None:
        """The next line without its end; None until it is complete.  An overlong one is answered and passed over."""
        buffer, start = self._buffer, self._start
        end = buffer.find(b"\n", start)
        if end < 0:
            if len(buffer) - start > limit + 1:
                self._skipping = True
            if self._skipping:
                self._buffer, self._start = b"", 0
            return None
        self._start = end + 1
        if self._skipping or end - start > limit + 1:
            self._skipping = False
            return b"\n"
        return buffer[start:end]

    def _read_command(self) -> bool:
        buffer, start = self._buffer, self._start
        if start >= len(buffer):
            return False
        profile = self.profile
        if self._output and self.tarpit:
            return False
        first = buffer[start]
        limit = profile.command_limit
        if (first == 65 or first == 97) and buffer[start : start + 5].upper() == b"AUTH ":
            limit = max(limit, AUTH_LINE_LIMIT)
        line = self._line(limit)
        if line is None:
            # A TLS handshake or another protocol's binary greeting will never send a line end.
            if first < 32 and first not in b"\t\r\n" and not self._skipping:
                self._break_rules(buffer[start:])
                return True
            return False
        if line == b"\n":
            self._unknown(replies.too_long(profile.host))
            return True
        if line[-1:] == b"\r":
            line = line[:-1]
        elif profile.bare_newline == "reject":
            self._unknown(replies.bare_line_feed(profile.host))
            return True
        self._command(line)
        return True

    def _command(self, line: bytes) -> None:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            if not line[:1].isalpha():
                self._break_rules(line)
            else:
                self._unknown(replies.BAD_UTF8)
            return
        if not text.isprintable():
            text = text.replace("\t", " ")
            if _CONTROL.search(text):
                if not line[:1].isalpha():
                    self._break_rules(line)
                else:
                    self._unknown(replies.BAD_SYNTAX)
                return
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        entry = self._verbs.get(verb)
        if entry is None:
            self._no_verb(verb, line)
            return
        self.where = verb
        profile = self.profile
        if (
            profile.forbid_pipelining
            and self._start < len(self._buffer)
            and (verb in LAST_IN_GROUP or self.protocol == "SMTP")
            and verb != "STARTTLS"
        ):
            self._out_of_turn()
            return
        count = self.counts.get(verb)
        if count is None:
            count = self.counts[verb] = [0, 0]
        count[1] += 1
        self._count = count
        if verb in JUNK:
            self._junk += 1
            if self._junk > profile.junk_limit > 0:
                self.errors += 1
        if profile.tls_required and not self.tls and verb not in BEFORE_TLS:
            entry = replies.TLS_REQUIRED if verb != "BDAT" else refusing_chunk(replies.TLS_REQUIRED)
        if isinstance(entry, Reply):
            self.reply(entry)
        else:
            entry(self, argument.strip(" "))

    def _no_verb(self, verb: str, line: bytes) -> None:
        if not verb:
            self._unknown(replies.BAD_SYNTAX)
        elif verb in self.profile.forbidden or not verb[0].isalpha() or not verb.isascii():
            self._break_rules(line)
        else:
            self._unknown(replies.NOT_RECOGNIZED)

    def _unknown(self, reply: Reply) -> None:
        self.where = "UNKNOWN"
        self._count = self.counts.setdefault("UNKNOWN", [0, 0])
        self._count[1] += 1
        self.reply(reply)

    def _break_rules(self, line: bytes) -> None:
        """Not SMTP at all: a web browser made to speak to us, TLS on the wrong port."""
        self._count = self.counts.setdefault("UNKNOWN", [0, 0])
        self._count[1] += 1
        self.where = "UNKNOWN"
        self.note("non-SMTP command", _quoted(line))
        self._output.append(replies.NOT_SMTP.encode())
        self.close("")

    def _out_of_turn(self) -> None:
        self._events.append(
            Note(f"improper command pipelining after {self.where}", _quoted(self._buffer[self._start :]))
        )
        self._output.append(replies.IMPROPER_PIPELINING.encode())
        self.errors += 1
        self.close("")

    def _read_response(self) -> bool:
        if self._start >= len(self._buffer):
            return False
        line = self._line(AUTH_LINE_LIMIT)
        if line is None:
            return False
        try:
            response = decode_response(line.removesuffix(b"\r"))
        except SaslAborted:
            self._end_auth(replies.AUTH_ABORTED, "aborted by the client")
        except SaslSyntaxError as error:
            self._end_auth(replies.AUTH_BAD_BASE64, str(error))
        else:
            self.ask(AuthResponse(response))
        return True

    def _end_auth(self, reply: Reply, reason: str) -> None:
        self._read = self._read_command
        self._events.append(AuthEnded(reason))
        self.reply(reply)

    def _read_data(self) -> bool:
        if self._start >= len(self._buffer):
            return False
        decoder = self._data
        assert decoder is not None
        data = self._buffer[self._start :] if self._start else self._buffer
        self._buffer, self._start = b"", 0
        content = decoder.feed(data)
        if content:
            self._content(content)
        if decoder.done:
            self._buffer = decoder.rest
            self._read = self._read_command
            self.where = "END-OF-MESSAGE"
            self._end(decoder.bare_newline, chunked=False)
        return True

    def _begin_chunk(self) -> None:
        if self._chunk_refusal is None:
            if self._chunks is None:
                self.content_size = 0
                self._chunks = ChunkDecoder(self.profile.bare_newline)
                self._enter(State.CHUNKS)
            self._chunks.begin_chunk(self._chunk_size)
        self._chunk_left = self._chunk_size
        self._read = self._read_chunk

    def _read_chunk(self) -> bool:
        left = self._chunk_left
        if left:
            if self._start >= len(self._buffer):
                return False
            data = self._buffer[self._start : self._start + left]
            self._start += len(data)
            self._chunk_left = left = left - len(data)
            if self._chunk_refusal is None:
                assert self._chunks is not None
                content = self._chunks.feed(data)
                if content:
                    self._content(content)
        if not left:
            self._read = self._read_command
            self._end_chunk()
        return True

    def _end_chunk(self) -> None:
        refusal = self._chunk_refusal or (replies.TOO_BIG if self._overflowed else None)
        if refusal is not None:
            self._refuse_content(refusal, last=self._chunk_last)
            return
        assert self._chunks is not None
        if self._chunk_last:
            tail = self._chunks.finish()
            if tail:
                self._content(tail)
            self._end(self._chunks.bare_newline, chunked=True)
        else:
            if not self._chunk_size:
                self._junk += 1  # an empty chunk does no work
                if self._junk > self.profile.junk_limit > 0:
                    self.errors += 1
            self.reply(replies.chunk_taken(self._chunk_size))

    def _content(self, content: bytes) -> None:
        if self._overflowed:
            return
        self.content_size += len(content)
        if self.content_size > self.profile.size_limit > 0:
            self._overflowed = True
            self._events.append(Overflow())
        else:
            self._events.append(Content(content))

    def _end(self, bare_newline: bool, *, chunked: bool) -> None:
        if self._overflowed or bare_newline:
            reply = replies.TOO_BIG if self._overflowed else replies.bare_line_feed(self.profile.host)
            self._refuse_content(reply, last=True)
        else:
            self.ask(End(self.content_size, chunked))

    def _refuse_content(self, reply: Reply, *, last: bool) -> None:
        """End the transaction; LMTP clients wait for one reply per recipient after the last octet."""
        others = self.recipients - 1 if self.profile.lmtp and last else 0
        self.note("reject: END-OF-MESSAGE", str(reply))
        self.leave_transaction()
        if self.profile.soft_bounce:
            reply = replies.softened(reply)
        self._output += [reply.encode()] * others
        self.reply(reply)

    # --- for the log
    def summary(self) -> str:
        """`ehlo=1 mail=1/2 quit=1 commands=3/4`: done, and tried where that differs."""
        words = []
        done = tried = 0
        for verb in (*ORDER, "UNKNOWN"):
            count = self.counts.get(verb)
            if count is not None:
                good, total = count
                done += good
                tried += total
                words.append(f"{verb.lower()}={good}" if good == total else f"{verb.lower()}={good}/{total}")
        words.append(f"commands={done}" if done == tried else f"commands={done}/{tried}")
        return " ".join(words)


_TRANSITIONS: Final[dict[type, Callable[[ServerSession, Any, Reply], bool]]] = {
    Mail: ServerSession._after_mail,
    Rcpt: ServerSession._after_rcpt,
    Data: ServerSession._after_data,
    End: ServerSession._after_end,
    StartTls: ServerSession._after_starttls,
    Auth: ServerSession._after_auth,
    AuthResponse: ServerSession._after_auth,
}


def _quoted(data: bytes) -> str:
    return data[:_QUOTE_LIMIT].decode("utf-8", "replace")
