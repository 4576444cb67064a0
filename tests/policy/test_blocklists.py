"""Lists in the DNS: questions, filters of answers, replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config.reply_filter import parse_listing
from tests.policy.world import OURS, THEIRS, World, world

LISTED = {
    ("1.2.0.192.bl.test", "A"): ["127.0.0.4"],
    ("1.2.0.192.bl.test", "TXT"): [b"see http://bl.test/192.0.2.1"],
    ("mx.client.test.dbl.test", "A"): ["127.0.1.2"],
    ("b.test.dbl.test", "A"): ["127.0.1.2"],
    ("ours.test.dbl.test", "A"): ["127.0.1.2"],
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test", "A"): ["127.0.0.4"],
    ("1.2.0.192.odd.test", "A"): ["203.0.113.1"],
    ("1.2.0.192.down.test", "A"): "timeout",
}
BLOCKED = "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.test"
REASON = "; see http://bl.test/192.0.2.1"


def test_a_listed_client_is_refused_with_the_reason() -> None:
    assert world("client", "reject_rbl_client bl.test", dns=LISTED).rcpt() == BLOCKED + REASON
    assert world("client", "reject_rbl_client bl.test", dns=LISTED).rcpt(address="192.0.2.2") == "ok"


def test_an_ipv6_client() -> None:
    said = world("client", "reject_rbl_client bl.test", dns=LISTED).rcpt(address="2001:db8::1")
    assert said == "554 5.7.1 Service unavailable; Client host [2001:db8::1] blocked using bl.test"


def test_a_client_whose_address_no_proxy_knows() -> None:
    assert world("client", "reject_rbl_client bl.test", dns=LISTED).rcpt(address="unknown") == "ok"


@pytest.mark.parametrize(
    ("pattern", "listed"),
    [
        ("", True),
        ("=127.0.0.4", True),
        ("=127.0.0.5", False),
        ("=127.0.0.[2..11]", True),
        ("=127.0.0.[5..11]", False),
        ("=127.0.[0;1].[2;4]", True),
        ("=127.0.[1..9].[2;4]", False),
    ],
)
def test_which_answers_count(pattern: str, listed: bool) -> None:
    said = world("client", f"reject_rbl_client bl.test{pattern}", dns=LISTED).rcpt()
    assert said == (BLOCKED + REASON if listed else "ok")


def test_an_answer_that_is_no_listing() -> None:
    """A list that has gone answers with the address of a parking page: that means nothing."""
    assert world("client", "reject_rbl_client odd.test", dns=LISTED).rcpt() == "ok"


def test_a_list_that_does_not_answer_refuses_nobody() -> None:
    scene = world("client", "reject_rbl_client down.test", dns=LISTED)
    assert scene.rcpt() == "ok"
    assert scene.outcome.warnings == ("1.2.0.192.down.test: RBL lookup error: Host not found, try again",)


@pytest.mark.parametrize(
    ("restriction", "entity"),
    [
        ("reject_rhsbl_client", "Client host [mx.client.test]"),
        ("reject_rhsbl_reverse_client", "Unverified Client host [mx.client.test]"),
        ("reject_rhsbl_helo", "Helo command [mx.client.test]"),
        ("reject_rhsbl_sender", "Sender address [a@b.test]"),
        ("reject_rhsbl_recipient", f"Recipient address [{OURS}]"),
    ],
)
def test_lists_of_domains(restriction: str, entity: str) -> None:
    said = world("recipient", f"{restriction} dbl.test", dns=LISTED).rcpt()
    assert said == f"554 5.7.1 Service unavailable; {entity} blocked using dbl.test"
    assert world("recipient", f"{restriction} else.test", dns=LISTED).rcpt() == "ok"


@pytest.mark.parametrize("sender", ["", "a@[192.0.2.1]", "a@1.2.3.4", "a@localhost"])
def test_lists_of_domains_are_not_asked_about_everything(sender: str) -> None:
    scene = world("sender", "reject_rhsbl_sender dbl.test", dns=LISTED)
    assert scene.rcpt(sender=sender) == "ok"
    assert not [key for key in scene.asked if key[0] == "dns"]


class TestPermit:
    DNS = LISTED | {("1.2.0.192.wl.test", "A"): ["127.0.0.2"], ("mx.client.test.wl.test", "A"): ["127.0.0.2"]}

    @pytest.mark.parametrize("restriction", ["permit_dnswl_client", "permit_rhswl_client"])
    def test_a_good_client_is_spared_what_follows(self, restriction: str) -> None:
        assert world("client", f"{restriction} wl.test, reject", dns=self.DNS).rcpt() == "ok"
        assert world("client", f"{restriction} el.test, reject", dns=self.DNS).rcpt().startswith("554")

    @pytest.mark.parametrize("restriction", ["permit_dnswl_client", "permit_rhswl_client"])
    def test_it_opens_no_relay(self, restriction: str) -> None:
        scene = world("relay", f"{restriction} wl.test, reject_unauth_destination", dns=self.DNS)
        assert scene.rcpt(recipient=THEIRS) == f"554 5.7.1 <{THEIRS}>: Relay access denied"

    def test_without_an_answer_a_refusal_is_temporary(self) -> None:
        scene = world("client", "permit_dnswl_client down.test, reject", dns=self.DNS)
        assert scene.rcpt() == "450 4.7.1 <192.0.2.1>: Client host rejected: Service unavailable"


class TestReplies:
    def test_the_code(self) -> None:
        scene = world("client", "reject_rbl_client bl.test", dns=LISTED, parameters={"maps_rbl_reject_code": "450"})
        assert scene.rcpt().startswith("450 4.7.1 Service unavailable; Client host")

    def test_the_template(self) -> None:
        template = (
            "$rbl_code 5.7.9 $client|$client_address|$client_name|$helo_name|$sender_domain|$recipient_name|$rbl_txt"
        )
        scene = world("client", "reject_rbl_client bl.test", dns=LISTED, parameters={"default_rbl_reply": template})
        tag = "mx.client.test[192.0.2.1]"
        names = f"{tag}|192.0.2.1|mx.client.test|mx.client.test|b.test|u|see http://bl.test/192.0.2.1"
        assert scene.rcpt() == f"554 5.7.9 {names}"

    def test_what_strangers_say_is_not_expanded(self) -> None:
        dns = {**LISTED, ("1.2.0.192.bl.test", "TXT"): [b"$client ${rbl_code?x}\r\n250 ok"]}
        said = world("client", "reject_rbl_client bl.test", dns=dns).rcpt()
        assert said == BLOCKED + "; $client ${rbl_code?x}??250 ok"

    @pytest.mark.parametrize("template", ["$rbl_code", "$nonsense", "2xx fine", "200 fine"])
    def test_a_template_that_makes_no_sense(self, template: str) -> None:
        scene = world("client", "reject_rbl_client bl.test", dns=LISTED, parameters={"default_rbl_reply": template})
        assert scene.rcpt() == "450 4.7.1 Service unavailable"
        assert "RBL reply for bl.test" in scene.outcome.warnings[0]

    @pytest.mark.parametrize("key", ["bl.test=127.0.0.4", "bl.test"])
    def test_a_reply_for_one_list(self, key: str) -> None:
        scene = World(
            {"smtpd_client_restrictions": "reject_rbl_client bl.test=127.0.0.4", "rbl_reply_maps": "hash:replies"},
            dns=LISTED,
            tables={"hash:replies": {key: "550 5.7.8 listed in $rbl_domain"}},
        )
        assert scene.rcpt() == "550 5.7.8 listed in bl.test"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=127.0.0.1",
        "a b",
        "bl.test=",
        "bl.test=127.0.0",
        "bl.test=127.0.0.[5..2]",
        "bl.test=127.0.0.300",
        "bl.test=x",
    ],
)
def test_lists_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_listing(text)


@given(st.text(max_size=30))
def test_reading_a_list_never_fails_otherwise(text: str) -> None:
    try:
        parse_listing(text).counts("127.0.0.2")
    except ValueError as error:
        assert "expected" in str(error)
