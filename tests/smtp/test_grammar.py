"""MAIL and RCPT arguments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.address import AddressSyntaxError, parse_path
from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Mail, Rcpt
from pillarbox.lib.smtp.grammar import parse_mail, parse_rcpt, plain_path
from pillarbox.lib.smtp.parameters import MAIL_PARAMETERS
from pillarbox.lib.smtp.reply import Reply


def mail(argument: str, *, strict: bool = False, auth: bool = True) -> Mail | Reply:
    offered = {name: reader for name, reader in MAIL_PARAMETERS.items() if auth or name != "AUTH"}
    return parse_mail(argument, offered=offered, strict=strict)


def rcpt(argument: str, *, strict: bool = False, smtputf8: bool = False) -> Rcpt | Reply:
    return parse_rcpt(argument, strict=strict, smtputf8=smtputf8)


@pytest.mark.parametrize(
    ("argument", "event"),
    [
        ("FROM:<>", Mail("")),
        ("from:<a@b.example>", Mail("a@b.example")),
        ("FROM: <a@b.example>", Mail("a@b.example")),
        ("FROM:a@b.example", Mail("a@b.example")),
        ("FROM:<a>", Mail("a")),
        ('FROM:<"a b"@c.example>', Mail('"a b"@c.example')),
        ('FROM:<"a>b"@c.example> SIZE=1', Mail('"a>b"@c.example', size=1)),
        ("FROM:<@r.example,@s.example:a@b.example>", Mail("a@b.example")),
        ("FROM:<a@b.example> SIZE=4096 BODY=8bitmime", Mail("a@b.example", size=4096, body="8bitmime")),
        ("FROM:<a@b.example>  RET=HDRS ENVID=QQ+2B1", Mail("a@b.example", ret="hdrs", envid="QQ+1")),
        ("FROM:<ü@b.example> SMTPUTF8", Mail("ü@b.example", smtputf8=True)),
        ("FROM:<a@b.example> AUTH=<>", Mail("a@b.example", auth="")),
        ("FROM:<a@b.example> AUTH=c+3Dd@e.example", Mail("a@b.example", auth="c=d@e.example")),
        ("FROM:<a@[192.0.2.1]>", Mail("a@[192.0.2.1]")),
    ],
)
def test_mail_is_read(argument: str, event: Mail) -> None:
    assert mail(argument) == event


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("", replies.SYNTAX_MAIL),
        ("<a@b.example>", replies.SYNTAX_MAIL),
        ("TO:<a@b.example>", replies.SYNTAX_MAIL),
        ("FROM:", replies.SYNTAX_MAIL),
        ("FROM:<a@b.example", replies.SYNTAX_MAIL),
        ("FROM:<a@b.example>SIZE=1", replies.SYNTAX_MAIL),
        ("FROM:<a@b@c>", replies.BAD_SENDER),
        ("FROM:<a b@c>", replies.BAD_SENDER),
        ("FROM:<@>", replies.BAD_SENDER),
        ("FROM:<ü@b.example>", replies.SENDER_NEEDS_SMTPUTF8),
        ("FROM:<a@b.example> SIZE=x", replies.BAD_SIZE),
        ("FROM:<a@b.example> SIZE", replies.BAD_SIZE),
        ("FROM:<a@b.example> SIZE=" + "9" * 21, replies.BAD_SIZE),
        ("FROM:<a@b.example> BODY=16BIT", replies.BODY_UNKNOWN),
        ("FROM:<a@b.example> BODY", replies.BAD_BODY),
        ("FROM:<a@b.example> RET=ALL", replies.BAD_RET),
        ("FROM:<a@b.example> ENVID=+ZZ", replies.BAD_ENVID),
        ("FROM:<a@b.example> ENVID=a+0Ab", replies.BAD_ENVID),
        ("FROM:<a@b.example> ENVID=" + "e" * 101, replies.BAD_ENVID),
        ("FROM:<a@b.example> SMTPUTF8=1", replies.BAD_SMTPUTF8),
        ("FROM:<a@b.example> AUTH=a+0Db", replies.BAD_AUTH),
        ("FROM:<a@b.example> SIZE=1 size=2", replies.repeated("SIZE")),
        ("FROM:<a@b.example> X=1", replies.unsupported("X=1")),
        ("FROM:<a@b.example> =", replies.unsupported("=")),
    ],
)
def test_bad_mail_is_refused(argument: str, reply: Reply) -> None:
    assert mail(argument) == reply


def test_strict_wants_angle_brackets() -> None:
    assert mail("FROM:a@b.example", strict=True) == replies.SYNTAX_MAIL
    assert rcpt("TO:a@b.example", strict=True) == replies.SYNTAX_RCPT


def test_auth_parameter_only_where_auth_is_offered() -> None:
    assert mail("FROM:<a@b.example> AUTH=<>", auth=False) == replies.unsupported("AUTH=<>")


@pytest.mark.parametrize(
    ("argument", "event"),
    [
        ("TO:<a@b.example>", Rcpt("a@b.example")),
        ("TO:<Postmaster>", Rcpt("Postmaster")),
        ("TO:<a@b.example> NOTIFY=NEVER", Rcpt("a@b.example", notify=("never",))),
        ("TO:<a@b.example> NOTIFY=success,DELAY", Rcpt("a@b.example", notify=("success", "delay"))),
        ("TO:<a@b.example> ORCPT=rfc822;x+2Bz@y.example", Rcpt("a@b.example", orcpt="rfc822;x+z@y.example")),
        ("TO:<a@b.example> ORCPT=utf-8;\\x{FC}@y.example", Rcpt("a@b.example", orcpt="utf-8;ü@y.example")),
    ],
)
def test_rcpt_is_read(argument: str, event: Rcpt) -> None:
    assert rcpt(argument) == event


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("TO:<>", replies.BAD_RECIPIENT),
        ("FROM:<a@b.example>", replies.SYNTAX_RCPT),
        ("TO:<ü@b.example>", replies.RECIPIENT_NEEDS_SMTPUTF8),
        ("TO:<a@b.example> NOTIFY=NEVER,DELAY", replies.BAD_NOTIFY),
        ("TO:<a@b.example> NOTIFY=", replies.unsupported("NOTIFY=")),
        ("TO:<a@b.example> NOTIFY", replies.BAD_NOTIFY),
        ("TO:<a@b.example> ORCPT=x", replies.BAD_ORCPT),
        ("TO:<a@b.example> ORCPT=rfc822;a+0D+0AX", replies.BAD_ORCPT),
        ("TO:<a@b.example> ORCPT=rfc822;" + "x" * 501, replies.BAD_ORCPT),
        ("TO:<a@b.example> SIZE=1", replies.unsupported("SIZE=1")),
    ],
)
def test_bad_rcpt_is_refused(argument: str, reply: Reply) -> None:
    assert rcpt(argument) == reply


LOCALISH = st.text(st.sampled_from("ab.-_+=\"\\ @<>:,ü!%'0"), max_size=70)
DOMAINISH = st.text(st.sampled_from("ab.-_[]:1ü"), max_size=70)


@given(LOCALISH, DOMAINISH)
def test_the_short_way_gives_what_the_full_grammar_gives(local: str, domain: str) -> None:
    text = f"<{local}@{domain}>"
    short = plain_path(text)
    if short is not None:
        try:
            assert str(parse_path(text)) == short
        except AddressSyntaxError as error:
            raise AssertionError(f"{text} is taken by the short way only: {error}") from None


def test_the_short_way_is_used_for_ordinary_addresses() -> None:
    assert plain_path("<first.last+tag@mail-1.example.org>") == "first.last+tag@mail-1.example.org"


@given(st.text(max_size=80))
def test_any_argument_gets_an_event_or_a_refusal(argument: str) -> None:
    assert isinstance(mail("FROM:" + argument), (Mail, Reply))
    assert isinstance(rcpt("TO:" + argument), (Rcpt, Reply))


@given(st.text(max_size=80))
def test_any_parameter_gets_an_event_or_a_refusal(word: str) -> None:
    for name in ("SIZE", "BODY", "RET", "ENVID", "AUTH", "SMTPUTF8", "ORCPT", "NOTIFY"):
        assert isinstance(mail(f"FROM:<a@b.example> {name}={word}"), (Mail, Reply))
        assert isinstance(rcpt(f"TO:<a@b.example> {name}={word}"), (Rcpt, Reply))
