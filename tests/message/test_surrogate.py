"""Messages with UTF-8 in their headers, for clients that do not understand it."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.surrogate import HEADER_LIMIT, surrogate, surrogate_header
from tests.feeding import splits

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
    return b"".join(surrogate([data]))


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
        assert b"".join(surrogate(pieces)) == whole


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
