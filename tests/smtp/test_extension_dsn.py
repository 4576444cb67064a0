"""DSN (RFC 3461): RET and ENVID in MAIL, NOTIFY and ORCPT in RCPT."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.events import Mail, Rcpt
from tests.smtp.dialogue import profile, talk

HELLO = b"EHLO c\r\n"


def mail(parameters: str) -> str:
    return talk(HELLO + f"MAIL FROM:<> {parameters}\r\n".encode()).last


def rcpt(parameters: str) -> str:
    return talk(HELLO + f"MAIL FROM:<>\r\nRCPT TO:<c@d.example> {parameters}\r\n".encode()).last


def test_it_is_announced_unless_discarded() -> None:
    assert b"250-DSN\r\n" in talk(HELLO).output
    settings = profile(discarded=frozenset(("DSN",)))
    data = b"MAIL FROM:<> RET=FULL\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example> NOTIFY=NEVER\r\n"
    result = talk(HELLO + data, settings)
    assert b"DSN\r\n" not in result.output
    assert result.codes[2:] == [555, 250, 555]


def test_all_four_are_read() -> None:
    data = (
        b"MAIL FROM:<> RET=HDRS ENVID=a+2Bb\r\n"
        b"RCPT TO:<c@d.example> NOTIFY=SUCCESS,DELAY,FAILURE ORCPT=rfc822;x+40y.example\r\n"
    )
    events = talk(HELLO + data).events
    assert Mail("", ret="hdrs", envid="a+b") in events
    assert Rcpt("c@d.example", ("success", "delay", "failure"), "rfc822;x@y.example") in events


@pytest.mark.parametrize(
    "parameters", ["RET=ALL", "RET", "ENVID=", "ENVID=+0A", "ENVID=" + "x" * 101, "RET=FULL RET=HDRS"]
)
def test_bad_parameters_of_mail_are_refused(parameters: str) -> None:
    assert mail(parameters)[:3] in ("501", "555")


@pytest.mark.parametrize(
    "parameters",
    [
        *(
            "NOTIFY=NEVER,SUCCESS",
            "NOTIFY=",
            "NOTIFY=ALWAYS",
            "NOTIFY=SUCCESS,",
            "ORCPT=x",
            "ORCPT=;x",
            "ORCPT=rfc822;",
        ),
        *("ORCPT=rfc822;a+0Ab", "ORCPT=rfc822;" + "x" * 501, "NOTIFY=NEVER NOTIFY=NEVER", "RET=FULL"),
    ],
)
def test_bad_parameters_of_rcpt_are_refused(parameters: str) -> None:
    assert rcpt(parameters)[:3] in ("501", "555")
