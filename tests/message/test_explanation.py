"""Cause and cure in plain words, for every code of the registry and for what well-known servers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.message.dsn.explanation import explain
from pillarbox.lib.message.dsn.lookalikes import PROVIDERS, lookalike
from pillarbox.lib.message.dsn.reasons import REASONS, by_status

REGISTRY = {  # IANA: SMTP Enhanced Status Codes, the highest detail of each subject
    "0": 0,
    "1": 10,
    "2": 4,
    "3": 6,
    "4": 7,
    "5": 6,
    "6": 10,
    "7": 30,
}
CODES = [f"{subject}.{detail}" for subject, last in REGISTRY.items() for detail in range(last + 1)]
VAGUE = ["2.0", "3.0", "7.0"]


def test_the_registry_is_covered_and_nothing_else_is() -> None:
    assert set(REASONS) == set(CODES)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("kind", "45")
def test_every_code_has_sentences_for_people(kind: str, code: str) -> None:
    cause, cure, _ = explain(f"{kind}.{code}", "", "bob@y.test")
    assert cause.endswith(".") and cure.endswith(".")
    assert "{" not in cause + cure
    assert cause.isascii() and cure.isascii()
    if code not in VAGUE:
        assert cause == REASONS[code].cause.format(domain="y.test")


@pytest.mark.parametrize("status", ["5.1.99", "4.9.9", "5.7.999", "", "x", "5", "5.", "5.1"])
def test_something_true_is_said_for_any_status(status: str) -> None:
    cause, cure = by_status(status)
    assert cause and cure


@pytest.mark.parametrize(
    ("status", "words", "cause"),
    [
        ("5.0.0", "host mx said: 552 mail too big", "is too large"),
        ("5.0.0", "host mx said: 550-5.1.1 The email account that you tried to reach does not exist.", "no mailbox"),
        ("5.1.1", "host mx said: 550 5.1.1 <b@y.test>: Recipient address rejected: User unknown", "no mailbox"),
        ("5.7.1", "host mx said: 550 5.7.1 No such user here", "no mailbox"),
        ("5.0.0", "host mx said: 550 No such user - psmtp", "no mailbox"),
        ("5.1.1", 'unknown user: "nobody"', "no mailbox"),
        ("5.2.2", "host mx said: 552 5.2.2 The email account that you tried to reach is over quota", "mailbox is full"),
        ("4.2.2", "host mx said: 452 4.2.2 Over quota", "mailbox is full"),
        ("5.7.1", "host mx said: 554 5.7.1 <b@y.test>: mailbox full", "mailbox is full"),
        ("5.0.0", "host mx said: 550 Quota exceeded (mailbox for user is full)", "mailbox is full"),
        ("5.0.0", "host mx said: 550 RCPT TO:<b@y.test> Mailbox disabled", "switched off"),
        (
            "5.7.1",
            "host mx said: 554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            "on a block list",
        ),
        ("5.7.606", "host mx said: 550 5.7.606 Access denied, banned sending IP [192.0.2.1]", "on a block list"),
        (
            "5.7.1",
            "host mx said: 550-5.7.1 Our system has detected that this message is likely unsolicited mail.",
            "for spam",
        ),
        ("5.7.1", "host mx said: 554 5.7.1 Spam message rejected", "for spam"),
        ("5.7.1", "host mx said: 554 5.7.1 <b@y.test>: Relay access denied", "not responsible"),
        ("5.0.0", "host mx said: 550 relay not permitted", "not responsible"),
        ("5.7.1", "host mx said: 550 5.7.1 Unable to relay", "not responsible"),
        ("4.7.1", "host mx said: 450 4.7.1 <b@y.test>: Recipient address rejected: Greylisted", "come again later"),
        ("4.2.0", "host mx said: 450 4.2.0 Greylisting in action, please come back later", "come again later"),
        ("5.7.26", "host mx said: 550-5.7.26 This mail is unauthenticated", "for forged"),
        ("5.7.1", "host mx said: 550 5.7.1 rejected by DMARC policy of x.test", "DMARC"),
        ("5.7.1", "host mx said: 550 5.7.1 SPF check failed", "SPF"),
        (
            "5.7.1",
            "host mx said: 550 5.7.1 Client host rejected: cannot find your reverse hostname",
            "name of the",
        ),
        ("5.7.10", "TLS is required, but was not offered by host mx", "encrypted"),
        ("4.7.4", "TLS is required, but was not offered by host mx[192.0.2.1]", "encrypted"),
        ("5.7.0", "host mx said: 530 5.7.0 Must issue a STARTTLS command first", "encrypted"),
        ("5.4.4", "Host or domain name not found. Name service error for name=y.test type=A: Host not found", "exist"),
        ("5.1.10", "Domain y.test does not accept mail (nullMX)", "receives no mail at all"),
        ("5.4.6", "mail for y.test loops back to myself", "points at this mail system"),
        ("5.4.6", "mail forwarding loop for bob@y.test", "circle"),
        ("5.4.0", "host mx said: 554 5.4.0 Error: too many hops", "circle"),
        ("5.3.4", "message size 12345678 exceeds size limit 10240000 of server mx", "12 345 678 bytes; the receiving"),
        ("5.3.4", "message size 12345678 exceeds size limit 10240000 of server mx", "at most 10 240 000"),
        ("5.3.4", "host mx said: 552 5.3.4 Message size exceeds fixed limit", "of 54 321 bytes, is too large"),
        ("4.4.1", "connect to mx[192.0.2.1]:25: Connection timed out", "could not be reached"),
        ("4.4.2", "lost connection with mx while sending RCPT TO", "could not be reached"),
        ("5.7.1", "host mx said: 552 5.7.0 This message was blocked because its attachment is not allowed", "attach"),
        ("5.7.1", "host mx said: 554 5.7.1 virus Eicar found", "virus"),
        ("4.7.28", "host mx said: 421 4.7.28 Our system has detected an unusual rate", "too much mail at once"),
        ("4.7.0", "host mx said: 421 4.7.0 [TSS04] Messages temporarily deferred due to volume", "for the moment"),
        ("4.7.1", "host mx said: 421 4.7.1 Too many connections from your host", "for the moment"),
        ("5.7.1", "host mx said: 554 5.7.1 go away", "does not want this message"),
        ("4.0.0", "host mx said: 450 not now", "not available"),
        ("5.4.7", "delivery time expired", "by the time that you had set"),
    ],
)
def test_what_servers_say_is_understood(status: str, words: str, cause: str) -> None:
    assert cause in explain(status, words, "bob@y.test", 54321).cause


def test_both_sizes_and_what_to_do_about_them() -> None:
    found = explain("5.3.4", "message size 12345678 exceeds size limit 10240000 of server mx[192.0.2.1]", "b@y.test")
    assert found.cause == "The message has 12 345 678 bytes; the receiving server takes at most 10 240 000."
    assert "smaller" in found.cure


def test_who_is_blocked_hears_who_can_help() -> None:
    assert "people who run your mail system" in explain("5.7.1", "blocked using bl.test", "b@y.test").cure


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gamil.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("GMIAL.COM", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("homtail.com", "hotmail.com"),
        ("yaho.com", "yahoo.com"),
        ("yahooo.com", "yahoo.com"),
        ("outlok.com", "outlook.com"),
        ("gmx.cmo", "gmx.com"),
        ("icloud.con", "icloud.com"),
        ("gmail.com", ""),
        ("example.org", ""),
        ("mx.de", ""),
        ("x" * 250, ""),
        ("", ""),
    ],
)
def test_look_alike_domains(written: str, meant: str) -> None:
    assert lookalike(written) == meant


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_provider_is_taken_for_another(provider: str) -> None:
    assert lookalike(provider) == ""


def test_the_hint_stands_beside_the_cure_where_the_address_is_to_blame() -> None:
    found = explain("5.4.4", "Host or domain name not found", "bob@gmial.com")
    assert found.hint == "Did you mean gmail.com instead of gmial.com?"
    assert explain("5.2.2", "over quota", "bob@gmial.com").hint == ""


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_survived(status: str, words: str, address: str) -> None:
    found = explain(status, words, address)
    assert found.cause and found.cure
