"""Transport and next hop."""

from __future__ import annotations

import pytest

from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.config import Config
from pillarbox.lib.tables import LookupFailed
from pillarbox.lookup.service import Lookup


def lookup(**values: str) -> Lookup:
    settings = {
        "myhostname": "mx.own.example",
        "mydomain": "own.example",
        "inet_interfaces": "loopback-only",
        "virtual_mailbox_domains": "hosted.example",
        "virtual_alias_domains": "alias.example",
        "relay_domains": "relay.example",
        "recipient_delimiter": "+",
    }
    return Lookup(Config.for_tests(**(settings | values)))


def way(address: str, sender: str = "", **values: str) -> str:
    route = lookup(**values).router.resolve(address, sender)
    return f"{route.transport}:{route.nexthop}"


@pytest.mark.parametrize(
    ("address", "transport", "nexthop", "address_class"),
    [
        ("ann@mx.own.example", "local", "mx.own.example", "local"),
        ("ann@localhost", "local", "mx.own.example", "local"),
        ("ann@[127.0.0.1]", "local", "mx.own.example", "local"),
        ("ann@hosted.example", "virtual", "hosted.example", "virtual_mailbox"),
        ("ann@alias.example", "error", "5.1.1 User unknown in virtual alias table", "virtual_alias"),
        ("ann@relay.example", "relay", "relay.example", "relay"),
        ("ann@far.example", "smtp", "far.example", "default"),
        ("ann@[192.0.2.1]", "smtp", "[192.0.2.1]", "default"),
    ],
)
def test_the_class_decides(address: str, transport: str, nexthop: str, address_class: str) -> None:
    assert lookup().router.resolve(address) == Route(transport, nexthop, address, address_class)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "complete"),
    [
        ("ann", "ann@mx.own.example"),
        ("@one.example,@two.example:ann@far.example", "ann@far.example"),
        ("ann@far.example.", "ann@far.example"),
        ('"a b"@far.example', '"a b"@far.example'),
        ("", "MAILER-DAEMON@mx.own.example"),
    ],
)
def test_addresses_are_completed(address: str, complete: str) -> None:
    assert lookup().router.resolve(address).recipient == complete


def test_myorigin_completes_bare_names() -> None:
    assert lookup(myorigin="own.example").router.resolve("ann").recipient == "ann@own.example"


def test_relayhost_takes_relay_and_default_mail_only() -> None:
    relayhost = {"relayhost": "[hub.example]:2525"}
    assert way("a@far.example", **relayhost) == "smtp:[hub.example]:2525"
    assert way("a@relay.example", **relayhost) == "relay:[hub.example]:2525"
    assert way("a@hosted.example", **relayhost) == "virtual:hosted.example"
    assert way("a@localhost", **relayhost) == "local:mx.own.example"


def test_a_next_hop_in_the_transport_parameter_wins_over_relayhost() -> None:
    assert way("a@far.example", relayhost="x", default_transport="smtp:[y]:26") == "smtp:[y]:26"
    assert way("a@relay.example", relayhost="x", relay_transport="lmtp:unix:/z") == "lmtp:unix:/z"
    assert way("a@hosted.example", virtual_transport="lmtp:[::1]:24") == "lmtp:[::1]:24"


TRANSPORT = "inline:{%s}"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("ann+x@far.example=one:", "one:far.example"),
        ("ann@far.example=two:hop", "two:hop"),
        ("far.example=three:[h]:26", "three:[h]:26"),
        (".example=four:", "four:far.example"),
        ("*=five:", "five:far.example"),
        ("far.example=:[h]:27", "smtp:[h]:27"),
        ("far.example=:", "smtp:far.example"),
        ("far.example=six", "six:far.example"),
        ("far.example={error:5.7.1 go away}", "error:5.7.1 go away"),
        ("far.example=error:", "error:5.0.0 Address is undeliverable"),
        ("far.example=retry:", "retry:4.0.0 Address is undeliverable"),
        ("other.example=x:", "smtp:far.example"),
    ],
)
def test_transport_maps_override(entry: str, expected: str) -> None:
    key, _, value = entry.partition("=")
    assert way("ann+x@far.example", transport_maps=f"inline:{{{{{key} = {value.strip('{}')}}}}}") == expected


