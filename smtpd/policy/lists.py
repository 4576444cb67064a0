"""The rules of evaluation (postconf(5), SMTPD_ACCESS_README of Postfix).

Lists are gone through from left to right until a restriction decides.  A list that comes to its end permits; what one
list permits the next may still refuse.  A permission at the end becomes the deferral that an earlier temporary error
asked for (defer_if_permit), across lists and stages; a permanent refusal becomes that of defer_if_reject, within the
lists of one subject.  With smtpd_delay_reject the lists for client, HELO and sender are gone through in RCPT and ETRN.

`GROUPS` is the table of what is looked at when.  A group of lists has one subject, and defer_if_reject and
warn_if_reject end with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pillarbox.lib.config.restrictions import OF_LIST, Rule
from pillarbox.lib.smtp import refusals
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.policy import addresses
from pillarbox.smtpd.policy.facts import Facts
from pillarbox.smtpd.policy.outcome import Decision, Missing, Outcome
from pillarbox.smtpd.policy.registry import FUNCTIONS
from pillarbox.smtpd.policy.run import At, Broken, NoFurther, NotKnown, Run
from pillarbox.smtpd.policy.settings import Settings

RECURSION_LIMIT: Final = 100
"""How deep classes and table results may lead to each other."""

Rules = tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The lists of one subject: its words in replies, its name (None: it is not there, so the lists do not apply), what
    a bare `type:table` in a table's result means, and what is looked at when the lists have permitted."""

    what: str
    name: Callable[[Facts], str | None]
    lists: Callable[[Settings], tuple[Rules, ...]]
    access_table: str = ""
    afterwards: Callable[[Run], Decision] | None = None


def _unlisted_sender(run: Run) -> Decision:
    """smtpd_reject_unlisted_sender, where no restriction has looked at that."""
    if not run.settings.reject_unlisted_sender or run.sender_checked or run.discarding or not run.facts.sender:
        return None
    return addresses.reject_unlisted_sender(run, "")


def _unlisted_recipient(run: Run) -> Decision:
    """smtpd_reject_unlisted_recipient, and quota."""
    if run.discarding:
        return None
    if run.settings.reject_unlisted_recipient and not run.recipient_checked:
        refusal = addresses.reject_unlisted_recipient(run, "")
        if refusal is not None:
            return refusal
    return addresses.reject_full_mailbox(run)


def _for_recipients(settings: Settings) -> tuple[Rules, ...]:
    both = settings.relay, settings.recipient
    return both if settings.relay_first else both[::-1]


CLIENT: Final = Group(refusals.CLIENT, lambda facts: facts.tag, lambda each: (each.client,), "check_client_access")
HELO: Final = Group(refusals.HELO, lambda facts: facts.helo, lambda each: (each.helo,), "check_helo_access")
SENDER: Final = Group(
    refusals.SENDER, lambda facts: facts.sender, lambda each: (each.sender,), "check_sender_access", _unlisted_sender
)
RECIPIENT: Final = Group(
    refusals.RECIPIENT,
    lambda facts: facts.recipient,
    _for_recipients,
    "check_recipient_access",
    _unlisted_recipient,
)
DATA: Final = Group(refusals.DATA, lambda facts: "DATA", lambda each: (each.data,))
END_OF_DATA: Final = Group(refusals.END_OF_DATA, lambda facts: "END-OF-MESSAGE", lambda each: (each.end_of_data,))
ETRN: Final = Group(refusals.ETRN, lambda facts: facts.etrn, lambda each: (each.etrn,), "check_etrn_access")

GROUPS: Final[Mapping[tuple[str, bool], tuple[Group, ...]]] = {
    ("CONNECT", False): (CLIENT,),
    ("CONNECT", True): (),
    ("HELO", False): (HELO,),
    ("HELO", True): (),
    ("MAIL", False): (SENDER,),
    ("MAIL", True): (),
    ("RCPT", False): (RECIPIENT,),
    ("RCPT", True): (CLIENT, HELO, SENDER, RECIPIENT),
    ("VRFY", False): (RECIPIENT,),
    ("VRFY", True): (CLIENT, HELO, SENDER, RECIPIENT),
    ("ETRN", False): (ETRN,),
    ("ETRN", True): (CLIENT, HELO, ETRN),
    ("DATA", False): (DATA,),
    ("DATA", True): (DATA,),
    ("END-OF-MESSAGE", False): (END_OF_DATA,),
    ("END-OF-MESSAGE", True): (END_OF_DATA,),
}
"""What is looked at in a stage, by smtpd_delay_reject."""

