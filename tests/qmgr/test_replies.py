"""What real servers say, and what it is taken to mean."""

# ruff: noqa: E501  (replies stand here as they came)
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result
from pillarbox.qmgr.replies import MARGIN, WAIT_LEAST, WAIT_MOST, Advice, Kind, advice, of_reason, of_reply, stated_wait

RATE = [
    "421 4.7.28 [192.0.2.5] Our system has detected an unusual rate of unsolicited mail originating from your IP address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited. - gsmtp",
    "421-4.7.0 Our system has detected an unusual rate of unsolicited mail originating from your IP address.",
    "421 4.7.0 Try again later, closing connection. (MAIL) x1si123456 - gsmtp",
    "421 4.7.0 [192.0.2.5] Our system has detected that this message is suspicious due to the very low reputation of the sending domain.",
    "451 4.7.650 The mail server [192.0.2.5] has been temporarily rate limited due to IP reputation. For e-mail delivery information, see https://postmaster.live.com (S775)",
    "451 4.7.500 Server busy. Please try again later from [192.0.2.5]. (S77719) [XX.prod.protection.outlook.com]",
    "421 RP-001 (COL0-MC6-F12) Unfortunately, some messages from 192.0.2.5 weren't sent. Please try again. We have limits for how many messages can be sent per hour and per day.",
    "452 4.3.1 Insufficient system resources (UsedDiskSpace[C:\\ProgramData])",
    "421 4.7.0 [TSS04] Messages from 192.0.2.5 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
    "421 4.7.1 [TS03] All messages from 192.0.2.5 will be permanently deferred; Retrying will NOT succeed.",
    "451 Message temporarily deferred - [160]",
    "421 4.7.0 [IPTS04] Messages from 192.0.2.5 temporarily deferred due to user complaints",
    "421 Too many concurrent SMTP connections; please try again later.",
    "421 4.7.0 mx.example.net Error: too many connections from 192.0.2.5",
    "450 4.7.1 Error: too much mail from 192.0.2.5",
    "421 4.2.1 Too many sessions open from 192.0.2.5. RL000003",
    "452 4.3.2 Connection rate limit exceeded.",
    "451 4.7.1 Throttled: sending too fast",
    "450 4.7.1 You have exceeded the maximum number of messages per hour. Slow down.",
    "421 Service not available, closing transmission channel",
]

LATER = [
    ("450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered. Please resend your message at a later time. - gsmtp", 0),
    ("450 4.2.1 The Gmail user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered.", 0),
    ("450 4.2.0 <ann@example.net>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.net.html", 0),
    ("450 4.2.0 <ann@example.net>: Recipient address rejected: Greylisted for 300 seconds", 300),
    ("451 4.7.1 Greylisting in action, please come back later", 0),
    ("451 4.7.1 Greylisting in action, please come back in 00:05:00", 300),
    ("451 Greylisted, please try again in 900 seconds", 900),
    ("450 4.7.1 <ann@example.net>: Recipient address rejected: Policy Rejection- Please try later.", 0),
    ("450 4.7.1 Client host rejected: Greylisted for 5 minutes", 300),
    ("451 4.7.1 Sorry, the service is currently unavailable. Please come back later.", 0),
    ("421 4.7.1 : (GREYLIST) try again after 2 hours", 7200),
    ("450 4.7.1 Temporary greylisted, retry in 1 minute", 60),
]  # fmt: skip

OTHER = [
    "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.5]",
    "450 4.1.8 <ann@example.org>: Sender address rejected: Domain not found",
    "452 4.2.2 The email account that you tried to reach is over quota.",
    "452 4.2.2 Mailbox full",
    "451 4.3.0 Temporary lookup failure",
    "421 4.4.2 mx.example.net Error: timeout exceeded",
    "421 4.3.2 System not accepting network messages, shutting down",
    "421 4.3.0 Service shutting down",
    "450 4.1.1 <ann@example.net>: Recipient address rejected: unverified address",
    "454 4.7.0 TLS not available due to local problem",
    "451 4.1.8 Possibly forged hostname for 192.0.2.5",
    "250 2.0.0 Ok: rate limit",
    "550 5.7.1 too many connections",
    "451 4.4.6 too many hops",
    "",
]


def result(text: str, diagnostic: str = "", status: str = DEFERRED) -> Result:
    return Result(1, status, "4.0.0", text, "mx.test[192.0.2.1]:25", "dns; mx.test", diagnostic)


class TestTable:
    @pytest.mark.parametrize("words", RATE)
    def test_less_mail(self, words: str) -> None:
        assert of_reply(words).kind is Kind.RATE

    @pytest.mark.parametrize(("words", "wait"), LATER)
    def test_this_recipient_later(self, words: str, wait: float) -> None:
        assert of_reply(words) == Advice(Kind.LATER, wait + MARGIN if wait else 0.0)

    @pytest.mark.parametrize("words", OTHER)
    def test_nothing_in_particular(self, words: str) -> None:
        assert of_reply(words) == Advice(Kind.OTHER)


class TestResults:
    def test_the_reply_is_in_the_diagnostic(self) -> None:
        assert advice(result("x", f"smtp; {RATE[0]}")).kind is Kind.RATE

    def test_or_in_the_text(self) -> None:
        assert advice(result(f"host mx[192.0.2.1] said: {RATE[0]} (in reply to MAIL FROM command)")).kind is Kind.RATE
        assert advice(result(f"host mx[192.0.2.1] refused to talk to me: {RATE[0]}")).kind is Kind.RATE
        assert of_reason(f"host mx[192.0.2.1] refused to talk to me: {RATE[0]}").kind is Kind.RATE

    @pytest.mark.parametrize(
        "text",
        ["connect to mx[192.0.2.1]:25: Connection timed out", "lost connection with mx.too-many-connections.test", ""],
    )
    def test_our_own_words_are_no_reply(self, text: str) -> None:
        assert advice(result(text)) == of_reason(text) == Advice(Kind.OTHER)

    @pytest.mark.parametrize("status", [SENT, BOUNCED])
    def test_only_what_was_put_off_asks_for_anything(self, status: str) -> None:
        assert advice(result("x", f"smtp; {RATE[0]}", status)) == Advice(Kind.OTHER)


class TestWait:
    @pytest.mark.parametrize(
        ("words", "seconds"),
        [
            ("retry in 5 minutes", 300),
            ("Try again in 120 s", 120),
            ("please wait 10m", 600),
            ("come back in 00:05:00", 300),
            ("for 04:59", 299),
            ("after about 2 hours", 7200),
            ("try again in 0 seconds", 0),
            ("in 2 days", 0),
            ("in 192.0.2.5", 0),
            ("greylisted", 0),
        ],
    )
    def test_what_is_named(self, words: str, seconds: float) -> None:
        assert stated_wait(words) == (seconds + MARGIN if seconds else 0.0)

    @given(st.integers(1, 99999), st.sampled_from(["second", "minutes", "h"]))
    def test_within_bounds(self, number: int, unit: str) -> None:
        assert WAIT_LEAST <= stated_wait(f"try again in {number} {unit}") <= WAIT_MOST

    @given(st.text(max_size=300))
    def test_any_words_have_a_meaning(self, words: str) -> None:
        assert of_reply("4" + words).wait <= WAIT_MOST
