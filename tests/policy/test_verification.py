"""reject_unverified_sender and _recipient: what each finding means."""

from __future__ import annotations

from typing import Any

import pytest

from pillarbox.lib.clients.verify import DELIVERABLE, UNDELIVERABLE, UNKNOWN, Verified
from pillarbox.smtpd.policy.facts import Trouble
from tests.policy.world import World

FOUND: dict[str, Any] = {
    "good@b.test": Verified(DELIVERABLE, "250 2.1.5 Ok"),
    "bad@b.test": Verified(UNDELIVERABLE, "host mx said: 550 5.1.1 no"),
    "later@b.test": Verified(UNKNOWN, "Address verification in progress"),
    "trouble@b.test": Trouble("verify: gone"),
}


class Verifying(World):
    def _verify(self, address: str) -> object:
        return FOUND[address]


def sender(**parameters: str) -> Verifying:
    return Verifying({"smtpd_sender_restrictions": "reject_unverified_sender", **parameters})


def recipient(**parameters: str) -> Verifying:
    return Verifying({"smtpd_recipient_restrictions": "reject_unverified_recipient", **parameters})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("good", "ok"),
        ("bad", "450 {} <bad@b.test>: {} address rejected: undeliverable address: host mx said: 550 5.1.1 no"),
        ("later", "450 {} <later@b.test>: {} address rejected: unverified address: Address verification in progress"),
        ("trouble", "450 {} <trouble@b.test>: {} address rejected: address verification problem"),
    ],
)
def test_what_is_said(name: str, expected: str) -> None:
    assert sender().rcpt(sender=f"{name}@b.test") == expected.format("4.1.7", "Sender")
    assert recipient().rcpt(recipient=f"{name}@b.test", trusted=True) == expected.format("4.1.1", "Recipient")


def test_codes_and_reasons() -> None:
    strict = recipient(
        unverified_recipient_reject_code="550", unverified_recipient_reject_reason="Address lookup failed"
    )
    expected = "550 5.1.1 <bad@b.test>: Recipient address rejected: undeliverable address: Address lookup failed"
    assert strict.rcpt(recipient="bad@b.test", trusted=True) == expected
    patient = recipient(unverified_recipient_defer_code="451")
    assert patient.rcpt(recipient="later@b.test", trusted=True).startswith("451 4.1.1")


def test_a_finding_that_is_not_there_yet_does_not_hide_a_refusal() -> None:
    scene = sender()
    assert scene.rcpt(sender="later@b.test", recipient="u@far.test").startswith("554 5.7.1")
    at_once = sender(unverified_sender_tempfail_action="defer")
    assert at_once.rcpt(sender="later@b.test", recipient="u@far.test").startswith("450 4.1.7")


def test_the_null_sender_is_not_verified() -> None:
    scene = sender()
    assert scene.rcpt(sender="") == "ok"
    assert not [key for key in scene.asked if key[0] == "verify"]


def test_no_probe_goes_out_for_what_is_refused_anyway() -> None:
    """A stranger could make us probe addresses anywhere; and a probe is asked for only when all else is known."""
    scene = recipient()
    assert scene.rcpt(recipient="u@far.test").startswith("554 5.7.1")
    assert not [key for key in scene.asked if key[0] == "verify"]
