"""May mail for an address be accepted."""

from __future__ import annotations

import os
import pwd

import pytest

from pillarbox.lib.clients.lookup import RecipientVerdict
from pillarbox.lib.config import Config
from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.service import Lookup

SETTINGS = {
    "myhostname": "mx.own.example",
    "mydomain": "own.example",
    "inet_interfaces": "loopback-only",
    "alias_maps": "inline:{postmaster=root}",
    "virtual_alias_domains": "alias.example",
    "virtual_alias_maps": "inline:{sales@alias.example=x@far.example, @catch.example=y, known@hosted.example=z}",
    "virtual_mailbox_domains": "hosted.example, catch.example",
    "virtual_mailbox_maps": "inline:{ann@hosted.example=ann/}",
    "relay_domains": "relay.example, strict.example",
    "relay_recipient_maps": "inline:{ann@strict.example=x, @relay.example=x}",
    "recipient_delimiter": "+",
}


def verdict(address: str, **values: str) -> RecipientVerdict:
    return Lookup(Config.for_tests(**(SETTINGS | values))).recipients.verdict(address)


@pytest.mark.parametrize(
    ("address", "address_class"),
    [
        ("postmaster@localhost", "local"),
        ("postmaster", "local"),
        ("Postmaster@MX.own.example", "local"),
        (pwd.getpwuid(os.getuid()).pw_name + "@localhost", "local"),
        (pwd.getpwuid(os.getuid()).pw_name + "+ext@localhost", "local"),
        ("sales@alias.example", "virtual_alias"),
        ("ann@hosted.example", "virtual_mailbox"),
        ("ANN+x@hosted.example", "virtual_mailbox"),
        ("known@hosted.example", "virtual_mailbox"),
        ("anyone@catch.example", "virtual_mailbox"),
        ("anyone@relay.example", "relay"),
        ("ann@strict.example", "relay"),
    ],
)
def test_a_known_recipient(address: str, address_class: str) -> None:
    found = verdict(address)
    assert (found.status, found.address_class) == ("ok", address_class)


@pytest.mark.parametrize(
    ("address", "table"),
    [
        ("no-such-user-here@localhost", "local recipient table"),
        ("bob@alias.example", "virtual alias table"),
        ("bob@hosted.example", "virtual mailbox table"),
        ("bob@strict.example", "relay recipient table"),
    ],
)
def test_an_unknown_recipient_and_the_table_that_lacks_it(address: str, table: str) -> None:
    found = verdict(address)
    assert (found.status, found.code, found.dsn, found.text) == ("unknown", 550, "5.1.1", f"User unknown in {table}")
    assert verdict(address, show_user_unknown_table_name="no").text == "User unknown"


def test_a_foreign_domain() -> None:
    found = verdict("ann@far.example")
    assert (found.status, found.address_class, found.code, found.dsn) == ("relay_denied", "default", 554, "5.7.1")
    assert found.text == "Relay access denied"


@pytest.mark.parametrize("parameter", ["local_recipient_maps", "virtual_mailbox_maps", "relay_recipient_maps"])
def test_without_table_every_user_is_known(parameter: str) -> None:
    address = {"l": "nobody-here@localhost", "v": "bob@hosted.example", "r": "bob@strict.example"}[parameter[0]]
    assert verdict(address, **{parameter: ""}).status == "ok"


@pytest.mark.parametrize(
    "parameter", ["local_recipient_maps", "virtual_mailbox_maps", "relay_recipient_maps", "virtual_alias_maps"]
)
def test_a_failing_table_is_not_an_unknown_user(parameter: str) -> None:
    address = {"l": "bob@localhost", "v": "bob@hosted.example", "r": "bob@strict.example"}[parameter[0]]
    with pytest.raises(LookupFailed):
        verdict(address, **{parameter: "fail:x"})


@pytest.mark.parametrize(
    ("value", "code", "dsn", "text"),
    [
        ("error:5.7.1 go away", 550, "5.7.1", "go away"),
        ("error:no status", 550, "5.0.0", "no status"),
        ("retry:4.3.0 later", 450, "4.3.0", "later"),
        ("retry:5.1.1 wrong class", 450, "4.1.1", "wrong class"),
    ],
)
def test_a_transport_that_refuses(value: str, code: int, dsn: str, text: str) -> None:
    found = verdict("ann@hosted.example", transport_maps=f"inline:{{{{hosted.example = {value}}}}}")
    assert (found.status, found.code, found.dsn, found.text) == ("error", code, dsn, text)


def test_a_user_who_moved_away() -> None:
    found = verdict("ann@hosted.example", relocated_maps="inline:{ann@hosted.example=new@far.example}")
    assert (found.status, found.dsn, found.text) == ("error", "5.1.6", "User has moved to new@far.example")
