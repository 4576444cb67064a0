"""reject_greylisted: greylisting where the lists want it, for some clients, senders or recipients only.

smtpd_greylisting greylists all strangers; this is for restriction lists and classes, with smtpd_greylisting off.
"""

from __future__ import annotations

from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.policy.facts import RECIPIENT
from pillarbox.smtpd.policy.outcome import Decision
from pillarbox.smtpd.policy.run import Run


def reject_greylisted(run: Run, argument: str) -> Decision:
    """A recipient of a sender that has not come back yet; a refusal that comes later goes before."""
    if run.stage != "RCPT" or not run.facts.recipient:
        return None
    answer = run.fact(RECIPIENT, "greylist", run.facts.recipient)
    return run.defer_if_permit(answer) if isinstance(answer, Reply) else None
