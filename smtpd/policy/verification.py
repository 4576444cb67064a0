"""reject_unverified_sender, reject_unverified_recipient: addresses to which nothing could be delivered."""

from __future__ import annotations

from pillarbox.lib.clients.verify import DELIVERABLE, UNDELIVERABLE, Verified
from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.facts import RECIPIENT, TRANSACTION, Trouble
from pillarbox.smtpd.policy.outcome import Decision
from pillarbox.smtpd.policy.run import Run
from pillarbox.smtpd.policy.settings import Unverified

REASON_LIMIT = 250
"""Characters of what a probe has found that are passed on."""


def _unverified(
    run: Run, scope: int, address: str, given: str, what: str, enhanced: str, settings: Unverified
) -> Decision:
    found = run.fact(scope, "verify", address)
    if isinstance(found, Trouble):
        run.warn(f"verify service failure: {found.reason}")
        reply = refusals.rejected(450, enhanced, given, what, refusals.VERIFICATION_PROBLEM)
        return run.unknown_now(reply, settings.tempfail_action)
    assert isinstance(found, Verified)
    if found.status == DELIVERABLE:
        return None
    why = (settings.reason or found.text)[:REASON_LIMIT]
    if found.status == UNDELIVERABLE:
        return run.rejected(settings.reject_code, enhanced, f"undeliverable address: {why}", given, what)
    reply = refusals.rejected(settings.defer_code, enhanced, given, what, f"unverified address: {why}")
    return run.unknown_now(reply, settings.tempfail_action)


def reject_unverified_sender(run: Run, argument: str) -> Decision:
    """A sender to whom no answer could be sent."""
    facts = run.facts
    if not facts.sender:
        return None
    settings = run.settings.unverified_sender
    return _unverified(run, TRANSACTION, facts.sender, facts.given_sender, refusals.SENDER, "4.1.7", settings)


def reject_unverified_recipient(run: Run, argument: str) -> Decision:
    """A recipient whose own mail server does not know it."""
    facts = run.facts
    if not facts.recipient:
        return None
    settings = run.settings.unverified_recipient
    return _unverified(run, RECIPIENT, facts.recipient, facts.given_recipient, refusals.RECIPIENT, "4.1.1", settings)
