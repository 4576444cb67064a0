"""Who may send where: closed by default, open to those who are trusted, and no way round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.lib.config import Config
from pillarbox.lib.config.restrictions import PROTECTING, RESTRICTIONS
from pillarbox.smtpd.policy.settings import configured_settings
from tests.policy.world import OURS, THEIRS, World, world

DENIED = f"554 5.7.1 <{THEIRS}>: Relay access denied"


def test_our_recipients_are_open_to_all() -> None:
    assert World().rcpt() == "ok"


def test_other_recipients_are_closed_to_strangers() -> None:
    assert World().rcpt(recipient=THEIRS) == DENIED


def test_other_recipients_are_open_to_trusted_and_authenticated_clients() -> None:
    assert World().rcpt(recipient=THEIRS, trusted=True) == "ok"
    assert World().rcpt(recipient=THEIRS, sasl_username="ann") == "ok"


def test_the_deferring_form_is_temporary() -> None:
    scene = world("relay", "defer_unauth_destination")
    assert scene.rcpt(recipient=THEIRS) == f"454 4.7.1 <{THEIRS}>: Relay access denied"


def test_the_code_can_be_set() -> None:
    scene = World({"relay_domains_reject_code": "550"})
    assert scene.rcpt(recipient=THEIRS) == f"550 5.7.1 <{THEIRS}>: Relay access denied"


@pytest.mark.parametrize("local", ["x%far.test", "far.test!x", '"x@far.test"'])
def test_an_address_within_our_address_is_no_way_to_relay(local: str) -> None:
    assert World().rcpt(recipient=f"{local}@ours.test").startswith("554 5.7.1")
    assert World().rcpt(recipient=f"{local}@ours.test", trusted=True) == "ok"


@pytest.mark.parametrize("local", ["x%far.test", "far.test!x"])
def test_a_table_cannot_open_that_way_either(local: str) -> None:
    scene = world("relay", "check_recipient_access hash:ok, reject", tables={"hash:ok": {"ours.test": "OK"}})
    assert scene.rcpt() == "ok"
    assert scene.rcpt(recipient=f"{local}@ours.test").startswith("554 5.7.1")


def test_unknown_users_are_refused_for_trusted_clients_too() -> None:
    expected = "550 5.1.1 <nobody@ours.test>: Recipient address rejected: User unknown in local recipient table"
    assert World().rcpt(recipient="nobody@ours.test", trusted=True) == expected


def test_the_table_name_can_be_hidden_and_the_code_changed() -> None:
    hidden = World({"show_user_unknown_table_name": "no", "unknown_local_recipient_reject_code": "450"})
    expected = "450 4.1.1 <nobody@ours.test>: Recipient address rejected: User unknown"
    assert hidden.rcpt(recipient="nobody@ours.test") == expected


def test_unlisted_recipients_can_be_let_in() -> None:
    assert World({"smtpd_reject_unlisted_recipient": "no"}).rcpt(recipient="nobody@ours.test") == "ok"


def test_what_a_table_declares_undeliverable_is_refused_in_its_words() -> None:
    expected = "450 4.3.2 <later@ours.test>: Recipient address rejected: mail system upgrade"
    assert World().rcpt(recipient="later@ours.test") == expected


def test_a_look_up_that_fails_puts_everybody_off_and_opens_nothing() -> None:
    broken = World(broken=True)
    assert broken.rcpt(recipient=THEIRS) == f"451 4.3.0 <{THEIRS}>: Temporary lookup failure"
    assert broken.rcpt(recipient=THEIRS, trusted=True) == f"451 4.3.0 <{THEIRS}>: Temporary lookup failure"
    assert broken.outcome.warnings == (f"{THEIRS}: recipient look-up: the lookup service is away",)


def test_permit_auth_destination_permits_ours_only() -> None:
    scene = world("relay", "permit_auth_destination, reject")
    assert scene.rcpt() == "ok"
    assert scene.rcpt(recipient=THEIRS) == f"554 5.7.1 <{THEIRS}>: Recipient address rejected: Access denied"


def test_submission_is_for_authenticated_clients_only() -> None:
    scene = world("relay", "permit_sasl_authenticated, reject")
    assert scene.rcpt(trusted=True).startswith("554 5.7.1")
    assert scene.rcpt(recipient=THEIRS, sasl_username="ann") == "ok"


@pytest.mark.parametrize(
    ("relay", "recipient"),
    [
        ("", ""),
        ("permit_mynetworks", ""),
        ("permit, reject", ""),
        ("warn_if_reject reject_unauth_destination", ""),
        ("permit_mynetworks", "permit, reject"),
    ],
)
def test_an_open_relay_is_no_configuration(relay: str, recipient: str) -> None:
    config = Config.for_tests(smtpd_relay_restrictions=relay, smtpd_recipient_restrictions=recipient)
    with pytest.raises(ValueError, match=r"an open relay: .* specify at least one working instance of reject_unauth"):
        configured_settings(config)


def test_a_class_can_be_what_protects() -> None:
    parameters = {
        "smtpd_restriction_classes": "ours_only",
        "ours_only": "reject_unauth_destination",
        "smtpd_relay_restrictions": "ours_only",
    }
    assert World(parameters).rcpt(recipient=THEIRS) == DENIED


HARMLESS = [
    "permit_mynetworks",
    "permit_sasl_authenticated",
    "permit_auth_destination",
    "permit_inet_interfaces",
    "permit_tls_clientcerts",
    "permit_tls_all_clientcerts",
    "permit_dnswl_client good.test",
    "permit_rhswl_client good.test",
    "reject_unknown_client_hostname",
    "reject_non_fqdn_sender",
    "reject_unknown_sender_domain",
    "reject_unlisted_recipient",
    "reject_rbl_client bad.test",
    "reject_plaintext_session",
    "defer_if_reject",
    "sleep 1",
    "warn_if_reject reject",
    "warn_if_reject reject_unauth_destination",
    "check_client_access hash:dunno",
    "check_recipient_access hash:dunno",
    "check_policy_service inet:127.0.0.1:1",
]
DNS = {
    ("1.2.0.192.good.test", "A"): ["127.0.0.2"],
    ("mx.client.test.good.test", "A"): ["127.0.0.2"],
    ("b.test", "MX"): ["mx.b.test"],
}


@given(
    st.lists(st.sampled_from(HARMLESS), max_size=6),
    st.lists(st.sampled_from(HARMLESS), max_size=6),
    st.sampled_from(PROTECTING),
    st.booleans(),
    st.booleans(),
)
def test_a_stranger_relays_only_where_nothing_that_protects_is_left(
    before: list[str], after: list[str], protecting: str, in_recipient: bool, relay_first: bool
) -> None:
    """Whatever else stands in the lists, in whatever order: with one protecting restriction, mail from a stranger to
    strangers is refused, and without one the configuration is."""
    rules = ", ".join([*before, protecting, *after])
    parameters = {
        "smtpd_relay_restrictions": "permit_mynetworks" if in_recipient else rules,
        "smtpd_recipient_restrictions": rules if in_recipient else ", ".join(after),
        "smtpd_relay_before_recipient_restrictions": "yes" if relay_first else "no",
    }
    tables = {"hash:dunno": {"192": "DUNNO", "far.test": "DUNNO"}}
    scene = World(parameters, tables=tables, dns=DNS, policy={"inet:127.0.0.1:1": "DUNNO"})
    assert scene.rcpt(recipient=THEIRS) != "ok"


@given(st.lists(st.sampled_from([*HARMLESS, "permit"]), max_size=8), st.lists(st.sampled_from(HARMLESS), max_size=8))
def test_without_a_protecting_restriction_nothing_starts(relay: list[str], recipient: list[str]) -> None:
    config = Config.for_tests(
        smtpd_relay_restrictions=", ".join(relay), smtpd_recipient_restrictions=", ".join(recipient)
    )
    with pytest.raises(ValueError, match="an open relay"):
        configured_settings(config)


def test_every_restriction_has_a_function() -> None:
    from pillarbox.smtpd.policy.registry import FUNCTIONS

    assert set(FUNCTIONS) == set(RESTRICTIONS)
    assert World().rcpt(recipient=OURS) == "ok"


POSTFIX = """
    permit permit_mynetworks permit_sasl_authenticated permit_auth_destination permit_inet_interfaces
    permit_tls_clientcerts permit_tls_all_clientcerts permit_dnswl_client permit_rhswl_client
    reject defer defer_if_permit defer_if_reject sleep reject_unauth_destination defer_unauth_destination
    reject_unknown_sender_domain reject_unknown_recipient_domain reject_non_fqdn_sender reject_non_fqdn_recipient
    reject_invalid_helo_hostname reject_non_fqdn_helo_hostname reject_unknown_helo_hostname
    reject_unknown_client_hostname reject_unknown_reverse_client_hostname
    reject_rbl_client reject_rhsbl_client reject_rhsbl_reverse_client reject_rhsbl_helo reject_rhsbl_sender
    reject_rhsbl_recipient reject_unlisted_recipient reject_unlisted_sender
    reject_sender_login_mismatch reject_authenticated_sender_login_mismatch
    reject_known_sender_login_mismatch reject_unauthenticated_sender_login_mismatch
    reject_unverified_recipient reject_unverified_sender reject_unauth_pipelining reject_multi_recipient_bounce
    reject_plaintext_session check_policy_service check_sasl_access check_ccert_access check_etrn_access
"""
"""What its administrators have in their lists; `warn_if_reject` stands before another one."""

SUBJECTS = ("client", "reverse_client_hostname", "helo", "sender", "recipient")


def test_the_names_of_postfix_are_known() -> None:
    tables = {f"check_{subject}{kind}_access" for subject in SUBJECTS for kind in ("", "_a", "_mx", "_ns")}
    assert {*POSTFIX.split(), *tables} <= set(RESTRICTIONS)
