"""Notifications (RFC 5435) by mail (RFC 5436): `notify`, `valid_notify_method`, `notify_method_capability`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillarbox.lib.sieve.actions import Notify
from pillarbox.lib.sieve.address_parts import address_of
from pillarbox.lib.sieve.call import Call
from pillarbox.lib.sieve.errors import RuntimeFault
from pillarbox.lib.sieve.mailto import parse_mailto
from pillarbox.lib.sieve.match import TAGS as MATCH_TAGS
from pillarbox.lib.sieve.match import comparison
from pillarbox.lib.sieve.run import Run
from pillarbox.lib.sieve.signature import STRING, STRINGS, Positional, Rule, TagRule
from pillarbox.lib.sieve.text import Text, Texts

CAPABILITIES = {"online": "maybe"}
"""What is known about recipients of mail (RFC 5436 section 2.5): nobody knows whether they are there."""


@dataclass(frozen=True, slots=True)
class NotifyCommand:
    """`notify`."""

    line: int
    method: Text
    message: Text
    from_: Text
    importance: Text
    options: Texts

    def act(self, run: Run) -> None:
        method, importance = self.method.get(run), self.importance.get(run) or "2"
        fault = method_fault(method)
        if fault:
            raise RuntimeFault(fault)
        if importance not in ("1", "2", "3"):
            raise RuntimeFault(f'expected an importance of "1", "2" or "3", not "{importance[:10]}"')
        sender = self.from_.get(run)
        run.add(
            Notify(
                method=method,
                message=self.message.get(run),
                from_=sender if address_of(sender) else "",
                importance=int(importance),
                options=self.options.get(run),
            )
        )


@dataclass(frozen=True, slots=True)
class ValidMethod:
    """`valid_notify_method`: all of them."""

    methods: Texts

    def holds(self, run: Run) -> bool:
        return not any(method_fault(each) for each in self.methods.get(run))


@dataclass(frozen=True, slots=True)
class MethodCapability:
    """`notify_method_capability`; a capability that is not known never fits."""

    method: Text
    capability: Text

    def of(self, run: Run) -> Sequence[str] | None:
        value = CAPABILITIES.get(self.capability.get(run).lower())
        return None if value is None or method_fault(self.method.get(run)) else (value,)


def method_fault(uri: str) -> str:
    """What is wrong with a method; "" where it can be used."""
    if not uri.lower().startswith("mailto:"):
        return f'expected a method that is available (mailto:), not "{uri[:100]}"'
    try:
        parse_mailto(uri)
    except ValueError as error:
        return str(error)
    return ""


def _notify(call: Call) -> NotifyCommand:
    method, sender, importance = call.text("method"), call.text("from"), call.text("importance")
    if method.constant is not None and (fault := method_fault(method.constant)):
        raise call.error(fault, "method")
    if sender.constant and address_of(sender.constant) is None:
        raise call.error(f'expected an address with domain, not "{sender.constant[:100]}"', "from")
    if importance.constant not in (None, "", "1", "2", "3"):
        raise call.error('expected one of "1", "2", "3"', "importance")
    return NotifyCommand(call.line, method, call.text("message"), sender, importance, call.texts("options"))


COMMANDS = {
    "notify": Rule(
        _notify,
        "enotify",
        (Positional("method", STRING),),
        tags={
            "from": TagRule(value=STRING),
            "importance": TagRule(value=STRING),
            "options": TagRule(value=STRINGS),
            "message": TagRule(value=STRING),
        },
    )
}
TESTS = {
    "valid_notify_method": Rule(
        lambda call: ValidMethod(call.texts("methods")), "enotify", (Positional("methods", STRINGS),)
    ),
    "notify_method_capability": Rule(
        lambda call: comparison(call, MethodCapability(call.text("method"), call.text("capability"))),
        "enotify",
        (Positional("method", STRING), Positional("capability", STRING), Positional("keys", STRINGS)),
        MATCH_TAGS,
    ),
}
