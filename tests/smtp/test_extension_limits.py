"""LIMITS (RFC 9422): what is announced is enforced, and nothing else."""

from __future__ import annotations

from pillarbox.lib.smtp.events import Close, Note, Rcpt
from tests.smtp.dialogue import HOST, profile, talk

EHLO = b"EHLO c\r\n"
MESSAGE = b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n.\r\n"


def limits(**settings: object) -> str:
    lines = talk(EHLO, profile(**settings)).output.decode().split("\r\n")
    return next((line[4:] for line in lines if line[4:].startswith("LIMITS")), "")


def test_what_is_limited_is_announced() -> None:
    assert limits() == "LIMITS RCPTMAX=1000"
    assert limits(mail_limit=5, recipient_limit=7, domain_limit=3) == "LIMITS MAILMAX=5 RCPTMAX=7 RCPTDOMAINMAX=3"
    assert limits(recipient_limit=0) == ""
    assert limits(discarded=frozenset(("LIMITS",))) == ""


def test_mailmax_counts_transactions_of_the_session() -> None:
    settings = profile(mail_limit=2)
    result = talk(EHLO + MESSAGE + b"MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nNOOP\r\n", settings)
    assert result.codes[2:] == [250, 250, 354, 250, 250, 250, 421]
    assert result.last == f"421 4.7.0 {HOST} Error: too many messages in one session"
    assert isinstance(result.events[-1], Close)
    assert any(isinstance(event, Note) and event.kind == "reject: MAIL" for event in result.events)


def test_a_refused_mail_is_no_transaction() -> None:
    assert talk(EHLO + b"MAIL FROM:<> X=1\r\n" * 5 + b"MAIL FROM:<>\r\n", profile(mail_limit=1)).codes[-1] == 250


def test_rcptmax_counts_accepted_recipients_of_a_message() -> None:
    data = b"MAIL FROM:<>\r\nRCPT TO:<no@b.example>\r\n" + b"RCPT TO:<a@b.example>\r\n" * 3
    result = talk(EHLO + data + b"RSET\r\n" + data, profile(recipient_limit=2))
    assert result.codes[2:] == [250, 554, 250, 250, 452, 250, 250, 554, 250, 250, 452]


def test_rcptdomainmax_counts_domains_of_the_session() -> None:
    data = (
        b"MAIL FROM:<>\r\nRCPT TO:<a@one.example>\r\nRCPT TO:<b@ONE.example>\r\nRCPT TO:<no@refused.example>\r\n"
        b"RCPT TO:<a@two.example>\r\nRCPT TO:<a@three.example>\r\nRSET\r\n"
        b"MAIL FROM:<>\r\nRCPT TO:<a@three.example>\r\nRCPT TO:<c@two.example>\r\n"
    )
    result = talk(EHLO + data, profile(domain_limit=2, hard_error_limit=2))
    assert result.codes[2:] == [250, 250, 250, 554, 250, 452, 250, 250, 452, 250]
    assert b"452 4.5.3 Error: too many recipient domains\r\n" in result.output
    assert not any(isinstance(event, Rcpt) and "three" in event.recipient for event in result.events)


def test_a_recipient_beyond_a_limit_is_no_error_of_the_client() -> None:
    assert (
        talk(
            EHLO + b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@b>\r\nRCPT TO:<a@c>\r\n" * 9, profile(domain_limit=1)
        ).session.errors
        == 0
    )
