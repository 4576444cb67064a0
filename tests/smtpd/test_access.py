"""Relay and recipient policy, restriction by restriction."""

from __future__ import annotations

import pytest

from pillarbox.lib.clients.lookup import RecipientVerdict
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.smtpd import RESTRICTION_NAMES, SMTPD_RELAY_RESTRICTIONS
from pillarbox.smtpd.access import (
    RESTRICTIONS,
    Policy,
    Request,
    check_recipient,
    check_restrictions,
    parse_restrictions,
)
from pillarbox.smtpd.server import configured_policy

OURS = RecipientVerdict("ok", "virtual_mailbox")
THEIRS = RecipientVerdict("relay_denied", "default", "Relay access denied", 554, "5.7.1")
UNKNOWN = RecipientVerdict("unknown", "local", "User unknown in local recipient table", 550, "5.1.1")
RETRY = RecipientVerdict("error", "local", "mail system upgrade", 450, "4.3.2")
DEFAULT = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"


def decide(
    verdict: RecipientVerdict,
    relay: str = DEFAULT,
    recipient_rules: str = "",
    *,
    trusted: bool = False,
    authenticated: bool = False,
    recipient: str = "u@d.example",
    **policy: object,
) -> str:
    """ "ok" or the refusal."""
    rules = Policy(
        parse_restrictions("relay", relay.replace(",", " ").split()),
        parse_restrictions("recipient", recipient_rules.split()),
        **policy,  # type: ignore[arg-type]
    )
    refusal = check_recipient(Request(rules, trusted, authenticated, "a@b.example", recipient, verdict))
    return "ok" if refusal is None else str(refusal)


def test_our_recipients_are_open_to_all() -> None:
    assert decide(OURS) == "ok"


def test_other_recipients_are_closed_to_strangers() -> None:
    assert decide(THEIRS) == "554 5.7.1 <u@d.example>: Relay access denied"


def test_other_recipients_are_open_to_trusted_and_authenticated_clients() -> None:
    assert decide(THEIRS, trusted=True) == "ok"
    assert decide(THEIRS, authenticated=True) == "ok"


def test_the_deferring_form_is_temporary() -> None:
    assert decide(THEIRS, "defer_unauth_destination") == "454 4.7.1 <u@d.example>: Relay access denied"


@pytest.mark.parametrize("local", ["x%far.example", "far.example!x", '"x@far.example"'])
def test_an_address_within_our_address_is_no_way_to_relay(local: str) -> None:
    assert decide(OURS, recipient=f"{local}@d.example").startswith("554 5.7.1")
    assert decide(OURS, recipient=f"{local}@d.example", trusted=True) == "ok"


def test_unknown_users_are_refused_for_trusted_clients_too() -> None:
    expected = "550 5.1.1 <u@d.example>: Recipient address rejected: User unknown in local recipient table"
    assert decide(UNKNOWN, trusted=True) == expected


def test_the_table_name_can_be_hidden_and_the_code_changed() -> None:
    assert decide(UNKNOWN, show_table=False) == "550 5.1.1 <u@d.example>: Recipient address rejected: User unknown"
    assert decide(UNKNOWN, unknown_code=450).startswith("450 4.1.1 <u@d.example>")


def test_unlisted_recipients_can_be_let_in() -> None:
    assert decide(UNKNOWN, reject_unlisted=False) == "ok"


def test_what_a_table_declares_undeliverable_is_refused_in_its_words() -> None:
    assert decide(RETRY) == "450 4.3.2 <u@d.example>: Recipient address rejected: mail system upgrade"


def test_permit_in_one_list_does_not_skip_the_other() -> None:
    assert decide(OURS, "permit_mynetworks reject", "reject", trusted=True).startswith("554 5.7.1 <u@d.example>: Reci")


def test_the_first_that_decides_ends_the_list() -> None:
    assert decide(OURS, "permit reject") == "ok"
    assert decide(OURS, "permit_auth_destination reject") == "ok"
    assert decide(OURS, "defer reject") == "450 4.3.2 <u@d.example>: Recipient address rejected: Try again later"


def test_submission_is_for_authenticated_clients_only() -> None:
    assert decide(OURS, "permit_sasl_authenticated, reject", trusted=True).startswith("554 5.7.1")
    assert decide(THEIRS, "permit_sasl_authenticated, reject", authenticated=True) == "ok"


def test_an_unknown_restriction_is_named() -> None:
    with pytest.raises(ValueError, match='smtpd_relay_restrictions: unknown restriction "permit_mynetwork"'):
        parse_restrictions("smtpd_relay_restrictions", ["permit_mynetwork"])


@pytest.mark.parametrize(("relay", "recipient"), [([], []), (["permit_mynetworks"], []), (["permit", "reject"], [])])
def test_an_open_relay_is_no_configuration(relay: list[str], recipient: list[str]) -> None:
    with pytest.raises(ValueError, match="specify at least one working instance of"):
        check_restrictions(relay, recipient)


def test_the_defaults_are_closed() -> None:
    policy = configured_policy(Config.for_tests())
    stranger = Request(policy, False, False, "a@b.example", "u@d.example", THEIRS)
    assert check_recipient(stranger) is not None
    assert policy.reject_unlisted


def test_every_restriction_has_a_function_and_every_function_a_name() -> None:
    assert tuple(RESTRICTIONS) == RESTRICTION_NAMES


def test_a_misspelled_restriction_is_found_when_the_configuration_is_read() -> None:
    with pytest.raises(ValueError, match='"permit_mynetwork" is none of permit, '):
        Config.for_tests(smtpd_relay_restrictions="permit_mynetwork reject")[SMTPD_RELAY_RESTRICTIONS]
