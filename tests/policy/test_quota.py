"""Full mailboxes at RCPT."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pillarbox.lib.clients.lookup import RecipientVerdict
from pillarbox.lib.clients.quota import Full
from pillarbox.smtpd.policy.facts import Trouble
from tests.policy.world import World


@dataclass
class Boxes(World):
    found: object = None
    grant: str = "1000S/0S"
    sizes: list[int] = field(default_factory=list)

    def _recipient(self, address: str) -> RecipientVerdict:
        return RecipientVerdict("ok", "virtual_mailbox", quota=self.grant)

    def _quota(self, address: str, size: int) -> object:
        self.sizes.append(size)
        return self.found


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "ok"),
        (Full("why", False), "552 5.2.2 <u@ours.test>: Recipient address rejected: mailbox is full: why"),
        (Full("why", True), "452 4.2.2 <u@ours.test>: Recipient address rejected: mailbox is full: why"),
        (Trouble("quota: gone"), "ok"),
    ],
)
def test_what_is_said(found: object, said: str) -> None:
    scene = Boxes(found=found)
    assert scene.rcpt(size=700) == said
    assert scene.sizes == [700]


def test_without_a_quota_nobody_is_asked() -> None:
    scene = Boxes(found=Full("why", False), grant="")
    assert scene.rcpt() == "ok"
    assert not scene.sizes


def test_a_refusal_of_another_kind_comes_first() -> None:
    scene = Boxes(
        {"smtpd_recipient_restrictions": "check_recipient_access hash:x, reject"},
        tables={"hash:x": {}},
        found=Full("why", False),
    )
    assert scene.rcpt().startswith("554 5.7.1")
    assert not scene.sizes


def test_where_recipients_are_not_checked_quota_is_not() -> None:
    scene = Boxes({"smtpd_reject_unlisted_recipient": "no"}, found=Full("why", False))
    scene.rcpt()
    scene = Boxes({"smtpd_reject_unlisted_recipient": "no"}, found=Full("why", False), facts={"trusted": True})
    assert scene.rcpt() == "ok"
