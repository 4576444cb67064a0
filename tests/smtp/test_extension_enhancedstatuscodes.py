"""ENHANCEDSTATUSCODES (RFC 2034): every 2xx, 4xx and 5xx reply but those of greeting and HELO has one."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.smtp.dialogue import profile, talk

_REPLY = re.compile(r"([245])[0-9]{2}[ -]([245])\.[0-9]{1,3}\.[0-9]{1,3} \S.*")
VERBS = (
    *(
        "RSET",
        "RSET x",
        "NOOP",
        "HELP",
        "HELP MAIL",
        "HELP x",
        "VRFY",
        "VRFY a@b.example",
        "EXPN",
        "EXPN l",
        "ETRN",
        "TURN",
    ),
    *(
        "ETRN a.example",
        "MAIL",
        "MAIL FROM:<>",
        "MAIL FROM:<> X",
        "RCPT TO:<c@d.example>",
        "RCPT TO:<no@d.example>",
        "x",
    ),
    *(
        "DATA x",
        "BDAT 0",
        "BDAT 0 LAST",
        "AUTH",
        "AUTH PLAIN c2VjcmV0",
        "STARTTLS x",
        "XCLIENT",
        "XFORWARD HELO=h",
        "QUIT",
    ),
)


def test_it_is_announced() -> None:
    assert b"250-ENHANCEDSTATUSCODES\r\n" in talk(b"EHLO c\r\n").output


@given(st.lists(st.sampled_from(VERBS), max_size=12))
def test_every_reply_behind_ehlo_has_a_code_of_its_class(verbs: list[str]) -> None:
    settings = profile(auth=True, tls=True, etrn=True, hard_error_limit=0)
    result = talk([b"EHLO c\r\n", *(f"{verb}\r\n".encode() for verb in verbs)], settings, granted=("EXPN", "XFORWARD"))
    lines = result.output.decode().split("\r\n")[:-1]
    replies = [line for line in lines[1:] if not line.startswith("250-")]
    hello = next(number for number, line in enumerate(replies) if line.startswith("250 "))
    for line in replies[hello + 1 :]:
        match = _REPLY.fullmatch(line)
        assert match is not None, line
        assert match[1] == match[2], line
