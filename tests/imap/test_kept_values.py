"""What FETCH keeps of a message: the quick ways to it give what the plain ones give."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from pillarbox.imapd.fetch import preview
from pillarbox.imapd.fetch.envelope import envelope, format_envelope
from pillarbox.imapd.fetch.header_fields import KEPT, short_header
from pillarbox.imapd.fetch.preview import condense
from pillarbox.imapd.protocol.response import parenthesized, string
from pillarbox.imapd.search.collation import casemap
from pillarbox.imapd.search.subject import base_subject
from pillarbox.imapd.search.summary import sent_date, summarize
from pillarbox.lib.message.header import first_value, scan
from pillarbox.lib.message.references import first_id, references
from pillarbox.lib.mime import parse_envelope, scan_message

NAMES = [b"From", b"TO", b"to", b"Cc", b"Sender", b"Reply-To", b"Subject", b"Date", b"Message-ID", b"X-Other", b"Dates"]
VALUES = [
    b"Ann <ann@example.org>",
    b"ann@example.org, bob@example.net",
    b'"Ann \\"A\\" B" <a@b>',
    b"group: a@b, c;",
    b"<@a,@b:c@d>",
    b"caf\xe9 <caf\xe9@example.org>",
    b"",
    b"(comment)",
    b'"' + b"x" * 1100 + b'" <a@b>',
    b"\0",
    b"a\n b",
]
LINES = st.one_of(
    st.builds(
        b"%b%b:%b%b".__mod__,
        st.tuples(
            st.sampled_from(NAMES), st.sampled_from([b"", b" "]), st.sampled_from([b" ", b""]), st.sampled_from(VALUES)
        ),
    ),
    st.sampled_from([b"From nobody", b" folded", b"\tfolded too", b"nothing", b"", b": x"]),
    st.binary(max_size=12),
)
HEADERS = st.builds(
    lambda lines, end: end.join(lines) + end, st.lists(LINES, max_size=12), st.sampled_from([b"\r\n", b"\n"])
)


@given(HEADERS)
def test_an_envelope_is_that_of_its_parts(header: bytes) -> None:
    assert envelope(header) == format_envelope(parse_envelope(header))
    assert envelope(header) == envelope(header), "also when its addresses are remembered"


@given(HEADERS)
def test_addresses_are_lists_of_strings(header: bytes) -> None:
    parsed = parse_envelope(header)
    for address in (*parsed.from_, *parsed.to):
        parts = [b"NIL" if part is None else string(part) for part in address]
        assert parenthesized(parts) in envelope(header)


@given(HEADERS)
def test_a_short_header_has_the_kept_fields(header: bytes) -> None:
    wanted = b"".join(header[field.start : field.end] for field in scan(header) if field.name.lower() in KEPT)
    assert short_header(header) == wanted


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"\r", b"--b", b"Content-Type: multipart/mixed; boundary=b\r\n"])))
def test_a_message_from_the_wire_has_the_same_structure(pieces: list[bytes]) -> None:
    content = re.sub(rb"(?<!\r)\n", b"\r\n", b"".join(pieces))
    assert scan_message([content], wire=True) == scan_message([content])
    assert scan_message([content[at : at + 1] for at in range(len(content))], wire=True) == scan_message([content])


@given(
    st.lists(
        st.sampled_from(
            ["word ", "&amp;", "&notin;", "&#65;", "<b>", "</b>", "<!--", "-->", "<style>", "</style>", "é", " "]
        ),
        max_size=200,
    ),
    st.integers(0, 60),
    st.booleans(),
)
@example(["word "] * 60 + ["&CounterClockwiseContourIntegral;"], 60, True)
def test_a_preview_out_of_the_beginning_is_that_of_the_whole(pieces: list[str], shift: int, markup: bool) -> None:
    text = "x" * shift + "".join(pieces) * 8
    whole = preview._words(text, markup)
    cut = whole.rfind(" ", preview.LENGTH // 2, preview.LENGTH)
    expected = whole if len(whole) <= preview.LENGTH else whole[: cut if cut > 0 else preview.LENGTH]
    assert condense(text, markup=markup) == expected


SUBJECTS = [b"Re: Lunch", b"=?utf-8?q?a=0Ab=0D=C2=85c?=", b"[list] x (fwd)", b"caf\xe9", b"=?utf-16?b?2AA=?=", b""]
DATES = [b"Mon, 1 Jan 2024 10:00:00 +0100", b"1 Jan 1901 00:00", b"?"]
REFERENCES = [b"<a@b>", b'<"a b"@c> <d@e>', b"<a\r\n b@c>", b"<caf\xe9@x>", b'<"\\\n"@b>', b"none", b"<a@b> " * 40]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(b"Subject"), st.sampled_from(SUBJECTS)),
            st.tuples(st.sampled_from([b"Message-ID", b"references", b"In-Reply-To"]), st.sampled_from(REFERENCES)),
            st.tuples(
                st.just(b"Date"), st.sampled_from([b"Mon, 1 Jan 2024 10:00:00 +0100", b"1 Jan 1901 00:00", b"?"])
            ),
        ),
        max_size=6,
    )
)
def test_a_summary_has_what_is_compared(fields: list[tuple[bytes, bytes]]) -> None:
    short = short_header(b"".join(b"%b: %b\r\n" % field for field in fields))
    sent, reply, subject, identifier, *named = summarize(short).split(b"\n")
    base = base_subject(first_value(short, b"subject") or b"")
    assert subject.decode("utf-8", "surrogatepass") == casemap(base.base)
    assert bool(reply) is base.reply
    assert identifier.decode("latin-1") == first_id(first_value(short, b"message-id"))
    parents = references(first_value(short, b"references"), first_value(short, b"in-reply-to"))
    assert tuple(each.decode("latin-1") for each in named) == parents
    assert (float(sent) if sent else None) == sent_date(first_value(short, b"date"))