def test_the_nearer_key_of_transport_maps_wins() -> None:
    maps = "inline:{*=w:, .example=p:, far.example=d:, ann@far.example=a:}"
    assert way("ann@far.example", transport_maps=maps) == "a:far.example"
    assert way("bob@far.example", transport_maps=maps) == "d:far.example"
    assert way("bob@sub.example", transport_maps=maps) == "p:sub.example"
    assert way("bob@else.test", transport_maps=maps) == "w:else.test"


def test_transport_maps_apply_to_our_domains_too() -> None:
    assert way("a@hosted.example", transport_maps="inline:{hosted.example=lmtp:x}") == "lmtp:x"
    assert way("a@Hosted.Example", transport_maps="inline:{hosted.example=lmtp:x}") == "lmtp:x"


def test_parents_match_without_dot_where_configured() -> None:
    maps = {"transport_maps": "inline:{far.example=d:}", "parent_domain_matches_subdomains": "transport_maps"}
    assert way("a@sub.far.example", **maps) == "d:sub.far.example"


@pytest.mark.parametrize("maps", ["fail:x", "inline:{{far.example = ../bad: x}}", "pcre:{{/(.*)/ $1:}}"])
def test_what_a_table_cannot_say_is_no_route(maps: str) -> None:
    with pytest.raises(LookupFailed):
        way("ann@far.example", transport_maps=maps)


def test_sender_dependent_tables() -> None:
    hosts = {
        "relayhost": "all.example",
        "sender_dependent_relayhost_maps": "inline:{ann@a.example=[one], @b.example=[two]}",
    }
    assert way("x@far.example", "ann@a.example", **hosts) == "smtp:[one]"
    assert way("x@far.example", "any@b.example", **hosts) == "smtp:[two]"
    assert way("x@far.example", "bob@a.example", **hosts) == "smtp:all.example"
    assert way("x@far.example", "", **hosts) == "smtp:all.example"
    transports = {
        "sender_dependent_default_transport_maps": "inline:{@b.example=slow:, @c.example=:[hop], @d.example=DUNNO}"
    }
    assert way("x@far.example", "any@b.example", **transports) == "slow:far.example"
    assert way("x@far.example", "any@c.example", **transports) == "smtp:[hop]"
    assert way("x@far.example", "any@d.example", **transports) == "smtp:far.example"
    assert way("x@relay.example", "any@b.example", **transports) == "relay:relay.example"


def test_a_suppressed_address_gets_nothing_whatever_else_is_said_of_it() -> None:
    tables = {
        "suppression_maps": "inline:{{ann@far.example = asked for it}, {@gone.example = closed}}",
        "transport_maps": "inline:{far.example=slow:}",
    }
    said = (
        "error:5.7.1 The address gets no mail from mx.own.example: asked for it; "
        "postmaster@mx.own.example can change that"
    )
    assert way("ann@far.example", **tables) == said
    assert way("Ann+list@Far.example", **tables) == said
    assert way("bob@far.example", **tables) == "slow:far.example"
    assert way("any@gone.example", **tables).startswith("error:5.7.1 The address gets no mail")


@pytest.mark.parametrize("local", ["postmaster", "PostMaster", "double-bounce"])
def test_some_addresses_are_never_suppressed(local: str) -> None:
    assert way(f"{local}@gone.example", suppression_maps="inline:{@gone.example=x}") == "smtp:gone.example"


def test_a_user_who_moved_away() -> None:
    moved = {"relocated_maps": "inline:{{ann@hosted.example = ann@new.example}}"}
    assert way("ann@hosted.example", **moved) == "error:5.1.6 User has moved to ann@new.example"
    assert way("bob@hosted.example", **moved) == "virtual:hosted.example"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("sender_dependent_relayhost_maps", "[\\$1]"),
        ("sender_dependent_default_transport_maps", "smtp:\\$1"),
        ("transport_maps", "smtp:\\$1"),
    ],
)
def test_a_sender_does_not_choose_where_mail_goes(parameter: str, value: str) -> None:
    table = {parameter: f"regexp:{{ {{ /@(.*)$/ {value.replace(chr(92), '')} }} }}"}
    with pytest.raises(LookupFailed, match="substitution is not allowed"):
        lookup(**table).router.resolve("ann@far.example", "eve@evil.example")
