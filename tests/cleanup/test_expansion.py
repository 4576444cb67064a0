"""What an alias does to the wishes that came with a recipient (RFC 3461 section 5.2.7)."""

from __future__ import annotations

from typing import cast

import pytest

from pillarbox.cleanup.expansion import expand_recipients
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.queue import Recipient


class Aliases:
    """Answers as the look-up service does."""

    def __init__(self, **table: tuple[str, ...]) -> None:
        self._table = table

    def expand(self, address: str) -> tuple[str, ...] | None:
        return self._table.get(address.partition("@")[0])


def expanded(recipients: list[Recipient], **table: tuple[str, ...]) -> tuple[Recipient, ...]:
    return expand_recipients(cast(LookupClient, Aliases(**table)), recipients)


def test_one_address_for_another_keeps_original_recipient_and_wishes() -> None:
    recipient = Recipient("all@y.test", orcpt="rfc822;x@z.test", notify=("success", "failure"))
    assert expanded([recipient], all=("b@y.test",)) == (
        Recipient("b@y.test", "all@y.test", "rfc822;x@z.test", ("success", "failure")),
    )


@pytest.mark.parametrize(
    ("notify", "passed_on", "reported"),
    [
        (("success",), ("never",), True),
        (("success", "failure"), ("failure",), True),
        (("success", "failure", "delay"), ("failure", "delay"), True),
        (("failure",), ("failure",), False),
        (("never",), ("never",), False),
        ((), (), False),
    ],
)
def test_several_for_one_are_reported_as_expanded_and_asked_for_no_success(
    notify: tuple[str, ...], passed_on: tuple[str, ...], reported: bool
) -> None:
    recipient = Recipient("all@y.test", orcpt="rfc822;x@z.test", notify=notify)
    *members, last = expanded([recipient, Recipient("z@y.test")], all=("b@y.test", "c@y.test"))
    assert members[:2] == [
        Recipient(each, "all@y.test", "rfc822;x@z.test", passed_on) for each in ("b@y.test", "c@y.test")
    ]
    if reported:
        assert last == Recipient("all@y.test", "", "rfc822;x@z.test", ("success",), expanded=True)
    else:
        assert last == Recipient("z@y.test")


def test_two_ways_to_one_address_silence_none_of_their_wishes() -> None:
    silent = Recipient("one@y.test", notify=("never",))
    loud = Recipient("two@y.test", notify=("failure",))
    usual = Recipient("three@y.test")
    both = ("b@y.test",)
    assert expanded([silent, loud], one=both, two=both)[0].notify == ("failure",)
    assert expanded([silent, usual], one=both, three=both)[0].notify == ("failure", "delay")
    assert expanded([silent, silent], one=both)[0].notify == ("never",)


def test_who_has_no_alias_stays_as_given() -> None:
    recipient = Recipient("a@y.test", orcpt="rfc822;x@z.test", notify=("never",))
    assert expanded([recipient]) == (recipient,)


def test_what_was_expanded_before_is_not_expanded_again() -> None:
    """A requeued message: the members may have it already, and what is left is to report that."""
    done = Recipient("team@x.test", notify=("success",), expanded=True)
    assert expanded([done], team=("ann@x.test", "bob@x.test")) == (done,)
    assert expanded([done]) == (done,), "nor is it an address to deliver to, where the alias is gone"
