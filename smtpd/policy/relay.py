"""Is the destination ours to take mail for: our domains, and those that we relay for."""

from __future__ import annotations

from pillarbox.lib.smtp import refusals
from pillarbox.smtpd.policy.addresses import recipient_verdict
from pillarbox.smtpd.policy.facts import RECIPIENT
from pillarbox.smtpd.policy.outcome import PERMIT, Decision
from pillarbox.smtpd.policy.run import Run

_ROUTING = frozenset("@%!")


def has_route(address: str) -> bool:
    """Whether there is a second address inside the local part: user%elsewhere@ours, elsewhere!user@ours,
    "user@elsewhere"@ours.  A next hop may read it as an order to relay (postconf(5), reject_unauth_destination)."""
    return not _ROUTING.isdisjoint(address.rpartition("@")[0])


def authorized(run: Run) -> bool:
    """Whether the recipient's destination is ours.  Raises NotKnown, Broken."""
    recipient = run.facts.recipient
    if not recipient:
        return False
    verdict = recipient_verdict(run, recipient, RECIPIENT, recipient)
    if verdict.address_class == "default" or verdict.status == "relay_denied":
        return False
    return not has_route(recipient)


def permit_auth_destination(run: Run, argument: str) -> Decision:
    """Recipients in our domains and those that we relay for."""
    return PERMIT if run.facts.recipient and authorized(run) else None


def reject_unauth_destination(run: Run, argument: str) -> Decision:
    """Recipients elsewhere."""
    recipient = run.facts.recipient
    if not recipient or authorized(run):
        return None
    return run.refuse(refusals.relay_denied(run.settings.relay_domains_reject_code, recipient))


def defer_unauth_destination(run: Run, argument: str) -> Decision:
    """The same with a temporary code."""
    recipient = run.facts.recipient
    if not recipient or authorized(run):
        return None
    return run.refuse(refusals.relay_denied(454, recipient))
