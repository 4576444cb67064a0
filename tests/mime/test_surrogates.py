"""Messages with UTF-8 in their headers, for clients that do not understand it."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.surrogate import surrogate_header
from pillarbox.lib.mime.surrogates import HEADER_LIMIT, HELD, surrogate
from tests.feeding import splits
from tests.mime.messages import crlf, messages

LETTER = (
    "From: Jürgen Groß <jürgen@groß.example>\r\n"
    "To: Ann <ann@example.org>, büro@example.org,\r\n =?utf-8?Q?B=C3=BCro?= <office@example.org>\r\n"
    "Subject: Grüße aus\r\n Köln\r\n"
    "X-Note: für später\r\n"
    'Content-Type: text/plain; charset=utf-8; name="grün \\"x\\".txt"\r\n'
    "X-Plain: stays\r\n"
    "\r\n"
    "Grüße\r\n"
).encode()


def made(data: bytes) -> bytes:
    return b"".join(surrogate(lambda: [data]))


def test_what_a_client_without_utf8_is_shown() -> None:
    found = email.message_from_bytes(made(LETTER), policy=email.policy.default)
    header = made(LETTER).partition(b"\r\n\r\n")[0]
    assert header.isascii()
    assert found["Subject"] == "Grüße aus Köln"
    assert found["From"].addresses[0].display_name == "Jürgen Groß"
    addresses = [each.addr_spec for each in (*found["From"].addresses, *found["To"].addresses)]
    nobody = "invalid@internationalized-address.invalid"
    assert addresses == [nobody, "ann@example.org", nobody, "office@example.org"]
    assert found["To"].addresses[1].display_name == "büro@example.org"
    assert found.get_filename() == 'grün "x".txt'
    assert found["X-Note"] is None, "what cannot be shown is left out"
    assert found["X-Plain"] == "stays"
    assert made(LETTER).partition(b"\r\n\r\n")[2] == "Grüße\r\n".encode()


def test_it_is_the_same_however_it_comes() -> None:
    whole = made(LETTER)
    for pieces in splits(LETTER):
        assert b"".join(surrogate(lambda pieces=pieces: pieces)) == whole  # type: ignore[misc]


PARTS = crlf(
    """Subject: Teile
Content-Type: multipart/mixed;
 boundary=b

before ü
--b
Content-Type: text/plain; charset=utf-8

Content-Description: für den Leser
--b
Content-Type: application/pdf
Content-Description: für später
Content-Disposition: attachment; filename="grün.pdf"
X-Note: für später

JVBERi0
--b
Content-Type: message/rfc822

From: jürgen@groß.example
Subject: Grüße
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/html; name="ä.html"

<p>ü
--c--
--b--
after ü
""".encode()
)


@pytest.mark.parametrize("filling", [0, 2 * HELD])
def test_headers_of_parts_are_shown_in_ascii_too(filling: int) -> None:
    data = PARTS.replace(b"JVBERi0", b"JVBERi0" + b"=\r\n" * (filling // 3))
    for step in (len(data), 4096):
        found = b"".join(surrogate(lambda step=step: (data[at : at + step] for at in range(0, len(data), step))))  # type: ignore[misc]
        message = email.message_from_bytes(found, policy=email.policy.default)
        text, document, inner = message.iter_parts()
        assert text.get_content() == "Content-Description: für den Leser", "bodies stay"
        assert str(document["Content-Description"]) == "für später"
        assert document.get_filename() == "grün.pdf"
        assert document["X-Note"] is None
        (letter,) = inner.iter_parts()
        assert str(letter["Subject"]) == "Grüße"
        assert letter["From"].addresses[0].addr_spec == "invalid@internationalized-address.invalid"
        (html,) = letter.iter_parts()
        assert html.get_filename() == "ä.html"
        high = [line for line in found.split(b"\r\n") if not line.isascii()]
        assert b"|".join(high).decode() == "before ü|Content-Description: für den Leser|<p>ü|after ü"


@given(messages(), st.integers(1, 9))
def test_ascii_stays_as_it_is_whatever_parts_it_has(message: str, step: int) -> None:
    data = crlf(message.encode())
    for content in (data, data + b"\xff"):
        pieces = [content[at : at + step] for at in range(0, len(content), step)]
        assert b"".join(surrogate(lambda pieces=pieces: pieces)) == content  # type: ignore[misc]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\nbody \xc3\xbc\r\n",
        b"Subject: x\r\n\r\nbody \xc3\xbc\r\n",
        b"Subject: x\r\n",
        b"Subject: latin \xfc\r\nTo: \xc3\xbc@example.org\r\n\r\nx",
        b"no header \xc3\xbc at all\r\n",
        b"X" * (HEADER_LIMIT + 10) + b"\r\n\r\nx",
    ],
)
def test_what_is_not_utf8_in_a_header_stays_as_it_is(data: bytes) -> None:
    assert made(data) == data


@given(st.binary())
def test_any_header_gives_something(data: bytes) -> None:
    shown = surrogate_header(data)
    assert surrogate_header(shown) == shown or not shown.isascii()


@given(st.text())
def test_subjects_are_kept(text: str) -> None:
    text = " ".join(text.replace("\x7f", "").split())
    if not text.isprintable() or text.isascii():
        return
    header = made(f"Subject: {text}\r\n\r\n".encode()).partition(b"\r\n\r\n")[0]
    assert header.isascii()
    found = email.message_from_bytes(header + b"\r\n\r\n", policy=email.policy.default)
    assert "".join(found["Subject"].split()) == "".join(text.split())
