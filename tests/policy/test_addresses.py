"""Restrictions about sender and recipient addresses, and about who owns a sender address."""

from __future__ import annotations

import pytest

from tests.policy.world import THEIRS, World, world

DNS = {
    ("good.test", "MX"): ["mx.good.test"],
    ("host.test", "A"): ["192.0.2.7"],
    ("null.test", "MX"): [""],
    ("empty.test", "TXT"): [b"x"],
    **{("slow.test", kind): "timeout" for kind in ("MX", "A", "AAAA")},
}
NEED = "504 5.5.2 <{}>: {} address rejected: need fully-qualified address"


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ("a", True),
        ("a@short", True),
        ("a@good.test", False),
        ("a@[192.0.2.1]", False),
        ("a@bad..test", True),
        ("", False),
    ],
)
def test_reject_non_fqdn_sender(given: str, refused: bool) -> None:
    complete = f"{given}@mx.ours.test" if given and "@" not in given else given
    said = world("sender", "reject_non_fqdn_sender").rcpt(sender=complete, given_sender=given)
    assert said == (NEED.format(given, "Sender") if refused else "ok")


@pytest.mark.parametrize(
    ("given", "refused"), [("u", True), ("u@short", True), ("u@ours.test", False), ("postmaster", False)]
)
def test_reject_non_fqdn_recipient(given: str, refused: bool) -> None:
    complete = f"{given}@ours.test" if "@" not in given else given
    scene = world("recipient", "reject_non_fqdn_recipient")
    said = scene.rcpt(recipient=complete, given_recipient=given, trusted=True)
    assert said == (NEED.format(given, "Recipient") if refused else "ok")


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("good.test", "ok"),
        ("host.test", "ok"),
        ("[192.0.2.1]", "ok"),
        ("ours.test", "ok"),
        ("nowhere.test", "450 4.1.8 <a@nowhere.test>: Sender address rejected: Domain not found"),
        ("empty.test", "450 4.1.8 <a@empty.test>: Sender address rejected: Domain not found"),
        ("slow.test", "450 4.1.8 <a@slow.test>: Sender address rejected: Domain not found"),
        (
            "null.test",
            "550 5.7.27 <a@null.test>: Sender address rejected: Domain null.test does not accept mail (nullMX)",
        ),
    ],
)
def test_reject_unknown_sender_domain(domain: str, expected: str) -> None:
    assert world("sender", "reject_unknown_sender_domain", dns=DNS).rcpt(sender=f"a@{domain}") == expected


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("good.test", "ok"),
        ("ours.test", "ok"),
        ("nowhere.test", "450 4.1.2 <u@nowhere.test>: Recipient address rejected: Domain not found"),
        (
            "null.test",
            "556 5.1.10 <u@null.test>: Recipient address rejected: Domain null.test does not accept mail (nullMX)",
        ),
    ],
)
def test_reject_unknown_recipient_domain(domain: str, expected: str) -> None:
    scene = world("recipient", "reject_unknown_recipient_domain", dns=DNS)
    assert scene.rcpt(recipient=f"u@{domain}", trusted=True) == expected


def test_the_code_for_unknown_domains_and_what_is_not_known_now() -> None:
    parameters = {"unknown_address_reject_code": "550"}
    scene = world("sender", "reject_unknown_sender_domain", dns=DNS, parameters=parameters)
    assert scene.rcpt(sender="a@nowhere.test").startswith("550 5.1.8")
    assert scene.rcpt(sender="a@slow.test").startswith("450 4.1.8")
    assert scene.rcpt(sender="a@slow.test", recipient=THEIRS).startswith("554 5.7.1")  # refused for good
    at_once = World({**scene.parameters, "unknown_address_tempfail_action": "defer"}, dns=DNS)
    assert at_once.rcpt(sender="a@slow.test", recipient=THEIRS).startswith("450 4.1.8")


def test_a_null_sender_has_no_domain() -> None:
    assert world("sender", "reject_unknown_sender_domain, reject_non_fqdn_sender").rcpt(sender="") == "ok"


UNLISTED = "550 5.1.0 <nobody@ours.test>: Sender address rejected: User unknown in local recipient table"


def test_unlisted_senders() -> None:
    assert world("sender", "reject_unlisted_sender").rcpt(sender="nobody@ours.test") == UNLISTED
    assert World({"smtpd_reject_unlisted_sender": "yes"}).rcpt(sender="nobody@ours.test") == UNLISTED
    assert World().rcpt(sender="nobody@ours.test") == "ok"
    assert World({"smtpd_reject_unlisted_sender": "yes"}).rcpt(sender="a@far.test") == "ok"


def test_unlisted_senders_without_delay() -> None:
    scene = World({"smtpd_reject_unlisted_sender": "yes", "smtpd_delay_reject": "no"})
    assert scene.decide("MAIL", sender="nobody@ours.test", recipient=None) == UNLISTED


LOGINS = {
    "logins:": {"ann@ours.test": "ann@ours.test", "sales@ours.test": "bob@ours.test, Ann@ours.test", "@far.test": "bob"}
}
NOT_OWNED = "553 5.7.1 <{}>: Sender address rejected: not owned by user ann@ours.test"
NOT_LOGGED_IN = "553 5.7.1 <{}>: Sender address rejected: not logged in"


@pytest.mark.parametrize(
    ("restriction", "sender", "user", "expected"),
    [
        ("reject_sender_login_mismatch", "ann@ours.test", "ann@ours.test", "ok"),
        ("reject_sender_login_mismatch", "sales@ours.test", "ann@ours.test", "ok"),
        ("reject_sender_login_mismatch", "x@far.test", "ann@ours.test", NOT_OWNED),
        ("reject_sender_login_mismatch", "x@free.test", "ann@ours.test", NOT_OWNED),
        ("reject_sender_login_mismatch", "ann@ours.test", "", NOT_LOGGED_IN),
        ("reject_sender_login_mismatch", "x@free.test", "", "ok"),
        ("reject_sender_login_mismatch", "", "ann@ours.test", "ok"),
        ("reject_authenticated_sender_login_mismatch", "ann@ours.test", "", "ok"),
        ("reject_authenticated_sender_login_mismatch", "x@free.test", "ann@ours.test", NOT_OWNED),
        ("reject_known_sender_login_mismatch", "x@free.test", "ann@ours.test", "ok"),
        ("reject_known_sender_login_mismatch", "x@far.test", "ann@ours.test", NOT_OWNED),
        ("reject_known_sender_login_mismatch", "ann@ours.test", "", "ok"),
        ("reject_unauthenticated_sender_login_mismatch", "ann@ours.test", "", NOT_LOGGED_IN),
        ("reject_unauthenticated_sender_login_mismatch", "x@far.test", "ann@ours.test", "ok"),
    ],
)
def test_sender_logins(restriction: str, sender: str, user: str, expected: str) -> None:
    scene = world("sender", restriction, tables=LOGINS)
    assert scene.rcpt(sender=sender, sasl_username=user) == expected.format(sender)


def test_owners_that_cannot_be_looked_up_put_off() -> None:
    scene = world("sender", "reject_sender_login_mismatch", broken=True)
    assert scene.rcpt(sender="ann@ours.test", sasl_username="bob").startswith("451 4.3.0 <ann@ours.test>: Temporary")
