"""Commands as octets: parameters only where they are offered, nothing that ends a command early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.smtp.client_capabilities import Capabilities
from pillarbox.lib.smtp.client_command import BadAddress, ascii_address, mail_from, rcpt_to

NOTHING = Capabilities()
EVERYTHING = Capabilities("mx", dict.fromkeys(("SIZE", "8BITMIME", "SMTPUTF8", "DSN", "PIPELINING"), ""))


def test_a_plain_server_gets_plain_commands() -> None:
    mail = mail_from("a@b.test", NOTHING, size=9, body="8bitmime", smtputf8=True, ret="full", envid="x")
    assert mail == b"MAIL FROM:<a@b.test>\r\n"
    assert rcpt_to("a@b.test", NOTHING, notify=("never",), orcpt="rfc822;x@y") == b"RCPT TO:<a@b.test>\r\n"


def test_every_parameter() -> None:
    assert (
        mail_from("ä@b.test", EVERYTHING, size=9, body="8bitmime", smtputf8=True, ret="hdrs", envid="a+b =c")
        == "MAIL FROM:<ä@b.test> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+20+3Dc\r\n".encode()
    )
    assert (
        rcpt_to("a@b.test", EVERYTHING, notify=("success", "failure"), orcpt="rfc822;x+y@z.test")
        == b"RCPT TO:<a@b.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2By@z.test\r\n"
    )


def test_the_null_sender() -> None:
    assert mail_from("", NOTHING) == b"MAIL FROM:<>\r\n"


def test_an_international_original_recipient() -> None:
    """RFC 6533 section 3."""
    command = rcpt_to("a@b.test", EVERYTHING, orcpt="utf-8;ä=@b.test")
    assert command.endswith(b" ORCPT=utf-8;\\x{E4}\\x{3D}@b.test\r\n")


@pytest.mark.parametrize("address", ["a\r\nDATA@b", "a\n@b", "a\0@b", "a>@b.test", "a\x7f@b"])
def test_addresses_can_not_end_a_command(address: str) -> None:
    with pytest.raises(BadAddress):
        mail_from(address, EVERYTHING)
    with pytest.raises(BadAddress):
        rcpt_to(address, EVERYTHING)


@given(st.text())
def test_no_text_breaks_out_of_a_command(text: str) -> None:
    try:
        commands = [
            mail_from(text, EVERYTHING, envid=text, smtputf8=True),
            rcpt_to(text, EVERYTHING, orcpt=f"rfc822;{text}"),
        ]
    except (BadAddress, UnicodeEncodeError):
        return
    for command in commands:
        assert command.endswith(b"\r\n")
        assert not {b"\r", b"\n", b"\0"} & {command[i : i + 1] for i in range(len(command) - 2)}


def test_international_domains_have_an_ascii_form() -> None:
    assert ascii_address("a@bücher.test") == "a@xn--bcher-kva.test"
    assert ascii_address("ä@b.test") is None
