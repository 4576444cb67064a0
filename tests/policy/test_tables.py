"""Access tables: the orders of keys, the actions, and the tables of hosts behind names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config.restrictions import ACCESS_TABLES
from pillarbox.lib.dns import ClientName
from pillarbox.lookup.access import KEYS_LIMIT
from pillarbox.smtpd.policy.facts import Certificate
from pillarbox.smtpd.policy.keys import address_keys, host_keys, name_keys, network_keys
from tests.policy.world import OURS, World, world

CLIENT_TAG = "mx.client.test[192.0.2.1]"


def keys(order: tuple[tuple[str, bool], ...]) -> list[str]:
    return [key for key, _ in order]


class TestKeys:
    def test_an_address(self) -> None:
        assert keys(address_keys("u+x@a.b.test", "+", False)) == [
            "u+x@a.b.test",
            "u@a.b.test",
            "a.b.test",
            "b.test",
            "test",
            "u+x@",
            "u@",
        ]

    def test_an_address_without_extension(self) -> None:
        assert keys(address_keys("u@b.test", "", False)) == ["u@b.test", "b.test", "test", "u@"]

    def test_parents_with_a_dot(self) -> None:
        assert keys(name_keys("a.b.test", True)) == ["a.b.test", ".b.test", ".test"]

    def test_a_name_that_no_domain_can_have_has_no_parents(self) -> None:
        """HELO may say anything; lookup ends the connection of all sessions at a question that it cannot take."""
        for labels in (128, 129, 300, 1000):
            name = "a." * (labels - 1) + "b"
            found = name_keys(name, False)
            assert found[0] == (name, False)
            assert len(found) <= KEYS_LIMIT
            assert (len(found) == labels) == (len(name) <= 255)

    def test_a_host(self) -> None:
        assert keys(host_keys("mx.test", "192.0.2.1", False)) == [
            "mx.test",
            "test",
            "192.0.2.1",
            "192.0.2",
            "192.0",
            "192",
        ]

    def test_an_ipv6_address(self) -> None:
        assert keys(network_keys("2001:db8::1")) == ["2001:db8::1", "2001:db8:", "2001:db8", "2001"]

    def test_quotes_are_no_part_of_a_key(self) -> None:
        assert keys(address_keys('"a b"@c.test', "", False))[0] == "a b@c.test"

    def test_tables_of_patterns_see_the_whole_only(self) -> None:
        assert [part for _, part in address_keys("u+x@b.test", "+", False)] == [False, True, True, True, True, True]
        assert [part for _, part in host_keys("mx.test", "192.0.2.1", False)] == [False, True, False, True, True, True]

    @given(st.emails(), st.sampled_from(["", "+", "+-"]), st.booleans())
    def test_there_is_no_empty_and_no_repeated_key(self, address: str, delimiters: str, dotted: bool) -> None:
        found = keys(address_keys(address, delimiters, dotted))
        assert all(found)
        assert len(set(found)) == len(found)


DENIED = "554 5.7.1 <{}>: {} rejected: Access denied"


@pytest.mark.parametrize(
    ("name", "key", "facts", "subject"),
    [
        ("check_client_access", "client.test", {}, f"<{CLIENT_TAG}>: Client host"),
        ("check_client_access", "192.0.2", {}, f"<{CLIENT_TAG}>: Client host"),
        ("check_client_access", "unknown", {"name": ClientName()}, "<unknown[192.0.2.1]>: Client host"),
        ("check_reverse_client_hostname_access", "mx.client.test", {}, "<mx.client.test>: Unverified Client host"),
        ("check_helo_access", "client.test", {}, "<mx.client.test>: Helo command"),
        ("check_sender_access", "b.test", {}, "<a@b.test>: Sender address"),
        ("check_sender_access", "a@", {}, "<a@b.test>: Sender address"),
        ("check_sender_access", "<>", {"sender": ""}, "<>: Sender address"),
        ("check_recipient_access", "u@", {}, f"<{OURS}>: Recipient address"),
        ("check_sasl_access", "ann", {"sasl_username": "ann"}, "<ann>: SASL login name"),
        (
            "check_ccert_access",
            "AA:BB",
            {"certificate": Certificate("s", "i", "AA:BB", "CC:DD", True)},
            f"<{CLIENT_TAG}>: Client certificate",
        ),
        (
            "check_ccert_access",
            "CC:DD",
            {"certificate": Certificate("s", "i", "AA:BB", "CC:DD", True)},
            f"<{CLIENT_TAG}>: Client certificate",
        ),
    ],
)
def test_each_table_looks_up_its_subject(name: str, key: str, facts: dict[str, Any], subject: str) -> None:
    scene = world("recipient", f"{name} hash:t", tables={"hash:t": {key: "REJECT"}})
    assert scene.rcpt(**facts) == f"554 5.7.1 {subject} rejected: Access denied"
    other = world("recipient", f"{name} hash:t", tables={"hash:t": {"else": "REJECT"}})
    assert other.rcpt(**facts) == "ok"


def test_the_search_order_of_certificates() -> None:
    both = {"AA": "REJECT cert", "BB": "REJECT key"}
    certificate = Certificate("s", "i", "AA", "BB")
    rule = "check_ccert_access {{ hash:t, {{ search_order = {} }} }}"
    for order, text in (("pubkey_fingerprint cert_fingerprint", "key"), ("cert_fingerprint", "cert")):
        scene = world("client", rule.format(order), tables={"hash:t": both})
        assert scene.rcpt(certificate=certificate).endswith(f"rejected: {text}")


def test_etrn_access() -> None:
    scene = world("etrn", "hash:t", tables={"hash:t": {"far.test": "REJECT"}})
    assert scene.decide("ETRN", etrn="sub.far.test") == DENIED.format("sub.far.test", "Etrn command")


def test_a_list_without_subject_of_its_own_needs_to_be_told() -> None:
    with pytest.raises(ValueError, match='"hash:t": say for what the table is'):
        world("data", "hash:t")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("OK", "ok"),
        ("RELAY", "ok"),
        ("ok all right", "ok"),
        ("1234567", "ok"),
        ("DUNNO", "554 5.7.1 <{}>: Recipient address rejected: Access denied"),
        ("REJECT", "554 5.7.1 <{}>: Recipient address rejected: Access denied"),
        ("reject go away", "554 5.7.1 <{}>: Recipient address rejected: go away"),
        ("REJECT 5.1.7 go away", "554 5.1.7 <{}>: Recipient address rejected: go away"),
        ("REJECT 4.1.7 odd", "554 5.1.7 <{}>: Recipient address rejected: odd"),
        ("DEFER", "450 4.7.1 <{}>: Recipient address rejected: Access denied"),
        ("DEFER 4.2.1 later", "450 4.2.1 <{}>: Recipient address rejected: later"),
        ("550 no", "550 5.7.1 <{}>: Recipient address rejected: no"),
        ("550 5.1.1 no", "550 5.1.1 <{}>: Recipient address rejected: no"),
        ("450\tlater", "450 4.7.1 <{}>: Recipient address rejected: later"),
        ("521 5.7.1 good bye", "521 5.7.1 <{}>: Recipient address rejected: good bye"),
        ("421 4.7.1 good bye", "421 4.7.1 <{}>: Recipient address rejected: good bye"),
        ("DEFER_IF_PERMIT", "554 5.7.1 <{}>: Recipient address rejected: Access denied"),
        ("DEFER_IF_REJECT 4.2.2 hm", "450 4.2.2 <{}>: Recipient address rejected: hm"),
        ("permit_mynetworks, defer", "450 4.3.2 <{}>: Recipient address rejected: Try again later"),
    ],
)
def test_actions_that_decide(value: str, expected: str) -> None:
    scene = world("recipient", "hash:t, reject", tables={"hash:t": {OURS: value}})
    assert scene.rcpt() == expected.format(OURS)


def test_codes_of_actions() -> None:
    parameters = {"access_map_reject_code": "550", "access_map_defer_code": "451"}
    scene = world(
        "recipient", "hash:t", tables={"hash:t": {OURS: "REJECT", "x@ours.test": "DEFER"}}, parameters=parameters
    )
    assert scene.rcpt().startswith("550 5.7.1")
    assert scene.rcpt(recipient="x@ours.test").startswith("451 4.7.1")


ABOUT = f"<{OURS}>: Recipient address"


@pytest.mark.parametrize(
    ("value", "effect", "wanted"),
    [
        ("HOLD", f"hold: {ABOUT} triggers HOLD action", f"{ABOUT} triggers HOLD action"),
        ("HOLD look at it", f"hold: {ABOUT} look at it", "look at it"),
        ("DISCARD", f"discard: {ABOUT} triggers DISCARD action", ""),
        (
            "FILTER scan:[127.0.0.1]:10025",
            f"filter: {ABOUT} triggers FILTER scan:[127.0.0.1]:10025",
            "scan:[127.0.0.1]:10025",
        ),
        ("REDIRECT x@y.test", f"redirect: {ABOUT} triggers REDIRECT x@y.test", "x@y.test"),
        ("BCC x@y.test", f"bcc: {ABOUT} triggers BCC x@y.test", "x@y.test"),
        ("PREPEND X-A: b", "prepend: X-A: b", "X-A: b"),
        ("WARN odd", f"warn: {ABOUT} odd", ""),
        ("INFO odd", f"info: {ABOUT} odd", ""),
    ],
)
def test_actions_that_do_something(value: str, effect: str, wanted: str) -> None:
    scene = world("recipient", "hash:t", tables={"hash:t": {OURS: value}})
    assert scene.rcpt() == "ok"
    assert scene.effects() == [effect]
    assert scene.outcome.effects[0].value == wanted


def test_discard_ends_everything_but_what_protects_comes_first() -> None:
    scene = world("recipient", "hash:t, reject", tables={"hash:t": {OURS: "DISCARD", "far.test": "DISCARD"}})
    assert scene.rcpt() == "ok"
    assert scene.rcpt(recipient="u@far.test").startswith("554 5.7.1 <u@far.test>: Relay access denied")


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        ("FILTER", "FILTER requires transport:destination"),
        ("FILTER nonsense", "FILTER requires transport:destination"),
        ("REDIRECT", "REDIRECT requires an address user@domain"),
        ("REDIRECT nobody", "REDIRECT requires an address user@domain"),
        ("BCC nobody", "BCC requires an address user@domain"),
        ("PREPEND no field", 'PREPEND requires a header field "Name: text"'),
        ("PREPEND X: a\nEvil: b", None),
        ("PREPEND X: a\rEvil: b", None),
        ("PREPEND X: a\r\nEvil: b", None),
    ],
)
def test_actions_that_make_no_sense_are_warned_of(value: str, warning: str | None) -> None:
    scene = world("recipient", "hash:t", tables={"hash:t": {OURS: value}})
    assert scene.rcpt() == "ok"
    if warning is None:  # a line break cannot begin a second field
        assert scene.outcome.effects[0].value == "X: a Evil: b"
    else:
        assert scene.outcome.warnings == (f'access table hash:t entry "{OURS}": {warning}',)
        assert not scene.outcome.effects


def test_what_comes_too_late_is_warned_of() -> None:
    for value, works in (("PREPEND X: y", False), ("FILTER a:b", True), ("HOLD", True), ("DISCARD", True)):
        scene = world("end_of_data", "check_sender_access hash:t", tables={"hash:t": {"b.test": value}})
        assert scene.decide("END-OF-MESSAGE") == "ok"
        assert bool(scene.outcome.effects) == works
        assert bool(scene.outcome.warnings) != works


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_an_empty_reason_is_none(text: str) -> None:
    scene = world("recipient", "hash:t", tables={"hash:t": {OURS: f"REJECT{text}"}})
    assert scene.rcpt() == DENIED.format(OURS, "Recipient address")


DNS = {
    ("mx.client.test", "A"): ["192.0.2.1"],
    ("mx.client.test", "MX"): ["mail.client.test"],
    ("mail.client.test", "A"): ["198.51.100.7"],
    ("client.test", "NS"): ["ns.client.test"],
    ("ns.client.test", "A"): ["203.0.113.5"],
    ("b.test", "MX"): ["mail.client.test"],
    ("b.test", "A"): ["192.0.2.9"],
    ("b.test", "NS"): ["ns.client.test"],
    ("ours.test", "MX"): ["mail.client.test"],
    ("ours.test", "A"): ["192.0.2.9"],
    ("ours.test", "NS"): ["ns.client.test"],
    ("plain.test", "A"): ["192.0.2.77"],
}


@pytest.mark.parametrize(
    "name", [name for name in ACCESS_TABLES if name.count("_") >= 3 and name.split("_")[-2] in ("a", "mx", "ns")]
)
def test_hosts_behind_names(name: str) -> None:
    """By the name of the host (not for _a_) and by its address or network; never a permission."""
    record = name.split("_")[-2]
    about_client = "client" in name or "helo" in name
    host, network = {
        "a": ("mx.client.test", "192.0.2")
        if about_client
        else (("b.test" if "sender" in name else "ours.test"), "192.0.2"),
        "mx": ("mail.client.test", "198.51.100"),
        "ns": ("ns.client.test", "203.0.113.5"),
    }[record]
    for key in (network,) if record == "a" else (host, network):
        scene = world("recipient", f"{name} hash:t", tables={"hash:t": {key: "REJECT bad host"}}, dns=DNS)
        assert scene.rcpt().endswith("rejected: bad host")
        scene = world("recipient", f"{name} hash:t", tables={"hash:t": {key: "OK"}}, dns=DNS)
        assert scene.rcpt() == "451 4.3.5 Server configuration error"
        assert "use DUNNO instead of OK if you want to make an exception" in scene.outcome.warnings
    scene = world("recipient", f"{name} hash:t", tables={"hash:t": {}}, dns=DNS)
    assert scene.rcpt() == "ok"


def test_a_name_without_mx_is_its_own_exchanger() -> None:
    scene = world("sender", "check_sender_mx_access hash:t", tables={"hash:t": {"192.0.2.77": "REJECT"}}, dns=DNS)
    assert scene.rcpt(sender="a@plain.test").startswith("554")


def test_an_address_literal_is_its_own_host() -> None:
    for record in ("a", "mx"):
        scene = world("sender", f"check_sender_{record}_access hash:t", tables={"hash:t": {"198.51.100": "REJECT"}})
        assert scene.rcpt(sender="a@[198.51.100.3]").startswith("554")


def test_names_that_do_not_exist_are_held_against_nobody() -> None:
    scene = world("sender", "check_sender_ns_access hash:t, check_sender_mx_access hash:t", tables={"hash:t": {}})
    assert scene.rcpt(sender="a@nowhere.test") == "ok"


def test_a_table_that_cannot_be_asked_puts_off() -> None:
    scene = World({"smtpd_client_restrictions": "hash:t"}, broken=True)
    assert scene.rcpt() == f"451 4.3.0 <{CLIENT_TAG}>: Temporary lookup failure"


class TestCertificates:
    TRUSTED = Certificate("ann", "Our CA", "AA", "BB", True)
    STRANGE = Certificate("", "", "CC", "DD", False)

    def test_by_fingerprint(self) -> None:
        parameters = {"relay_clientcerts": "hash:certs"}
        tables = {"hash:certs": {"AA": "laptop", "DD": "phone"}}
        scene = world("relay", "permit_tls_clientcerts, reject", tables=tables, parameters=parameters)
        assert scene.rcpt(certificate=self.TRUSTED) == "ok"
        assert scene.rcpt(certificate=self.STRANGE) == "ok"  # its public key is listed
        assert scene.rcpt(certificate=Certificate("", "", "EE", "FF")).startswith("554")
        assert scene.rcpt().startswith("554")

    def test_by_authority(self) -> None:
        scene = world("relay", "permit_tls_all_clientcerts, reject")
        assert scene.rcpt(certificate=self.TRUSTED) == "ok"
        assert scene.rcpt(certificate=self.STRANGE).startswith("554")