FINAL: Final = frozenset(("RCPT", "VRFY", "ETRN", "DATA", "END-OF-MESSAGE"))
"""The stages at whose end a deferral comes true; the others hand it on to what follows."""


def applies(settings: Settings, stage: str) -> bool:
    """Whether anything is looked at in a stage."""
    if stage in ("RCPT", "VRFY"):
        return True
    if stage == "MAIL" and settings.reject_unlisted_sender and not settings.delay_reject:
        return True
    return any(lists for _, lists, _ in plan(settings, stage))


@lru_cache(maxsize=64)
def plan(settings: Settings, stage: str) -> tuple[tuple[Group, tuple[Rules, ...], bool], ...]:
    """The groups of a stage that have something to look at, their lists, and whether deferrals come true there."""
    groups = GROUPS[stage, settings.delay_reject]
    found = []
    for group in groups:
        lists = tuple(rules for rules in group.lists(settings) if rules)
        final = stage in FINAL and group is groups[-1]
        if lists or final or (group is SENDER and settings.reject_unlisted_sender):
            found.append((group, lists, final))
    return tuple(found)


def evaluate(
    settings: Settings, stage: str, facts: Facts, at_hand: At, deferral: Reply | None = None
) -> Outcome | Missing:
    """The outcome of a stage, or the facts that are missing.

    `at_hand` gives the value of a fact, or raises KeyError; `deferral` is what the stages before have handed on.
    """
    run = Run(settings, stage, facts, at_hand, go_through)
    run.deferral = deferral
    refusal: Reply | None = None
    try:
        for group, lists, final in plan(settings, stage):
            refusal = _decide(run, group, lists, final)
            if refusal is not None:
                break
    except Broken as broken:
        refusal = broken.reply
    except NoFurther:
        pass
    if run.missing:
        return Missing(run.missing)
    return Outcome(refusal, run.deferral, tuple(run.effects), run.sleep, tuple(run.warnings))


def _decide(run: Run, group: Group, lists: tuple[Rules, ...], final: bool) -> Reply | None:
    name = group.name(run.facts)
    if name is None:
        return None
    run.reject_deferral = None
    run.name, run.what, run.access_table = name, group.what, group.access_table
    for rules in lists:
        decision = go_through(run, rules)
        if isinstance(decision, Reply):
            return decision
    if final and run.deferral is not None:
        return run.deferral  # who was not refused because something was not known is put off
    if group.afterwards is None:
        return None
    try:
        decision = group.afterwards(run)
    except NotKnown:
        return None
    return decision if isinstance(decision, Reply) else None


def go_through(run: Run, rules: Rules) -> Decision:
    """The decision of a list: permit, a refusal, or None where it comes to its end."""
    if run.depth >= RECURSION_LIMIT:
        run.warn("restrictions lead to each other in a circle")
        raise Broken(refusals.CONFIGURATION)
    run.depth += 1
    warned = run.warn_only
    try:
        for rule in rules:
            if run.discarding:
                return None
            if rule.warn_only:
                run.warn_only = True
            decision = _apply(run, rule)
            run.warn_only = warned
            if decision is not None:
                return decision
        return None
    finally:
        run.warn_only = warned
        run.depth -= 1


def _apply(run: Run, rule: Rule) -> Decision:
    function = FUNCTIONS.get(rule.name if rule.name != OF_LIST else run.access_table)
    if function is not None:
        try:
            return function(run, rule.argument)
        except NotKnown:
            return None
    inner = run.settings.classes.get(rule.name)
    if inner is None:
        run.warn(f'unknown smtpd restriction: "{rule.name}"')
        raise Broken(refusals.CONFIGURATION)
    return go_through(run, inner)
