"""What THREAD wants to know of a message (`search.threads`)."""

from __future__ import annotations

from pillarbox.imapd.search.collation import casemap
from pillarbox.imapd.search.key import Candidate
from pillarbox.imapd.search.subject import base_subject
from pillarbox.imapd.search.threads import Letter
from pillarbox.lib.message.references import first_id, references


def letter(candidate: Candidate) -> Letter:
    """May raise MessageGone."""
    subject = base_subject(candidate.field(b"Subject") or b"")
    return Letter(
        sent=candidate.sent,
        subject=casemap(subject.base),
        reply=subject.reply,
        identifier=first_id(candidate.field(b"Message-ID")),
        references=references(candidate.field(b"References"), candidate.field(b"In-Reply-To")),
    )
