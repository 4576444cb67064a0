"""Restrictions that hold for any subject: permit, reject, defer, and those that look at the session as such."""

from __future__ import annotations

from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.outcome import PERMIT, Decision
from pillarbox.smtpd.policy.run import Run


def permit(run: Run, argument: str) -> Decision:
    """Always."""
    return PERMIT


def reject(run: Run, argument: str) -> Decision:
    """Never."""
    return run.rejected(run.settings.reject_code, "5.7.1", refusals.ACCESS_DENIED)


def defer(run: Run, argument: str) -> Decision:
    """Not now."""
    return run.rejected(run.settings.defer_code, "4.3.2", refusals.TRY_LATER)


def defer_if_permit(run: Run, argument: str) -> Decision:
    """Not now, unless a later restriction refuses for good."""
    return run.defer_if_permit(refusals.rejected(450, "4.7.0", run.name, run.what, refusals.DEFER_IF_PERMIT))


def defer_if_reject(run: Run, argument: str) -> Decision:
    """A later refusal is to be a temporary one."""
    run.defer_if_reject(refusals.rejected(450, "4.7.0", run.name, run.what, refusals.DEFER_IF_REJECT))
    return None


def sleep(run: Run, argument: str) -> Decision:
    """Wait so many seconds before the answer."""
    run.sleep += int(argument)
    return None


def reject_unauth_pipelining(run: Run, argument: str) -> Decision:
    """A client that has sent more before it may (RFC 2920 section 3.1): anything without ESMTP, or behind DATA."""
    if run.facts.buffered and (run.facts.protocol == "SMTP" or run.stage == "DATA"):
        return run.rejected(503, "5.5.0", refusals.PIPELINING)
    return None


def reject_plaintext_session(run: Run, argument: str) -> Decision:
    """A session without TLS."""
    if run.facts.encrypted:
        return None
    return run.refuse(refusals.refusal(run.settings.plaintext_reject_code, "4.7.1", refusals.NO_ENCRYPTION))


def reject_multi_recipient_bounce(run: Run, argument: str) -> Decision:
    """A message from the null sender to more than one recipient: a report goes to one."""
    if run.facts.sender == "" and run.facts.recipients > 1:
        code = run.settings.multi_recipient_bounce_reject_code
        return run.rejected(code, "5.5.3", refusals.SEVERAL_RECIPIENTS)
    return None
