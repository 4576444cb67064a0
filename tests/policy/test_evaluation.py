"""The rules of evaluation: order, permission per list, deferrals that are carried on, warnings, classes."""

from __future__ import annotations

from typing import ClassVar

import pytest

from pillarbox.lib.smtp.reply import Reply
from tests.policy.world import OURS, THEIRS, World, world

DENIED = f"554 5.7.1 <{OURS}>: Recipient address rejected: Access denied"
TABLES = {
    "hash:defer_if_permit": {"192.0.2.1": "DEFER_IF_PERMIT 4.7.9 not yet"},
    "hash:defer_if_reject": {"192.0.2.1": "DEFER_IF_REJECT 4.7.9 not yet", OURS: "DEFER_IF_REJECT"},
    "hash:reject": {"192.0.2.1": "REJECT no", OURS: "REJECT no"},
}
NOT_YET = "450 4.7.9 <mx.client.test[192.0.2.1]>: Client host rejected: not yet"


def test_the_first_that_decides_ends_the_list() -> None:
    assert world("recipient", "permit, reject").rcpt() == "ok"
    assert world("recipient", "permit_auth_destination, reject").rcpt() == "ok"
    deferred = world("recipient", "defer, reject").rcpt()
    assert deferred == f"450 4.3.2 <{OURS}>: Recipient address rejected: Try again later"


@pytest.mark.parametrize("name", ["client", "helo", "sender", "relay"])
def test_permit_in_one_list_never_skips_the_next(name: str) -> None:
    scene = World({f"smtpd_{name}_restrictions": "permit", "smtpd_recipient_restrictions": "reject"})
    assert scene.rcpt() == DENIED


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("client", "<mx.client.test[192.0.2.1]>: Client host"),
        ("helo", "<mx.client.test>: Helo command"),
        ("sender", "<a@b.test>: Sender address"),
        ("relay", f"<{OURS}>: Recipient address"),
        ("recipient", f"<{OURS}>: Recipient address"),
    ],
)
def test_with_delay_every_list_is_gone_through_in_rcpt(name: str, about: str) -> None:
    scene = world(name, "reject")
    assert scene.rcpt() == f"554 5.7.1 {about} rejected: Access denied"
    assert scene.decide("CONNECT") == scene.decide("HELO") == scene.decide("MAIL") == "ok"


@pytest.mark.parametrize(("name", "stage"), [("client", "CONNECT"), ("helo", "HELO"), ("sender", "MAIL")])
def test_without_delay_each_list_has_its_own_stage(name: str, stage: str) -> None:
    scene = World({f"smtpd_{name}_restrictions": "reject", "smtpd_delay_reject": "no"})
    assert scene.decide(stage).startswith("554 5.7.1")
    assert scene.rcpt() == "ok"


@pytest.mark.parametrize(
    ("name", "stage", "about"),
    [
        ("data", "DATA", "<DATA>: Data command"),
        ("end_of_data", "END-OF-MESSAGE", "<END-OF-MESSAGE>: End-of-data"),
        ("etrn", "ETRN", "<far.test>: Etrn command"),
    ],
)
def test_the_other_lists(name: str, stage: str, about: str) -> None:
    scene = world(name, "reject")
    assert scene.rcpt() == "ok"
    assert scene.decide(stage, etrn="far.test") == f"554 5.7.1 {about} rejected: Access denied"


def test_etrn_looks_at_client_and_helo_too() -> None:
    assert world("client", "reject").decide("ETRN", etrn="far.test").startswith("554 5.7.1 <mx.client.test[")
    assert world("sender", "reject").decide("ETRN", etrn="far.test") == "ok"


def test_a_list_without_its_subject_is_passed_over() -> None:
    assert world("helo", "reject").rcpt(helo=None) == "ok"
    assert world("sender", "reject").decide("VRFY", sender=None) == "ok"
    assert world("sender", "reject").rcpt(sender="") == "554 5.7.1 <>: Sender address rejected: Access denied"


def test_relay_restrictions_come_first_or_last() -> None:
    both = {"smtpd_relay_restrictions": "defer", "smtpd_recipient_restrictions": "reject"}
    assert World(both).rcpt().startswith("450 4.3.2")
    assert World({**both, "smtpd_relay_before_recipient_restrictions": "no"}).rcpt().startswith("554 5.7.1")


