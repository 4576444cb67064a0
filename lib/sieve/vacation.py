"""Vacation answers (RFC 5230, 6131).  Who gets one, and how often, is decided by who sends it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pillarbox.lib.sieve.actions import Vacation
from pillarbox.lib.sieve.address_parts import address_of
from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import NUMBER, STRING, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Text, Texts

DAY = 86400
DEFAULT_DAYS = 7
LONGEST = 365 * DAY
"""Seconds for which a sender may be remembered: a longer time is cut."""


@dataclass(frozen=True, slots=True)
class VacationCommand:
    """`vacation`."""

    line: int
    reason: Text
    subject: Text
    from_: Text
    addresses: Texts
    mime: bool
    handle: Text
    seconds: int

    def act(self, run: Run) -> None:
        reason, written, sender = self.reason.get(run), self.subject.get(run), self.from_.get(run)
        subject = written or next(iter(run.header.values("subject")), "")
        subject = written or (f"Auto: {subject}" if subject else "Automated reply")
        handle = self.handle.get(run)
        if not handle:
            # The same answer is the same one, however often its script is stored anew (RFC 5230 section 4.7).
            arguments = "\0".join((written, sender, str(self.mime), reason))
            handle = hashlib.sha256(arguments.encode("utf-8", "surrogatepass")).hexdigest()
        run.add(
            Vacation(
                subject=" ".join(subject.split()),
                reason=reason,
                seconds=self.seconds,
                from_=sender if address_of(sender) else "",
                addresses=self.addresses.get(run),
                mime=self.mime,
                handle=handle,
            )
        )


def _vacation(call: Call) -> VacationCommand:
    sender = call.text("from")
    if sender.constant and address_of(sender.constant) is None:
        raise call.error(f'expected an address with domain, not "{sender.constant[:100]}"', "from")
    seconds = call.number("seconds") if call.has("seconds") else max(1, call.number("days", DEFAULT_DAYS)) * DAY
    return VacationCommand(
        line=call.line,
        reason=call.text("reason"),
        subject=call.text("subject"),
        from_=sender,
        addresses=call.texts("addresses"),
        mime=call.has("mime"),
        handle=call.text("handle"),
        seconds=min(seconds, LONGEST),
    )


COMMANDS = {
    "vacation": Rule(
        _vacation,
        "vacation vacation-seconds",
        (Positional("reason", STRING),),
        tags={
            "days": TagRule(value=NUMBER, group="time"),
            "seconds": TagRule("vacation-seconds", NUMBER, "time"),
            "subject": TagRule(value=STRING),
            "from": TagRule(value=STRING),
            "addresses": TagRule(value=STRINGS),
            "mime": TagRule(),
            "handle": TagRule(value=STRING),
        },
    )
}
