"""Content that mailboxes and commands get in place of a BINARYMIME body."""

from __future__ import annotations

import email
import os
from collections.abc import Iterator

import pytest

from pillarbox.lib.delivery import Content, text_content
from pillarbox.lib.delivery.content import ConvertedContent
from pillarbox.lib.mime.downgrade import Target
from pillarbox.lib.store.failure import DeliveryFailure

OCTETS = bytes(range(256)) + b"\r\n"
HEADER = b"MIME-Version: 1.0\nContent-Type: image/png\nContent-Transfer-Encoding: binary\n"
SIGNED = (
    b"MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\n\n--b\r\n"
    b"Content-Transfer-Encoding: binary\r\n\r\n\0\r\n--b\r\n\r\nsig\r\n--b--\r\n"
)


@pytest.fixture
def descriptor() -> Iterator[int]:
    made = os.memfd_create("message")
    yield made
    os.close(made)


def stored(descriptor: int, content: bytes) -> Content:
    os.write(descriptor, b"envelope" + content + b"behind")
    return Content(descriptor, 8, len(content))


def test_a_binary_body_becomes_lines(descriptor: int) -> None:
    content = text_content(stored(descriptor, HEADER + b"\n" + OCTETS), "binarymime")
    text = b"".join(content.chunks())
    assert content.size == len(text)
    assert b"\r" not in text
    assert text.endswith(b"\n")
    assert not content.in_file
    assert content.header() == HEADER
    message = email.message_from_bytes(text)
    assert message.get_payload(decode=True) == OCTETS
    assert b"".join(content.chunks()) == text, "it can be read again"


@pytest.mark.parametrize("body", ["", "7bit", "8bitmime"])
def test_other_bodies_are_in_the_file(descriptor: int, body: str) -> None:
    content = stored(descriptor, b"A: b\n\n\xe4\n")
    assert text_content(content, body) is content
    assert content.in_file
    assert not content.is_ascii()


def test_what_may_not_be_changed_is_a_failure_for_good(descriptor: int) -> None:
    with pytest.raises(DeliveryFailure, match="Conversion required but not supported") as raised:
        text_content(stored(descriptor, SIGNED), "binarymime")
    assert raised.value.permanent
    assert raised.value.dsn == "5.6.3"


def test_a_file_that_is_too_short_is_no_message(descriptor: int) -> None:
    content = stored(descriptor, b"A: b\n\n\xe4\n")
    with pytest.raises(EOFError):
        ConvertedContent(Content(descriptor, 8, content.size + 100), Target.SEVEN_BIT, exact=False)