class TestDeferIfPermit:
    def test_a_permission_becomes_the_deferral(self) -> None:
        scene = world("client", "check_client_access hash:defer_if_permit", tables=TABLES)
        assert scene.rcpt() == NOT_YET

    def test_even_an_explicit_one_in_a_later_list(self) -> None:
        parameters = {
            "smtpd_client_restrictions": "hash:defer_if_permit",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        }
        assert World(parameters, tables=TABLES).rcpt(sasl_username="ann") == NOT_YET

    def test_a_refusal_stays_a_refusal(self) -> None:
        parameters = {
            "smtpd_client_restrictions": "hash:defer_if_permit",
            "smtpd_recipient_restrictions": "reject",
        }
        assert World(parameters, tables=TABLES).rcpt() == DENIED

    def test_it_is_carried_through_the_stages(self) -> None:
        parameters = {"smtpd_client_restrictions": "hash:defer_if_permit", "smtpd_delay_reject": "no"}
        scene = World(parameters, tables=TABLES)
        assert scene.decide("CONNECT") == "ok"
        deferral = scene.outcome.deferral
        assert scene.decide("MAIL", deferral) == "ok"
        assert scene.outcome.deferral == deferral
        assert scene.decide("RCPT", deferral) == NOT_YET

    def test_the_first_reason_is_given(self) -> None:
        first = Reply.of("450 4.7.1 the first")
        scene = world("client", "check_client_access hash:defer_if_permit", tables=TABLES)
        assert scene.decide("RCPT", first) == "450 4.7.1 the first"

    def test_the_restriction_of_that_name(self) -> None:
        expected = f"450 4.7.0 <{OURS}>: Recipient address rejected: defer_if_permit requested"
        assert world("recipient", "defer_if_permit").rcpt() == expected

    def test_unlisted_recipients_are_put_off_too(self) -> None:
        scene = world("recipient", "defer_if_permit")
        assert scene.rcpt(recipient="nobody@ours.test").startswith("450 4.7.0")


class TestDeferIfReject:
    def test_a_permanent_refusal_becomes_the_deferral(self) -> None:
        scene = world("client", "check_client_access hash:defer_if_reject, reject", tables=TABLES)
        assert scene.rcpt() == NOT_YET

    def test_a_temporary_one_stays(self) -> None:
        scene = world("client", "check_client_access hash:defer_if_reject, defer", tables=TABLES)
        assert scene.rcpt().startswith("450 4.3.2")

    def test_it_ends_with_its_subject(self) -> None:
        parameters = {
            "smtpd_client_restrictions": "hash:defer_if_reject",
            "smtpd_recipient_restrictions": "reject",
        }
        assert World(parameters, tables=TABLES).rcpt() == DENIED

    def test_it_holds_from_the_relay_to_the_recipient_list(self) -> None:
        parameters = {
            "smtpd_relay_restrictions": "hash:defer_if_reject, reject_unauth_destination",
            "smtpd_recipient_restrictions": "reject",
        }
        expected = f"450 4.7.1 <{OURS}>: Recipient address rejected: Service unavailable"
        assert World(parameters, tables=TABLES).rcpt() == expected

    def test_the_restriction_of_that_name(self) -> None:
        expected = f"450 4.7.0 <{OURS}>: Recipient address rejected: defer_if_reject requested"
        assert world("recipient", "defer_if_reject, reject").rcpt() == expected
        assert world("recipient", "defer_if_reject").rcpt() == "ok"


class TestWarnIfReject:
    def test_what_would_be_refused_is_only_logged(self) -> None:
        scene = world("recipient", "warn_if_reject reject")
        assert scene.rcpt() == "ok"
        assert scene.effects() == [f"reject_warning: {DENIED}"]

    def test_it_holds_for_one_restriction(self) -> None:
        assert world("recipient", "warn_if_reject reject, defer").rcpt().startswith("450 4.3.2")

    def test_defer_if_permit_is_logged_as_well(self) -> None:
        scene = world("client", "warn_if_reject check_client_access hash:defer_if_permit", tables=TABLES)
        assert scene.rcpt() == "ok"
        assert scene.effects() == [f"reject_warning: {NOT_YET}"]

    def test_it_holds_for_all_of_a_class(self) -> None:
        parameters = {
            "smtpd_restriction_classes": "strict",
            "strict": "defer, reject",
            "smtpd_recipient_restrictions": "warn_if_reject strict, reject_non_fqdn_sender",
        }
        scene = World(parameters)
        assert scene.rcpt() == "ok"
        assert [effect[:28] for effect in scene.effects()] == [
            "reject_warning: 450 4.3.2 <u",
            "reject_warning: 554 5.7.1 <u",
        ]
        assert scene.rcpt(sender="a", given_sender="a").startswith("504 5.5.2")

    def test_trouble_of_our_own_is_no_warning(self) -> None:
        scene = world("recipient", "warn_if_reject check_recipient_access hash:t", tables={"hash:t": {OURS: "BROKEN"}})
        assert scene.rcpt() == f"451 4.3.0 <{OURS}>: Temporary lookup failure"


