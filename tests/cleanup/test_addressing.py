"""What becomes of the addresses of an envelope before it is queued."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.clients.addressing import Addressing
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.clients.lookup import LookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.queue import Recipient
from tests.lookup.direct import direct


class Aliases:
    """Answers as the look-up service does."""

    def __init__(self, **table: tuple[str, ...]) -> None:
        self._table = table

    def expand(self, address: str) -> tuple[str, ...] | None:
        return self._table.get(address.partition("@")[0])


def expanded(recipients: list[Recipient], **table: tuple[str, ...]) -> tuple[Recipient, ...]:
    return Addressing(Config.for_tests(), cast(LookupClient, Aliases(**table))).expanded(recipients)


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


# --- with tables
def addressing(**values: str) -> Addressing:
    settings = {
        "myhostname": "mx.own.example",
        "mydomain": "own.example",
        "inet_interfaces": "loopback-only",
        "recipient_delimiter": "+",
    }
    config = Config.for_tests(**(settings | values))
    return Addressing(config, direct(config))


def arranged(*addresses: str, sender: str = "s@x.example", **values: str) -> list[tuple[str, str]]:
    """The recipients in place of these, with what they were called."""
    found = addressing(**values).recipients(tuple(map(Recipient, addresses)), sender, copies=True)
    return [(one.address, one.original) for one in found]


def test_addresses_get_their_standard_form_and_keep_what_they_were_called() -> None:
    assert arranged("ann", "x!bob", "carl%y.example", "dora@z.example.", "@r.example:eve@w.example") == [
        ("ann@mx.own.example", "ann"),
        ("bob@x", "x!bob"),
        ("carl@y.example", "carl%y.example"),
        ("dora@z.example", "dora@z.example."),
        ("eve@w.example", "@r.example:eve@w.example"),
    ]


def test_what_is_usual_comes_back_as_it_is() -> None:
    recipients = (Recipient("a@x.example"), Recipient("b@y.example", notify=("never",)))
    assert addressing().recipients(recipients, "s@x.example", copies=True) is recipients


def test_two_forms_of_one_address_are_one_recipient() -> None:
    assert arranged("ann", "ann@mx.own.example", "bob") == [
        ("ann@mx.own.example", "ann"),
        ("bob@mx.own.example", "bob"),
    ]


def test_the_order_is_canonical_then_copies_then_aliases() -> None:
    assert arranged(
        "ann@old.example",
        recipient_canonical_maps="inline:{@old.example=@new.example}",
        recipient_bcc_maps="inline:{ann@new.example=audit@old.example}",
        virtual_alias_maps="inline:{ann@new.example=bob@far.example, audit@new.example=box@far.example}",
    ) == [("bob@far.example", "ann@old.example"), ("box@far.example", "audit@new.example")]


def test_copies_go_by_sender_by_recipient_and_always_and_nobody_hears_of_them() -> None:
    found = addressing(
        always_bcc="archive",
        sender_bcc_maps="inline:{@x.example=boss@x.example}",
        recipient_bcc_maps="inline:{r@y.example=audit@x.example}",
    ).recipients((Recipient("r@y.example"), Recipient("q@y.example")), "s@x.example", copies=True)
    assert found == (
        Recipient("r@y.example"),
        Recipient("q@y.example"),
        Recipient("audit@x.example", notify=("never",)),
        Recipient("boss@x.example", notify=("never",)),
        Recipient("archive@mx.own.example", notify=("never",)),
    )


def test_mail_of_nobody_has_no_copy_by_sender() -> None:
    assert arranged("r@y.example", sender="", sender_bcc_maps="static:boss@x.example") == [("r@y.example", "")]


def test_a_recipient_who_gets_a_copy_besides_is_told_of_failures() -> None:
    found = addressing(always_bcc="r@y.example", virtual_alias_maps="inline:{q@y.example=r@y.example}").recipients(
        (Recipient("q@y.example"),), "s@x.example", copies=True
    )
    assert found == (Recipient("r@y.example", "q@y.example", notify=("failure", "delay")),)


def test_without_mappings_only_the_form_is_mended() -> None:
    everything = addressing(
        always_bcc="archive",
        canonical_maps="static:x@y.example",
        virtual_alias_maps="static:v@y.example",
        masquerade_domains="own.example",
    )
    assert everything.recipients((Recipient("ann"),), "", mapped=False, copies=True) == (
        Recipient("ann@mx.own.example", "ann"),
    )
    assert everything.sender("ann", mapped=False) == "ann@mx.own.example"


def test_senders() -> None:
    rules = addressing(sender_canonical_maps="inline:{ann=ann.smith@own.example}", masquerade_domains="own.example")
    assert rules.sender("") == "", "nobody stays nobody"
    assert rules.sender("ann") == "ann.smith@own.example"
    assert rules.sender("ann+list") == "ann.smith+list@own.example"
    assert rules.sender("bob@host.own.example") == "bob@own.example"


@pytest.mark.parametrize(
    "parameter",
    ["canonical_maps", "recipient_canonical_maps", "recipient_bcc_maps", "sender_bcc_maps", "virtual_alias_maps"],
)
def test_a_table_that_cannot_be_asked_is_not_passed_over(parameter: str) -> None:
    with pytest.raises(ServiceUnavailable):
        arranged("r@y.example", **{parameter: "fail:x"})


@given(st.text(alphabet='ab.@!%"\\:+[]', max_size=20))
def test_arranging_twice_changes_nothing(address: str) -> None:
    rules = addressing(masquerade_domains="a.b")
    once = rules.sender(address)
    assert rules.sender(once) == once


def test_an_address_gets_a_message_once_however_often_and_in_whatever_case_it_is_named() -> None:
    named = ("Ann@y.test", "bob@y.test", "ann@Y.test", "bob@y.test")
    recipients = tuple(Recipient(address, notify=("failure",) if address[0] == "A" else ()) for address in named)
    config = Config.for_tests(inet_interfaces="loopback-only")
    rules = Addressing(config, direct(config))
    arranged = rules.recipients(recipients, "s@x.test")
    assert [one.address for one in arranged] == ["Ann@y.test", "bob@y.test"]
    assert arranged[0].notify == ("failure", "delay")
    members = expanded(
        [Recipient("all@y.test"), Recipient("Carl@y.test")], all=("ann@y.test", "Ann@y.test", "carl@y.test")
    )
    assert [one.address for one in members] == ["ann@y.test", "carl@y.test"]
    apart = (Recipient("ann@y.test", orcpt="rfc822;a@x.test"), Recipient("ann@y.test", orcpt="rfc822;b@x.test"))
    assert rules.recipients(apart, "s@x.test") is apart
