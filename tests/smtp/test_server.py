"""The server's state machine: every dialogue gives the same replies however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import AuthEnded, Close, Data, End, Event, Mail, Note, Overflow, Rcpt, Reset, StartTls
from pillarbox.lib.smtp.profile import Profile
from pillarbox.lib.smtp.reply import Reply
from pillarbox.lib.smtp.server import ServerSession
from tests.feeding import splits, truncations
from tests.smtp.dialogue import HOST, Talk, default_policy, profile, talk

OPEN = b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
AUTH = profile(auth=True)

# Client's bytes, the codes of all replies behind the greeting, the last reply.
DIALOGUES: dict[str, tuple[bytes, list[int], str]] = {
    "a message": (OPEN + b"DATA\r\nx\r\n.\r\nQUIT\r\n", [250, 250, 250, 354, 250, 221], "221 2.0.0 Bye"),
    "two messages": (OPEN + b"DATA\r\n.\r\n" + OPEN + b"DATA\r\n.\r\n", [250, 250, 250, 354, 250] * 2, "250 2.0.0 Ok"),
    "helo": (b"HELO c\r\n", [250], f"250 {HOST}"),
    "mail without helo": (b"MAIL FROM:<>\r\n", [250], "250 2.1.0 Ok"),
    "hello without name": (b"HELO\r\nEHLO \r\n", [501, 501], "501 5.5.4 Syntax: EHLO hostname"),
    "rcpt first": (b"RCPT TO:<a@b.example>\r\n", [503], "503 5.5.1 Error: need MAIL command"),
    "data first": (b"DATA\r\n", [503], "503 5.5.1 Error: need RCPT command"),
    "nested mail": (OPEN + b"MAIL FROM:<>\r\n", [250, 250, 250, 503], "503 5.5.1 Error: nested MAIL command"),
    "no recipient": (b"EHLO c\r\nMAIL FROM:<>\r\nDATA\r\n", [250, 250, 554], "554 5.5.1 Error: no valid recipients"),
    "refused recipient": (
        b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<no@d.example>\r\nDATA\r\n",
        [250, 250, 554, 554],
        "554 5.5.1 Error: no valid recipients",
    ),
    "rset": (OPEN + b"RSET\r\nDATA\r\n", [250, 250, 250, 250, 503], "503 5.5.1 Error: need RCPT command"),
    "ehlo resets": (OPEN + b"EHLO c\r\nDATA\r\n", [250, 250, 250, 250, 503], "503 5.5.1 Error: need RCPT command"),
    "data with argument": (OPEN + b"DATA x\r\n", [250, 250, 250, 501], "501 5.5.4 Syntax: DATA"),
    "unknown": (b"FOO\r\n", [500], "500 5.5.2 Error: command not recognized"),
    "expn": (b"EXPN list\r\n", [502], "502 5.5.1 Error: command not implemented"),
    "help": (b"HELP\r\n", [214], "214 2.0.0 HELP QUIT"),
    "vrfy": (b"VRFY a@b.example\r\n", [252], "252 2.0.0 a@b.example"),
    "noop with argument": (b"NOOP x\r\n", [250], "250 2.0.0 Ok"),
    "empty line": (b"\r\n", [500], "500 5.5.2 Error: bad syntax"),
    "leading blank": (b" NOOP\r\n", [500], "500 5.5.2 Error: bad syntax"),
    "lower case and tabs": (b"noop\t\r\nmail\tFROM:<>\r\n", [250, 250], "250 2.1.0 Ok"),
    "bare LF commands": (b"NOOP\nNOOP\n", [250, 250], "250 2.0.0 Ok"),
    "NUL": (b"NO\0OP\r\nNOOP\r\n", [500, 250], "250 2.0.0 Ok"),
    "lone CR": (b"NOOP\rNOOP\r\n", [500], "500 5.5.2 Error: bad syntax"),
    "8 bit that is no UTF-8": (b"MAIL FROM:<\xff@b>\r\n", [500], "500 5.5.2 Error: bad UTF-8 syntax"),
    "too long": (b"NOOP " + b"x" * 5000 + b"\r\nNOOP\r\n", [500, 250], "250 2.0.0 Ok"),
    "longest": (b"NOOP " + b"x" * 2043 + b"\r\n", [250], "250 2.0.0 Ok"),
    "bdat": (OPEN + b"BDAT 3\r\nabcBDAT 2 LAST\r\nd\nQUIT\r\n", [250, 250, 250, 250, 250, 221], "221 2.0.0 Bye"),
    "empty last chunk": (OPEN + b"BDAT 1\r\nxBDAT 0 LAST\r\n", [250, 250, 250, 250, 250], "250 2.0.0 Ok"),
    "chunk of commands": (OPEN + b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", [250, 250, 250, 250, 250], "250 2.0.0 Ok"),
    "bdat out of place": (b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", [503, 250], "250 2.0.0 Ok"),
    "bdat without recipient": (b"MAIL FROM:<>\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n", [250, 554, 250], "250 2.0.0 Ok"),
    "bad bdat": (OPEN + b"BDAT x\r\nNOOP\r\n", [250, 250, 250, 521], "521 5.5.4 Syntax: BDAT count [LAST]"),
    "huge bdat": (OPEN + b"BDAT 9999999999999999\r\n", [250, 250, 250, 521], "521 5.5.4 Syntax: BDAT count [LAST]"),
    "data after bdat": (OPEN + b"BDAT 0\r\nDATA\r\n", [250, 250, 250, 250, 503], "503 5.5.1 Error: DATA after BDAT"),
    "rcpt after bdat": (
        OPEN + b"BDAT 0\r\nRCPT TO:<e@f.example>\r\n",
        [250, 250, 250, 250, 503],
        "503 5.5.1 Error: RCPT after BDAT",
    ),
    "no tls": (b"EHLO c\r\nSTARTTLS\r\n", [250, 502], "502 5.5.1 Error: command not implemented"),
    "no auth": (b"EHLO c\r\nAUTH PLAIN\r\n", [250, 503], "503 5.5.1 Error: authentication not enabled"),
    "auth in a transaction": (OPEN + b"AUTH X\r\n", [250, 250, 250, 503], "503 5.5.1 Error: MAIL transaction in"),
    "http": (b"GET / HTTP/1.0\r\nNOOP\r\n", [221], "221 2.7.0 Error: I can break rules, too. Goodbye."),
    "symbols": (b"!!\r\nNOOP\r\n", [221], "221 2.7.0 Error: I can break rules, too. Goodbye."),
    "tls on the wrong port": (b"\x16\x03\x01\x02\x00", [221], "221 2.7.0 Error: I can break rules, too. Goodbye."),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(name: str) -> None:
    data, codes, last = DIALOGUES[name]
    for pieces in splits(data):
        result = talk(pieces)
        assert result.codes[1:] == codes, pieces
        assert result.last.startswith(last)


@pytest.mark.parametrize("name", DIALOGUES)
def test_a_dialogue_cut_short_gives_a_beginning_of_the_replies(name: str) -> None:
    data, codes, _ = DIALOGUES[name]
    for beginning in truncations(data):
        got = talk(beginning).codes[1:]
        assert got == codes[: len(got)]


@pytest.mark.parametrize(
    ("data", "content"),
    [(b"x\r\n..y\r\n.\r\n", b"x\n.y\n"), (b".\r\n", b""), (b"a\nb\r\n.\n.\r\n\r\n.\r\n", b"a\nb\n\n\n\n")],
)
def test_content_is_what_was_sent(data: bytes, content: bytes) -> None:
    for pieces in splits(OPEN + b"DATA\r\n" + data + b"NOOP\r\n"):
        result = talk(pieces)
        assert result.messages == [content]
        assert result.codes[-1] == 250


def test_a_smuggled_message_stays_content() -> None:
    evil = b"x\n.\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<v@d.example>\r\nDATA\r\ny\r\n.\r\n"
    result = talk(OPEN + b"DATA\r\n" + evil)
    assert len([event for event in result.events if isinstance(event, Mail)]) == 1
    assert len(result.messages) == 1


def test_bare_newlines_are_refused_where_the_administrator_wants_it() -> None:
    settings = profile(bare_newline="reject")
    result = talk(OPEN + b"DATA\r\nx\ny\r\n.\r\nNOOP\n", settings)
    assert result.codes[1:] == [250, 250, 250, 354, 550, 550]
    assert not result.messages
    assert any(isinstance(event, Reset) for event in result.events)


# --- limits
def test_the_first_byte_over_the_limit_ends_the_content() -> None:
    settings = profile(size_limit=10)
    for pieces in splits(OPEN + b"DATA\r\n12345678\r\nx\r\n.\r\n" + OPEN + b"DATA\r\n12345678\r\n.\r\n"):
        result = talk(pieces, settings)
        assert result.codes[1:] == [250, 250, 250, 354, 552, 250, 250, 250, 354, 250]
        assert [type(event) for event in result.events].count(Overflow) == 1
        assert result.messages == [b"12345678\n"]


def test_chunks_over_the_limit_are_read_and_refused() -> None:
    for pieces in splits(OPEN + b"BDAT 12\r\n" + b"x" * 12 + b"BDAT 2 LAST\r\nxx" + b"NOOP\r\n"):
        assert talk(pieces, profile(size_limit=10)).codes[1:] == [250, 250, 250, 552, 503, 250]


def test_size_parameter_over_the_limit_is_refused() -> None:
    result = talk(b"EHLO c\r\nMAIL FROM:<> SIZE=11\r\n", profile(size_limit=10))
    assert result.last == "552 5.3.4 Message size exceeds fixed limit"


def test_recipients_beyond_the_limit_are_refused_without_counting_as_errors() -> None:
    settings = profile(recipient_limit=2, recipient_overshoot=3, hard_error_limit=2)
    result = talk(OPEN + b"RCPT TO:<x@d.example>\r\n" * 5, settings)
    assert result.codes[1:] == [250, 250, 250, 250, 452, 452, 452, 452]
    assert result.session.errors == 1
    assert not result.session.closed


def test_too_many_errors_end_the_session() -> None:
    result = talk(b"FOO\r\n" * 5, profile(hard_error_limit=3))
    assert result.codes[1:] == [500, 500, 500, 421]
    assert result.events[-1] == Close("too many errors")
    assert result.session.summary() == "unknown=0/3 commands=0/3"


def test_junk_counts_as_errors_beyond_its_limit() -> None:
    assert talk(b"NOOP\r\n" * 9, profile(junk_limit=3, hard_error_limit=2)).codes[1:] == [250, 250, 250, 250, 250, 421]


def test_a_message_taken_forgives_errors() -> None:
    assert talk(b"FOO\r\n" + OPEN + b"DATA\r\n.\r\n").session.errors == 0


def test_beyond_the_soft_limit_one_reply_at_a_time() -> None:
    session = ServerSession(profile(soft_error_limit=1))
    session.greet()
    session.feed(b"FOO\r\nFOO\r\nNOOP\r\n")
    assert session.next_event() is None
    assert session.tarpit
    assert session.take_output().count(b"\r\n") == 2  # the greeting and one error
    assert session.next_event() is None
    assert session.take_output() == b"500 5.5.2 Error: command not recognized\r\n"


def test_a_hundred_megabyte_line_takes_no_memory() -> None:
    session = ServerSession(profile())
    session.greet()
    block = b"x" * (1024 * 1024)
    for _ in range(100):
        session.feed(block)
        assert session.next_event() is None
        assert session.buffered == 0
    session.feed(b"\r\nNOOP\r\n")
    assert session.next_event() is None
    assert session.take_output().split(b"\r\n")[1:3] == [
        b"500 5.5.2 mx.example Error: command too long",
        b"250 2.0.0 Ok",
    ]


# --- pipelining
STRICT = Profile(HOST, HOST)


@pytest.mark.parametrize(
    "data", [b"EHLO c\r\nNOOP\r\n", b"HELO c\r\n", b"MAIL FROM:<>\r\nRCPT TO:<a@b>\r\n", b"NOOP\r\nX"]
)
def test_a_client_that_does_not_wait_is_sent_away(data: bytes) -> None:
    result = talk([b"", data + b"QUIT\r\n"] if data != b"HELO c\r\n" else [data, b"MAIL FROM:<>\r\nNOOP\r\n"], STRICT)
    assert result.last == "554 5.5.0 Error: SMTP protocol synchronization"
    assert any(isinstance(event, Note) and "improper command pipelining after" in event.kind for event in result.events)
    assert result.session.closed


def test_a_client_that_speaks_first_is_sent_away() -> None:
    session = ServerSession(STRICT)
    session.feed(b"EHLO c\r\n")
    assert session.next_event() is None
    session.greet()
    assert session.next_event() == Note("improper command pipelining after CONNECT", "EHLO c\r\n")
    assert session.take_output() == b"554 5.5.0 Error: SMTP protocol synchronization\r\n"


def test_legal_pipelining_is_welcome() -> None:
    batch = b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
    assert talk([b"EHLO c\r\n", batch, b"x\r\n.\r\n"], STRICT).codes[1:] == [250, 250, 250, 250, 354, 250]


def test_content_before_354_is_improper() -> None:
    assert talk([b"EHLO c\r\n", OPEN[8:] + b"DATA\r\nx\r\n.\r\n"], STRICT).codes[-1] == 554


# --- TLS and AUTH
def test_starttls_forgets_everything_and_ignores_what_was_pipelined() -> None:
    settings = profile(tls=True, auth=True)
    data = b"EHLO c\r\nAUTH PLAIN c2VjcmV0\r\nSTARTTLS\r\nMAIL FROM:<evil@x.example>\r\n"
    result = talk(data, settings)
    assert result.codes[1:] == [250, 235, 220]
    session = result.session
    assert (session.helo_name, session.authenticated, session.tls, session.buffered) == ("", False, True, 0)
    result.feed(b"RCPT TO:<a@b.example>\r\nSTARTTLS\r\n")
    assert result.codes[-2:] == [503, 554]


def test_during_the_handshake_nothing_is_read() -> None:
    session = ServerSession(profile(tls=True))
    session.greet()
    session.feed(b"STARTTLS\r\n")
    assert isinstance(session.next_event(), StartTls)
    session.answer(replies.READY_FOR_TLS)
    session.feed(b"NOOP\r\n")
    assert session.next_event() is None
    assert session.take_output().endswith(b"220 2.0.0 Ready to start TLS\r\n")


def test_a_refused_starttls_leaves_the_session_as_it_was() -> None:
    settings = profile(tls=True)
    result = talk(b"EHLO c\r\nSTARTTLS\r\nNOOP\r\n", settings, lambda event: replies.TLS_UNAVAILABLE)
    assert result.codes[1:] == [250, 454, 250]
    assert result.session.helo_name == "c"


def test_required_tls_is_demanded_and_bdat_octets_are_skipped() -> None:
    settings = profile(tls=True, tls_required=True)
    assert talk(b"EHLO c\r\nMAIL FROM:<>\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n", settings).codes[1:] == [250, 530, 530, 250]


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b"AUTH PLAIN c2VjcmV0\r\n", [235]),
        (b"AUTH PLAIN c2VjcmV0\r\nAUTH PLAIN\r\n", [235, 503]),
        (b"AUTH PLAIN\r\nc2VjcmV0\r\n", [334, 235]),
        (b"AUTH PLAIN\r\nd3Jvbmc=\r\nNOOP\r\n", [334, 535, 250]),
        (b"AUTH PLAIN\r\n*\r\nNOOP\r\n", [334, 501, 250]),
        (b"AUTH PLAIN\r\n?\r\nNOOP\r\n", [334, 501, 250]),
        (b"AUTH PLAIN\r\n" + b"A" * 20000 + b"\r\nNOOP\r\n", [334, 500, 250]),
        (b"AUTH PLAIN " + b"A" * 8000 + b"\r\nNOOP\r\n", [535, 250]),
        (b"AUTH PLAIN =\r\n", [535]),
        (b"AUTH\r\n", [501]),
        (b"AUTH PL\xc3\xa4N\r\n", [501]),
    ],
)
def test_auth(data: bytes, codes: list[int]) -> None:
    for pieces in splits(b"EHLO c\r\n" + data):
        assert talk(pieces, AUTH).codes[2:] == codes


def test_an_exchange_given_up_is_reported() -> None:
    assert AuthEnded("aborted by the client") in talk(b"EHLO c\r\nAUTH PLAIN\r\n*\r\n", AUTH).events


def test_auth_needs_tls_where_configured() -> None:
    assert talk(b"EHLO c\r\nAUTH PLAIN\r\n", profile(auth=True, auth_needs_tls=True)).codes[-1] == 538


# --- LMTP
LMTP = profile(lmtp=True)


def test_lmtp_answers_once_per_accepted_recipient() -> None:
    data = b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<no@b.example>\r\nRCPT TO:<c@b.example>\r\n"
    for content in (b"DATA\r\nx\r\n.\r\n", b"BDAT 3 LAST\r\nx\r\n"):
        for pieces in splits(data + content + b"NOOP\r\n"):
            codes = talk(pieces, LMTP).codes[1:]
            assert [code for code in codes if code != 354] == [250, 250, 250, 554, 250, 250, 250, 250]


def test_lmtp_refuses_too_much_for_every_recipient() -> None:
    settings = profile(lmtp=True, size_limit=2)
    data = b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<c@b.example>\r\nBDAT 5 LAST\r\nxxxxxNOOP\r\n"
    assert talk(data, settings).codes[1:] == [250, 250, 250, 250, 552, 552, 250]


def test_lmtp_has_its_own_greeting_verb() -> None:
    assert talk(b"HELO c\r\nEHLO c\r\nMAIL FROM:<>\r\nLHLO c\r\n", LMTP).codes[1:] == [500, 500, 503, 250]


# --- refusals by the driver leave nothing behind
def refusing(kind: type, reply: Reply) -> Talk:
    def policy(event: Event) -> Reply | None:
        return reply if isinstance(event, kind) else default_policy(event)

    return talk(OPEN + b"DATA\r\n", profile(), policy)


def test_refused_mail_opens_no_transaction() -> None:
    assert refusing(Mail, replies.WRITE_ERROR).codes[1:] == [250, 451, 503, 503]


def test_refused_data_keeps_the_transaction() -> None:
    result = refusing(Data, replies.WRITE_ERROR)
    assert result.codes[1:] == [250, 250, 250, 451]
    assert result.session.in_transaction


def test_refused_chunk_ends_the_transaction_and_later_chunks_are_skipped() -> None:
    def policy(event: Event) -> Reply | None:
        return replies.WRITE_ERROR if isinstance(event, Data) else default_policy(event)

    result = talk(OPEN + b"BDAT 4\r\nQUITBDAT 6 LAST\r\nQUIT\r\nMAIL FROM:<>\r\n", profile(), policy)
    assert result.codes[1:] == [250, 250, 250, 451, 503, 250]


def test_a_refused_message_leaves_no_recipients() -> None:
    result = refusing(End, replies.WRITE_ERROR)
    result.feed(b"x\r\n.\r\nMAIL FROM:<>\r\nDATA\r\n")
    assert result.codes[4:] == [354, 451, 250, 554]
    assert result.session.recipients == 0


def test_a_421_from_the_driver_closes() -> None:
    result = refusing(Rcpt, replies.server_error(HOST))
    assert result.codes[-1] == 421
    assert result.session.closed


VERBS = st.sampled_from(
    [
        *(
            b"HELO c",
            b"EHLO c",
            b"EHLO",
            b"LHLO c",
            b"RSET",
            b"RSET x",
            b"NOOP",
            b"HELP",
            b"VRFY x@y",
            b"EXPN l",
            b"ETRN d",
        ),
        *(b"MAIL FROM:<a@b.example>", b"MAIL FROM:<> SMTPUTF8", b"MAIL x"),
        *(b"RCPT TO:<c@d.example>", b"RCPT TO:<no@d.example>", b"RCPT TO:<\xc3\xbc@d.example>"),
        *(b"DATA", b"DATA x", b".", b"..", b"BDAT 2\r\nab", b"BDAT 3 LAST\r\nab\n", b"BDAT 40 LAST\r\n" + b"x" * 40),
        *(b"STARTTLS", b"AUTH PLAIN", b"AUTH PLAIN c2VjcmV0", b"c2VjcmV0", b"*", b"x" * 50, b"\xff", b"", b"x" * 3000),
    ]
)


@given(st.lists(VERBS, max_size=25), st.booleans(), st.integers(0, 100))
def test_any_sequence_of_verbs_keeps_the_promises(verbs: list[bytes], lmtp: bool, seed: int) -> None:
    """The same replies however it is cut; transaction events nest; no transaction survives its end."""
    settings = profile(
        auth=True, tls=True, lmtp=lmtp, size_limit=30, etrn=True, hard_error_limit=0, soft_error_limit=0, junk_limit=0
    )
    # What follows STARTTLS in the same piece is thrown away, so pieces end there.
    whole = [verb + b"\r\n" for verb in verbs]
    one = talk(whole, settings)
    two = talk(cut_otherwise(whole, seed), settings)
    assert one.output == two.output
    assert one.messages == two.messages
    transaction = False
    for event in one.events:
        if isinstance(event, Mail):
            assert not transaction
            transaction = True
        elif isinstance(event, (Rcpt, Data)):
            assert transaction
        elif isinstance(event, (End, Reset)):
            assert transaction
            transaction = False
    assert transaction == one.session.in_transaction
    if not transaction:
        assert one.session.recipients == 0
        assert not one.session.smtputf8


def cut_otherwise(pieces: list[bytes], seed: int) -> list[bytes]:
    """The same bytes cut differently, but never joined across a STARTTLS."""
    result: list[bytes] = []
    for number, piece in enumerate(pieces):
        if piece.startswith(b"STARTTLS"):
            result.append(piece)
        else:
            cut = (seed + number) % (len(piece) + 1)
            result += [piece[:cut], piece[cut:]]
    return result


@given(st.binary(max_size=300))
def test_any_bytes_get_replies_not_errors(data: bytes) -> None:
    whole = talk(data)
    single = talk([data[i : i + 1] for i in range(len(data))])
    assert whole.output == single.output


@given(st.binary(max_size=200))
def test_any_content_is_taken_or_waits(data: bytes) -> None:
    whole = talk(OPEN + b"DATA\r\n" + data)
    single = talk([OPEN + b"DATA\r\n", *(data[i : i + 1] for i in range(len(data)))])
    assert whole.output == single.output
    assert whole.messages == single.messages


def test_ehlo_announces_what_the_profile_says() -> None:
    result = talk(b"EHLO c\r\n", profile(tls=True, size_limit=100, discarded=frozenset(("DSN",))))
    lines = result.output.decode().split("\r\n")[1:-1]
    assert lines == [
        f"250-{HOST}", "250-PIPELINING", "250-SIZE 100", "250-VRFY", "250-STARTTLS", "250-AUTH PLAIN",
        "250-ENHANCEDSTATUSCODES", "250-8BITMIME", "250-SMTPUTF8", "250-CHUNKING", "250-BINARYMIME", "250-DELIVERBY",
        "250 LIMITS RCPTMAX=1000",
    ]  # fmt: skip


def test_a_discarded_extension_is_not_honoured() -> None:
    settings = profile(discarded=frozenset(("DSN", "CHUNKING")))
    assert talk(b"EHLO c\r\nMAIL FROM:<> RET=FULL\r\n", settings).codes[-1] == 555
    assert talk(OPEN + b"BDAT 5\r\nQUIT\nNOOP\r\n", settings).codes[4:] == [502, 250]


def test_stop_tells_an_idle_client_only() -> None:
    idle, busy = talk(b"EHLO c\r\n").session, talk(OPEN).session
    assert idle.stop()
    assert idle.take_output().startswith(b"421 4.3.2")
    assert not busy.stop()


def test_with_soft_bounce_nothing_is_refused_for_good() -> None:
    assert talk(OPEN + b"RCPT TO:<no@d.example>\r\nMAIL FROM:<>\r\n", profile(soft_bounce=True)).codes[4:] == [454, 403]


@pytest.mark.parametrize("content", [b"DATA\r\nx\r\n.\r\n", b"BDAT 3 LAST\r\nx\r\n", b"BDAT 1\r\nxBDAT 2 LAST\r\n\r\n"])
@pytest.mark.parametrize("first", [b"", b"RSET\r\n", b"BDAT 1\r\nyRSET\r\n", b"BDAT 99 LAST\r\n" + b"z" * 99])
def test_every_message_begins_from_nothing(first: bytes, content: bytes) -> None:
    """Whatever was left behind, the next transaction asks for its content anew and holds only its own."""
    result = talk(OPEN + first + b"RSET\r\n" + OPEN + content + OPEN + content, profile(size_limit=50))
    after = [event for event in result.events if isinstance(event, (Data, End))][-4:]
    assert [type(event) for event in after] == [Data, End, Data, End]
    assert result.messages[-2:] == [b"x\n", b"x\n"]
    assert result.session.content_size == 0
