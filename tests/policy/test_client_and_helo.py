"""Restrictions about the client and its HELO, each with its literal reply."""

from __future__ import annotations

from typing import Any

import pytest

from pillarbox.lib.dns import ClientName
from tests.policy.world import OURS, World, world

UNNAMED = ClientName("unknown", "unknown", "unknown", "unknown")
FORGED = ClientName("unknown", "unknown", "mx.else.test", "ok")
NOBODY_KNOWS = ClientName("unknown", "temporary", "unknown", "temporary")

HELO_DNS = {("known.test", "A"): ["192.0.2.1"], ("mail.test", "MX"): ["mx.mail.test"], ("slow.test", "MX"): "timeout"}
SLOW = {(name, kind): "timeout" for name in ("slow.test",) for kind in ("MX", "A", "AAAA")}


@pytest.mark.parametrize(
    ("restriction", "facts", "expected"),
    [
        ("reject_unknown_client_hostname", {}, "ok"),
        (
            "reject_unknown_client_hostname",
            {"name": FORGED},
            "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
        ),
        (
            "reject_unknown_client_hostname",
            {"name": NOBODY_KNOWS},
            "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
        ),
        ("reject_unknown_client", {"name": FORGED}, "450 4.7.25 "),
        ("reject_unknown_reverse_client_hostname", {"name": FORGED}, "ok"),
        (
            "reject_unknown_reverse_client_hostname",
            {"name": UNNAMED},
            "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]",
        ),
        ("reject_plaintext_session", {}, "450 4.7.1 Session encryption is required"),
        ("reject_plaintext_session", {"encrypted": True}, "ok"),
        ("permit_mynetworks, reject", {"trusted": True}, "ok"),
        ("permit_mynetworks, reject", {}, "554 5.7.1 <mx.client.test[192.0.2.1]>: Client host rejected: Access denied"),
        ("permit_inet_interfaces, reject", {"address": "127.0.0.1"}, "ok"),
        ("permit_inet_interfaces, reject", {}, "554 5.7.1 "),
        ("permit_sasl_authenticated, reject", {"sasl_username": "ann"}, "ok"),
        ("permit_sasl_authenticated, reject", {}, "554 5.7.1 "),
    ],
)
def test_the_client(restriction: str, facts: dict[str, Any], expected: str) -> None:
    said = world("client", restriction).rcpt(**facts)
    assert said == expected or (expected.endswith(" ") and said.startswith(expected))


def test_a_client_code_counts_only_where_the_dns_has_answered() -> None:
    scene = world("client", "reject_unknown_client_hostname", parameters={"unknown_client_reject_code": "550"})
    assert scene.rcpt(name=FORGED).startswith("550 5.7.25")
    assert scene.rcpt(name=NOBODY_KNOWS).startswith("450 4.7.25")


INVALID = "501 5.5.2 <{}>: Helo command rejected: Invalid name"
SHORT = "504 5.5.2 <{}>: Helo command rejected: need fully-qualified hostname"
NOT_FOUND = "450 4.7.1 <{}>: Helo command rejected: Host not found"
LITERAL = "501 5.5.2 <{}>: Helo command rejected: invalid ip address"


@pytest.mark.parametrize(
    ("restriction", "helo", "expected"),
    [
        ("reject_invalid_helo_hostname", "good.test", "ok"),
        ("reject_invalid_helo_hostname", "good.test.", "ok"),
        ("reject_invalid_helo_hostname", "short", "ok"),
        ("reject_invalid_helo_hostname", "192.0.2.1", "ok"),
        ("reject_invalid_helo_hostname", "bad..test", INVALID),
        ("reject_invalid_helo_hostname", "bad name", INVALID),
        ("reject_invalid_helo_hostname", "good.test..", INVALID),
        ("reject_invalid_helo_hostname", "[192.0.2.1]", "ok"),
        ("reject_invalid_helo_hostname", "[IPv6:2001:db8::1]", "ok"),
        ("reject_invalid_helo_hostname", "[192.0.2.]", LITERAL),
        ("reject_invalid_hostname", "bad..test", INVALID),
        ("reject_non_fqdn_helo_hostname", "good.test", "ok"),
        ("reject_non_fqdn_helo_hostname", "short", SHORT),
        ("reject_non_fqdn_helo_hostname", "192.0.2.1", SHORT),
        ("reject_non_fqdn_helo_hostname", "[192.0.2.1]", "ok"),
        ("reject_unknown_helo_hostname", "known.test", "ok"),
        ("reject_unknown_helo_hostname", "mail.test", "ok"),
        ("reject_unknown_helo_hostname", "nowhere.test", NOT_FOUND),
        ("reject_unknown_helo_hostname", "slow.test", NOT_FOUND),
        ("reject_unknown_helo_hostname", "[192.0.2.300]", LITERAL),
    ],
)
def test_helo(restriction: str, helo: str, expected: str) -> None:
    assert world("helo", restriction, dns=HELO_DNS | SLOW).rcpt(helo=helo) == expected.format(helo)


def test_a_helo_that_cannot_be_looked_up_now_may_still_be_refused_for_good() -> None:
    parameters = {
        "smtpd_helo_restrictions": "reject_unknown_helo_hostname",
        "smtpd_recipient_restrictions": "reject",
        "unknown_hostname_reject_code": "550",
    }
    assert World(parameters, dns=SLOW).rcpt(helo="slow.test").startswith("554 5.7.1")
    deferring = World({**parameters, "unknown_helo_hostname_tempfail_action": "defer"}, dns=SLOW)
    assert deferring.rcpt(helo="slow.test") == NOT_FOUND.format("slow.test")


def test_codes_of_helo() -> None:
    parameters = {"invalid_hostname_reject_code": "554", "non_fqdn_reject_code": "450"}
    scene = world("helo", "reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname", parameters=parameters)
    assert scene.rcpt(helo="a..b").startswith("554 5.5.2")
    assert scene.rcpt(helo="a").startswith("450 4.5.2")


@pytest.mark.parametrize(
    ("stage", "facts", "refused"),
    [
        ("DATA", {"buffered": True}, True),
        ("DATA", {"buffered": False}, False),
        ("RCPT", {"buffered": True}, False),
        ("RCPT", {"buffered": True, "protocol": "SMTP"}, True),
    ],
)
def test_reject_unauth_pipelining(stage: str, facts: dict[str, Any], refused: bool) -> None:
    name = "data" if stage == "DATA" else "recipient"
    said = world(name, "reject_unauth_pipelining").decide(stage, **facts)
    subject = "<DATA>: Data command" if stage == "DATA" else f"<{OURS}>: Recipient address"
    expected = f"503 5.5.0 {subject} rejected: Improper use of SMTP command pipelining"
    assert said == (expected if refused else "ok")


def test_reject_multi_recipient_bounce() -> None:
    scene = world("data", "reject_multi_recipient_bounce")
    expected = "550 5.5.3 <DATA>: Data command rejected: Multi-recipient bounce"
    assert scene.decide("DATA", sender="", recipients=2, recipient=None) == expected
    assert scene.decide("DATA", sender="", recipients=1) == "ok"
    assert scene.decide("DATA", sender="a@b.test", recipients=2, recipient=None) == "ok"
