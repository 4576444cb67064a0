"""Standard forms, address classes and routes beside trivial-rewrite of a real Postfix, with the same parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pillarbox.lib.address.address import quote_local, unquote_local
from pillarbox.lib.address.rewriting import split_written
from pillarbox.lib.config import Config
from pillarbox.lib.config.address_rules import address_rules
from pillarbox.lookup.service import Lookup
from tests.peers.postfix import Postfix
from tests.peers.trivial_rewrite import ERROR, ROUTED, TrivialRewrite

BASIS = {
    "myhostname": "mx.own.example",
    "mydomain": "own.example",
    "myorigin": "own.example",
    "mydestination": "mx.own.example, localhost, own.example",
    "virtual_mailbox_domains": "hosted.example",
    "virtual_alias_domains": "alias.example",
    "relay_domains": "relay.example",
    "recipient_delimiter": "+",
    "local_recipient_maps": "",
    "virtual_mailbox_maps": "",
}
TRANSPORTS = (
    "inline:{ann@far.example=lmtp:unix:/ann, {far.example = smtp:[hub.example]:26}, .dot.example=relay:, "
    "parent.example=lmtp:, hosted.example=:[box.example], {gone.example = error:5.7.1 gone for good}, bob@=smtp:x, "
    "{wait.example = retry:}, {bad.example = error:}, alias.example=smtp:, list.example=:, local.example=local:, "
    "ann@own.example=smtp:[ann.example], [192.0.2.1]=smtp:[literal.example]}"
)
CASES: dict[str, dict[str, str]] = {
    "defaults": {},
    "dots": {"append_dot_mydomain": "yes", "remote_header_rewrite_domain": "domain.invalid"},
    "plain": {"swap_bangpath": "no", "allow_percent_hack": "no"},
    "quoted": {"resolve_dequoted_address": "no"},
    "bare": {"append_at_myorigin": "no"},
    "transports": {"transport_maps": TRANSPORTS, "relayhost": "[out.example]:2525"},
    "wildcard": {"transport_maps": "inline:{own.example=:, .own.example=:, *=smtp:[hub.example]}"},
    "parents": {
        "transport_maps": TRANSPORTS,
        "parent_domain_matches_subdomains": "transport_maps",
    },
    "moved": {
        "relocated_maps": "inline:{ann@far.example=mars, bob=venus, @relay.example=moon}",
        "transport_maps": TRANSPORTS,
    },
    "senders": {
        "relayhost": "[out.example]",
        "sender_dependent_relayhost_maps": "inline:{s@a.example=[a.example], @b.example=[b.example], @c.example=DUNNO}",
        "sender_dependent_default_transport_maps": "inline:{@b.example=lmtp:unix:/b, @d.example=smtp:[d.example]}",
    },
    "words": {
        "local_transport": "error:local mail is off",
        "virtual_transport": "lmtp:[::1]:24",
        "relay_transport": "smtp:[inner.example]",
        "default_transport": "retry:4.4.1 later",
    },
    "hub": {"relayhost": "hub.example", "relay_transport": "relay", "mydestination": "", "local_transport": "relay:x"},
    "overlap": {
        "relay_domains": "relay.example, hosted.example, alias.example, own.example, !sub.relay.example",
        "virtual_mailbox_domains": "hosted.example, alias.example, own.example",
        "virtual_alias_domains": "inline:{alias.example=x, own.example=x, far.example=x}",
    },
    "silent": {"show_user_unknown_table_name": "no", "recipient_delimiter": "-+"},
}
LOCALS = ("ann", "bob", "ann+x", "far.example!ann", "ann%far.example", "a%b%far.example", '"a b"', '"ann@far.example"')
DOMAINS = (
    *("own.example", "localhost", "mx.own.example", "sub.own.example", "hosted.example", "sub.hosted.example"),
    *("alias.example", "sub.alias.example", "relay.example", "sub.relay.example", "far.example", "sub.far.example"),
    *("parent.example", "sub.parent.example", "dot.example", "sub.dot.example", "gone.example", "wait.example"),
    *("bad.example", "list.example", "local.example", "[127.0.0.1]", "[192.0.2.1]", "HOSTED.Example", "far.example."),
)
ODD = (
    *(
        "ann",
        "ann+x",
        "site!ann",
        "one!two!ann",
        "ann%site",
        "ann%one%two",
        "ann@host",
        "site!ann%two",
        "ann.@x.example",
    ),
    *(
        "@far.example:ann@hosted.example",
        "@a.example,@b.example:ann",
        '"site!ann"',
        '"a@b"',
        '"a b"',
        "a@b@far.example",
    ),
    *("ann%hosted.example@own.example", "ann%relay.example@localhost", '"a b@far.example"@own.example', "postmaster"),
    *(
        "ann@far.example..",
        "ann%far.example%localhost@own.example",
        "host!ann@own.example",
        '"ann%far.example"@localhost',
    ),
)
ADDRESSES = (*ODD, *(f"{local}@{domain}" for local in LOCALS for domain in DOMAINS))
SENDERS = ("", "s@a.example", "s@b.example", "t@c.example", "t@d.example")


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    lines = []
    for name, values in CASES.items():
        options = " ".join(f"-o {{ {parameter} = {value} }}" for parameter, value in values.items())
        lines.append(f"rewrite-{name} unix - - n - - trivial-rewrite {options}\n")
    services = "".join(lines)
    with Postfix(hostname="mx.own.example", parameters=BASIS, services=services) as running:
        yield running


OURS = {
    # Postfix asks itself without the quotes, so that they do not keep what resolve_dequoted_address promises.
    "quoted": ('"site!ann"', '"ann%far.example"@localhost'),
    # Without quotes and domain nobody can tell what this is.
    "bare": ('"a@b"',),
}
"""Addresses with which we do otherwise."""


def written(address: str) -> str:
    """The address with just the quotes that it needs."""
    local, domain = split_written(address)
    plain = quote_local(unquote_local(local))
    return plain if domain is None else f"{plain}@{domain}"


def without_code(nexthop: str) -> str:
    """Postfix leaves the code of this one to its error service."""
    return re.sub(r"^[45]\.0\.0 (?=Address is undeliverable$)", "", nexthop)


@pytest.mark.parametrize("case", CASES)
def test_addresses_get_the_same_form_and_go_the_same_way(postfix: Postfix, case: str) -> None:
    config = Config.for_tests(**(BASIS | {"inet_interfaces": "loopback-only"} | CASES[case]))
    ours = Lookup(config)
    theirs = TrivialRewrite(postfix.queue / "private" / f"rewrite-{case}")
    standard = address_rules(config).standard
    differences: list[object] = []
    compared = 0
    try:
        for address in ADDRESSES:
            if address in OURS.get(case, ()):
                continue
            rewritten = theirs.rewrite(address)
            if written(standard(address)) != written(rewritten):
                differences.append((address, "form", standard(address), rewritten))
                continue
            for sender in SENDERS if "sender" in "".join(CASES[case]) else ("",):
                answer = theirs.resolve(rewritten, sender)
                if answer.flags & ERROR:
                    continue  # bounced for its syntax, before any table
                compared += 1
                route = ours.router.resolve(address, sender)
                way = (route.transport, without_code(route.nexthop), written(route.recipient), route.address_class)
                wanted = (answer.transport, answer.nexthop, written(answer.recipient), answer.address_class)
                if way != wanted:
                    differences.append((address, sender, way, wanted))
                elif ours.router.carries_route(route.recipient) != bool(answer.flags & ROUTED):
                    differences.append((address, "carries a route", answer))
    finally:
        theirs.close()
    assert differences == []
    assert compared > 100


def test_headers_of_strangers_get_the_domain_for_them(postfix: Postfix) -> None:
    config = Config.for_tests(**(BASIS | CASES["dots"]))
    standard = address_rules(config, remote_domain="domain.invalid").standard
    theirs = TrivialRewrite(postfix.queue / "private" / "rewrite-dots")
    try:
        for address in ADDRESSES:
            assert written(standard(address)) == written(theirs.rewrite(address, "remote")), address
    finally:
        theirs.close()
