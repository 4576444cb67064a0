"""What THREAD wants to know of a message (`search.threads`)."""

from __future__ import annotations

from pillarbox.imapd.search.key import Candidate
from pillarbox.imapd.search.threads import Letter


def letter(candidate: Candidate) -> Letter:
    """May raise MessageGone."""
    sent, reply, subject, identifier, *named = candidate.summary
    return Letter(float(sent) if sent else candidate.internal_date, subject, bool(reply), identifier, named)
