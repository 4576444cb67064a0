"""Restrictions about sender and recipient addresses: are they qualified, does their domain exist, are they ours."""

from __future__ import annotations

from pillarbox.lib.clients.lookup import RecipientVerdict, Route
from pillarbox.lib.clients.quota import Full
from pillarbox.lib.dns import MX, Answer, Failed
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.dns import exists
from pillarbox.smtpd.policy.facts import RECIPIENT, TRANSACTION, Trouble
from pillarbox.smtpd.policy.names import domain_of, is_qualified, without_dot
from pillarbox.smtpd.policy.outcome import Decision
from pillarbox.smtpd.policy.run import Broken, Run

FINAL_CLASSES = frozenset(("local", "virtual_alias", "virtual_mailbox"))
"""The classes of addresses that are delivered here."""


def recipient_verdict(run: Run, address: str, scope: int, given: str) -> RecipientVerdict:
    """What tables say about an address.  Raises NotKnown; Broken where they could not say it."""
    found = run.fact(scope, "recipient", address)
    if isinstance(found, Trouble):
        run.warn(f"{address}: recipient look-up: {found.reason}")
        raise Broken(refusals.temporary_failure(given))
    assert isinstance(found, RecipientVerdict)
    return found


# --- qualified
def _not_qualified(run: Run, given: str, what: str) -> Decision:
    domain = domain_of(given) if "@" in given else ""
    if domain.startswith("[") and domain.endswith("]"):
        return None
    if is_qualified(without_dot(domain)):
        return None
    return run.rejected(run.settings.non_fqdn_reject_code, "5.5.2", refusals.NEED_ADDRESS, given, what)


def reject_non_fqdn_sender(run: Run, argument: str) -> Decision:
    """A sender whose domain is missing or no qualified name (RFC 5321 section 2.3.5)."""
    return _not_qualified(run, run.facts.given_sender, refusals.SENDER) if run.facts.sender else None


def reject_non_fqdn_recipient(run: Run, argument: str) -> Decision:
    """The same for the recipient; the bare "postmaster" is always good (RFC 5321 section 4.5.1)."""
    given = run.facts.given_recipient
    if not run.facts.recipient or given.lower() == "postmaster":
        return None
    return _not_qualified(run, given, refusals.RECIPIENT)


# --- the domain exists
def _unknown_domain(run: Run, address: str, scope: int, given: str, what: str, enhanced: str) -> Decision:
    route = run.fact(scope, "route", address)
    if isinstance(route, Trouble):
        run.warn(f"{address}: {route.reason}")
        raise Broken(refusals.temporary_failure(given))
    assert isinstance(route, Route)
    domain = domain_of(address)
    if route.address_class in FINAL_CLASSES or domain.startswith("["):
        return None
    found = exists(run, scope, without_dot(domain))
    if isinstance(found, Answer):
        if all(isinstance(record, MX) and not record.exchange for record in found.records):
            return run.refuse(refusals.no_mail_accepted(given, what, domain))
        return None
    if isinstance(found, Failed):
        reply = refusals.rejected(450, enhanced, given, what, refusals.DOMAIN_NOT_FOUND)
        return run.unknown_now(reply, run.settings.unknown_address_tempfail_action)
    code = run.settings.unknown_address_reject_code
    return run.rejected(code, enhanced, refusals.DOMAIN_NOT_FOUND, given, what)


def reject_unknown_sender_domain(run: Run, argument: str) -> Decision:
    """A sender elsewhere whose domain has neither MX nor address records, or wants no mail (RFC 7505)."""
    sender = run.facts.sender
    if not sender:
        return None
    return _unknown_domain(run, sender, TRANSACTION, run.facts.given_sender, refusals.SENDER, "4.1.8")


def reject_unknown_recipient_domain(run: Run, argument: str) -> Decision:
    """The same for the recipient."""
    recipient = run.facts.recipient
    if not recipient:
        return None
    return _unknown_domain(run, recipient, RECIPIENT, run.facts.given_recipient, refusals.RECIPIENT, "4.1.2")


# --- the user exists
def _unlisted(run: Run, address: str, scope: int, given: str, what: str) -> Decision:
    verdict = recipient_verdict(run, address, scope, given)
    if verdict.status not in ("unknown", "error"):
        return None
    code, enhanced, text = verdict.code, verdict.dsn, verdict.text
    settings = run.settings
    if verdict.status == "unknown":
        code = settings.unknown_recipient_codes.get(verdict.address_class, code)
        if not settings.show_table:
            text = text.partition(" in ")[0]
        if what == refusals.SENDER:
            enhanced = "5.1.0"
    elif code < 400:
        code, enhanced = 550, "5.1.1"
    return run.rejected(code, enhanced, text or "User unknown", given, what)


def reject_unlisted_recipient(run: Run, argument: str) -> Decision:
    """Recipients that the tables of their own domain do not have, or declare undeliverable."""
    recipient = run.facts.recipient
    if not recipient:
        return None
    run.recipient_checked = True
    return _unlisted(run, recipient, RECIPIENT, recipient, refusals.RECIPIENT)


def reject_full_mailbox(run: Run) -> Decision:
    """A hosted recipient whose quota has no room for the message (RFC 5321 section 4.2.3: 452, 552).

    No restriction of its own: it holds wherever a recipient would be accepted.  Where nothing is known now, delivery
    decides.
    """
    recipient = run.facts.recipient
    if not recipient:
        return None
    try:
        verdict = run.at_hand(("recipient", recipient))
    except KeyError:
        return None  # nobody has asked: there are no recipient checks
    if not isinstance(verdict, RecipientVerdict) or verdict.status != "ok" or not verdict.quota:
        return None
    full = run.fact(RECIPIENT, "quota", recipient, run.facts.size)
    if not isinstance(full, Full):
        return None
    return run.refuse(refusals.mailbox_full(recipient, full.text, temporary=full.temporary))


def reject_unlisted_sender(run: Run, argument: str) -> Decision:
    """The same for the sender: mail from a user who does not exist cannot be answered."""
    sender = run.facts.sender
    if not sender:
        return None
    run.sender_checked = True
    return _unlisted(run, sender, TRANSACTION, sender, refusals.SENDER)
