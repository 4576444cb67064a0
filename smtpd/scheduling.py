"""When a message is to be delivered: BY (DELIVERBY, RFC 2852), HOLDFOR and HOLDUNTIL (FUTURERELEASE, RFC 4865) in MAIL.

The core has checked what needs no clock; here relative times become moments in the transaction, for the envelope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Mail

if TYPE_CHECKING:
    from pillarbox.smtpd.checks import Checks, Verdict
    from pillarbox.smtpd.server import Server
    from pillarbox.smtpd.session import Session


def checks(server: Server) -> Checks:
    """The check of those services that offer one of the extensions."""
    profile = server.profile
    return {"MAIL": (schedule,) if profile.deliver_by is not None or profile.hold_limit else ()}


def schedule(session: Session, event: Mail) -> Verdict:
    """A release time within the limit and before the deadline; one that is past means now."""
    if not (event.by_mode or event.hold_for or event.hold_until):
        return None
    transaction, limit = session.transaction, session.server.profile.hold_limit
    assert transaction is not None
    now = transaction.arrival
    release = now + event.hold_for if event.hold_for else event.hold_until
    if release > now + limit:
        return replies.held_too_long(limit)
    deadline = int(now) + event.by
    if event.by_mode[:1] == "R" and release >= deadline:
        return replies.HELD_PAST_DEADLINE
    if event.by_mode:
        transaction.deliver_by = f"{deadline};{event.by_mode}"
    if release > now:
        transaction.release = release
    return None
