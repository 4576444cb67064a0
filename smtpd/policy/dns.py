"""Questions to the DNS that several restrictions have."""

from __future__ import annotations

from typing import cast

from pillarbox.lib.dns import Absent, Answer, Failed, Outcome, RecordType
from pillarbox.smtpd.policy.run import NotKnown, Run


def records(run: Run, scope: int, name: str, kind: RecordType) -> Outcome[object]:
    """The records of a name.  Raises NotKnown."""
    return cast("Outcome[object]", run.fact(scope, "dns", name.lower(), int(kind)))


def exists(run: Run, scope: int, name: str) -> Answer[object] | Absent | Failed:
    """Whether a name can get mail or is a host: its MX records, else its addresses.

    An answer that says yes is enough; "no" needs a no to all three questions.  Raises NotKnown.
    """
    outcomes = []
    unknown = False
    for kind in (RecordType.MX, RecordType.A, RecordType.AAAA):
        try:
            outcome = records(run, scope, name, kind)
        except NotKnown:
            unknown = True
            continue
        if isinstance(outcome, Answer) or (isinstance(outcome, Absent) and not outcome.name_exists):
            return outcome  # a name that does not exist has no other records either (RFC 8020)
        outcomes.append(outcome)
    if unknown:
        raise NotKnown
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            return outcome
    return outcomes[0]
