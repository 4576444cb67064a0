"""The header of submitted mail says who has sent it."""

from __future__ import annotations

import pytest

from pillarbox.cleanup.submission import SubmissionRules
from pillarbox.lib.config import Config
from pillarbox.lib.queue import Envelope

ANN = "ann@example.com"
OWNERS = {"sales@example.com": frozenset((ANN, "bob@example.com")), "bob@example.com": frozenset(("bob@example.com",))}


def owners(address: str) -> frozenset[str]:
    return OWNERS.get(address, frozenset())


def mended(
    header: bytes, username: str = ANN, *, origin: str = "smtpd", policy: str = "add", **attributes: str
) -> bytes:
    rules = SubmissionRules(Config.for_tests(myorigin="h.example", submission_sender_header=policy))
    envelope = Envelope("", (), 0.0, origin=origin, sasl_username=username, attributes=attributes)
    return rules.apply(header, envelope, owners)


def submitted(header: bytes, username: str = ANN, policy: str = "add") -> bytes:
    return mended(header, username, policy=policy, submission="yes")


# --- Sender
@pytest.mark.parametrize(
    "header",
    [
        b"From: ann@example.com\n",
        b"From: Ann <Ann@Example.COM>\nSubject: x\n",
        b"From: sales@example.com\n",
        b"From: boss@elsewhere.example\nSender: ann@example.com\n",
        b"From: boss@elsewhere.example\nSender: Ann <sales@example.com>\n",
        b"Subject: no author\n",
        b"",
    ],
)
def test_a_message_whose_author_or_sender_is_the_users_own_stays(header: bytes) -> None:
    assert submitted(header) == header


@pytest.mark.parametrize(
    ("header", "result"),
    [
        (
            b"From: boss@elsewhere.example\nSubject: x\n",
            b"From: boss@elsewhere.example\nSender: ann@example.com\nSubject: x\n",
        ),
        (b"From: bob@example.com\n", b"From: bob@example.com\nSender: ann@example.com\n"),
        (
            b"Sender: bob@example.com\nFrom: Boss\n <boss@elsewhere.example>\nTo: x@y.example\n",
            b"From: Boss\n <boss@elsewhere.example>\nSender: ann@example.com\nTo: x@y.example\n",
        ),
        (
            b"From: ann@example.com\nSubject: x\nSENDER : eve@elsewhere.example\n",
            b"From: ann@example.com\nSender: ann@example.com\nSubject: x\n",
        ),
        (
            b"From: boss@elsewhere.example\nSender: ann@example.com\nSender: eve@elsewhere.example\n",
            b"From: boss@elsewhere.example\nSender: ann@example.com\n",
        ),
        (
            b"From: ann@example.com, boss@elsewhere.example\n",
            b"From: ann@example.com, boss@elsewhere.example\nSender: ann@example.com\n",
        ),
        (b"From: not an address\n", b"From: not an address\nSender: ann@example.com\n"),
        (
            b"From: ann@example.com\nFrom: eve@elsewhere.example\n",
            b"From: ann@example.com\nFrom: eve@elsewhere.example\nSender: ann@example.com\n",
        ),
    ],
)
def test_a_message_of_another_author_names_its_sender(header: bytes, result: bytes) -> None:
    assert submitted(header) == result
    assert submitted(result) == result


def test_a_message_that_is_sent_on_names_who_sends_it_on() -> None:
    resent = b"Resent-From: boss@elsewhere.example\nResent-To: x@y.example\nFrom: carol@elsewhere.example\n"
    assert submitted(resent) == (
        b"Resent-From: boss@elsewhere.example\nResent-Sender: ann@example.com\nResent-To: x@y.example\n"
        b"From: carol@elsewhere.example\n"
    )
    assert submitted(resent.replace(b"boss@elsewhere.example", b"ann@example.com")).count(b"Sender") == 0


def test_a_system_user_owns_the_address_of_that_name() -> None:
    assert submitted(b"From: ann@h.example\n", "ann") == b"From: ann@h.example\n"
    assert submitted(b"From: x@y.example\n", "ann") == b"From: x@y.example\nSender: ann@h.example\n"


@pytest.mark.parametrize(
    ("policy", "header", "result"),
    [
        ("always", b"From: ann@example.com\n", b"From: ann@example.com\n"),
        ("always", b"From: sales@example.com\n", b"From: sales@example.com\nSender: ann@example.com\n"),
        ("never", b"From: boss@elsewhere.example\n", b"From: boss@elsewhere.example\n"),
    ],
)
def test_the_policy(policy: str, header: bytes, result: bytes) -> None:
    assert submitted(header, policy=policy) == result


def test_mail_of_others_is_not_touched() -> None:
    header = b"From: boss@elsewhere.example\nTo: root\n"
    assert mended(header) == header, "not a submission service"
    assert mended(header, "", submission="yes") == header, "nobody has authenticated"