class TestClasses:
    PARAMETERS: ClassVar = {
        "smtpd_restriction_classes": "strict, stricter",
        "strict": "stricter, permit",
        "stricter": "check_sender_access hash:senders",
        "smtpd_recipient_restrictions": "check_recipient_access hash:recipients, reject",
    }

    def scene(self) -> World:
        tables = {
            "hash:recipients": {OURS: "strict", "x@ours.test": "permit_mynetworks, defer", "y@ours.test": "nonsense"},
            "hash:senders": {"b.test": "REJECT not you"},
        }
        return World(self.PARAMETERS, tables=tables)

    def test_a_table_leads_to_a_class_and_that_to_another(self) -> None:
        assert self.scene().rcpt() == "554 5.7.1 <a@b.test>: Sender address rejected: not you"
        assert self.scene().rcpt(sender="a@c.test") == "ok"

    def test_a_permission_inside_ends_the_outer_list(self) -> None:
        assert self.scene().rcpt(sender="a@c.test") == "ok"  # not the `reject` at its end

    def test_a_table_may_hold_restrictions_themselves(self) -> None:
        assert self.scene().rcpt(recipient="x@ours.test").startswith("450 4.3.2 <x@ours.test>: Recipient")
        assert self.scene().rcpt(recipient="x@ours.test", trusted=True) == "ok"

    def test_nonsense_in_a_table_puts_off(self) -> None:
        scene = self.scene()
        assert scene.rcpt(recipient="y@ours.test") == "451 4.3.5 Server configuration error"
        assert scene.outcome.warnings == ('unknown smtpd restriction: "nonsense"',)

    def test_tables_that_lead_in_a_circle(self) -> None:
        scene = world(
            "recipient",
            "check_recipient_access hash:a",
            tables={"hash:a": {OURS: "check_recipient_access hash:a"}},
        )
        assert scene.rcpt() == "451 4.3.5 Server configuration error"


class TestFacts:
    def test_the_default_lists_need_one_question(self) -> None:
        scene = World()
        scene.rcpt()
        assert [key[0] for key in scene.asked] == ["recipient"]

    def test_what_will_be_wanted_is_asked_at_once(self) -> None:
        lists = ", ".join(f"reject_rbl_client bl{number}.test" for number in range(5))
        scene = world("client", lists)
        scene.rcpt()
        assert scene.rounds == 2
        assert [key[1] for key in scene.asked][:5] == [f"1.2.0.192.bl{number}.test" for number in range(5)]

    def test_a_policy_server_is_not_asked_on_suspicion(self) -> None:
        scene = world(
            "recipient",
            "reject_rbl_client bl.test, check_policy_service inet:127.0.0.1:1",
            dns={("1.2.0.192.bl.test", "A"): ["127.0.0.2"]},
        )
        assert scene.rcpt().startswith("554 5.7.1 Service unavailable")
        assert "policy" not in {key[0] for key in scene.asked}

    def test_nothing_behind_a_permission_is_asked(self) -> None:
        scene = world("client", "permit_mynetworks, reject_rbl_client bl.test")
        scene.rcpt(trusted=True)
        assert [key[0] for key in scene.asked] == ["recipient"]


def test_sleep_is_summed_up() -> None:
    scene = World({"smtpd_client_restrictions": "sleep 1", "smtpd_recipient_restrictions": "sleep 2"})
    assert scene.rcpt() == "ok"
    assert scene.outcome.sleep == 3


def test_a_stranger_is_refused_before_the_recipient_list_is_looked_at() -> None:
    scene = world("recipient", "check_policy_service inet:127.0.0.1:1")
    assert scene.rcpt(recipient=THEIRS) == f"554 5.7.1 <{THEIRS}>: Relay access denied"


def test_a_bare_table_in_a_class_is_that_of_the_list_which_uses_it() -> None:
    parameters = {
        "smtpd_restriction_classes": "common",
        "common": "hash:t",
        "smtpd_helo_restrictions": "common",
        "smtpd_data_restrictions": "common",
    }
    scene = World(parameters, tables={"hash:t": {"client.test": "REJECT"}})
    assert scene.rcpt() == "554 5.7.1 <mx.client.test>: Helo command rejected: Access denied"
    assert scene.decide("DATA") == "451 4.3.5 Server configuration error"  # there is no table check for DATA


def test_restrictions_in_a_table_are_about_what_the_table_was_asked() -> None:
    scene = world("recipient", "check_sender_access hash:t", tables={"hash:t": {"b.test": "permit_mynetworks, reject"}})
    assert scene.rcpt() == "554 5.7.1 <a@b.test>: Sender address rejected: Access denied"
