"""HELP (RFC 5321 section 4.1.1.8): names what this session may use, and explains it."""

from __future__ import annotations

import pytest

from pillarbox.lib.smtp.help_texts import TOPICS
from pillarbox.lib.smtp.profile import Profile
from pillarbox.lib.smtp.states import LMTP_TABLE, TABLE
from tests.smtp.dialogue import Talk, profile, talk


def verbs(result: Talk) -> set[str]:
    lines = result.output.decode().split("\r\n")
    texts = [line[10:] for line in lines if line.startswith("214")]
    assert texts[0] == "Commands:"
    return set(" ".join(texts[1:]).split())


PLAIN = {"HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "HELP", "VRFY"}
ALL = profile(tls=True, auth=True, etrn=True)
GRANTED = ("XCLIENT", "XFORWARD", "EXPN")


@pytest.mark.parametrize(
    ("settings", "granted", "expected"),
    [
        (profile(), (), PLAIN),
        (profile(verify=False, discarded=frozenset(("CHUNKING",))), (), PLAIN - {"VRFY", "BDAT"}),
        (ALL, (), PLAIN | {"STARTTLS", "AUTH", "ETRN"}),
        (ALL, GRANTED, PLAIN | {"STARTTLS", "AUTH", "ETRN", *GRANTED}),
        (profile(auth=True, auth_needs_tls=True), (), PLAIN),
        (profile(lmtp=True), (), PLAIN - {"HELO", "EHLO"} | {"LHLO"}),
        (profile(tls=True, tls_required=True), (), {"HELO", "EHLO", "STARTTLS", "NOOP", "RSET", "HELP", "QUIT"}),
    ],
)
def test_it_names_what_may_be_used(settings: Profile, granted: tuple[str, ...], expected: set[str]) -> None:
    assert verbs(talk(b"HELP\r\n", settings, granted=granted)) == expected


def test_what_is_over_is_not_named() -> None:
    result = talk([b"STARTTLS\r\n", b"EHLO c\r\nAUTH PLAIN c2VjcmV0\r\nHELP\r\n"], ALL)
    assert verbs(result).isdisjoint({"STARTTLS", "AUTH"})


@pytest.mark.parametrize("table", [TABLE, LMTP_TABLE])
def test_every_verb_that_can_be_used_is_explained(table: dict[object, dict[str, object]]) -> None:
    unused = {"TURN", "SEND", "SOML", "SAML"}
    for row in table.values():
        assert set(row) - unused <= set(TOPICS)


@pytest.mark.parametrize("verb", sorted(PLAIN))
def test_a_verb_is_explained(verb: str) -> None:
    result = talk(f"HELP {verb.lower()}\r\n".encode())
    assert result.output.decode().split("\r\n")[1].startswith(f"214-2.0.0 {verb}")
    assert result.codes[-1] == 214


@pytest.mark.parametrize("topic", ["XYZZY", "XCLIENT", "STARTTLS", "TURN", "MAIL RCPT"])
def test_what_may_not_be_used_is_not_explained(topic: str) -> None:
    assert talk(f"HELP {topic}\r\n".encode()).last == "504 5.5.4 HELP topic unknown"
