"""The part of a report that people read: what has happened, to whom, why, what can be done; then the servers' words.

Recipients are grouped by cause.  Lines have at most 72 characters but for addresses and words that are longer.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from pillarbox.lib.message.dsn.explanation import Explanation, explain

if TYPE_CHECKING:
    from pillarbox.lib.message.dsn.report import Report, ReportedRecipient

WIDTH = 72
LINE_LIMIT = 900
"""Bytes after which even a word is broken: lines of mail have at most 998 (RFC 5322 section 2.1.1)."""

ESCAPED_LIMIT = LINE_LIMIT // 10
"""Characters after which a word is broken that is not ASCII: one may become the ten bytes of `\\U0001f600`."""

DIAGNOSTIC_LIMIT = 2000
"""Characters kept of what a remote server said: more helps nobody."""

LISTED_LIMIT = 1000
"""Recipients that the text names one by one: nobody reads on, and programs have a part of their own."""

GROUPS_LIMIT = 20
"""Causes that are told apart; what a message to very many meets beyond them is read in the servers' words."""

_GOOD = {
    "delivered": "The message was delivered.",
    "relayed": (
        "The message was handed on to a server that sends no reports. You will hear more only if something goes wrong "
        "there."
    ),
    "expanded": (
        "This address stands for others, and the message was sent on to them. You will hear more only if something "
        "goes wrong there."
    ),
    "deliverable": "Mail to this address would be delivered.",
}

_OTHERS = Explanation("There were different reasons; the servers' own words are below.", "")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """Control characters, line separators and broken UTF-8 as `?`; line ends as blanks."""
    return _CONTROL.sub("?", " ".join(text.splitlines()) if "\n" in text or "\r" in text else text)


def notification(report: Report, every: Callable[[], Iterable[ReportedRecipient]], size: int) -> Iterator[str]:
    """The text behind the opening words, in pieces.  `size` is the original's, in bytes.

    Only the first `LISTED_LIMIT` recipients are written of: the part for programs names all.
    """

    def recipients() -> Iterable[ReportedRecipient]:
        return islice(every(), LISTED_LIMIT)

    groups: dict[Explanation, int] = {}
    # One byte for each recipient, so that a list of any length is explained once and shown in order.
    group_of = bytearray()
    for recipient in recipients():
        explanation = _explained(report, recipient, size)
        if len(groups) >= GROUPS_LIMIT and explanation not in groups:
            explanation = _OTHERS
        group_of.append(groups.setdefault(explanation, len(groups)))
    for explanation, number in groups.items():
        yield "\n"
        for index, recipient in enumerate(recipients()):
            if group_of[index] == number:
                yield f"  {named(recipient)}\n"
        words = (explanation.cause, " ".join(filter(None, (explanation.hint, explanation.cure))))
        yield "\n" + "".join(filled(text, "    ") + "\n" for text in words if text)
    if not groups:
        return
    if more := sum(1 for _ in every()) - len(group_of):
        yield (
            "\n"
            + filled(f"And {more} more. The next part of this message, written for programs, names them all.")
            + "\n"
        )
    yield "\nThe details, for those who run mail systems:\n"
    for recipient in recipients():
        text = printable(recipient.text)[:DIAGNOSTIC_LIMIT] or "no reason is known"
        yield f"\n  <{printable(recipient.address)}>:\n{filled(text, '    ')}\n"
    if report.template.built_in and report.kind.closing:
        yield "\n" + filled(report.kind.closing.format(host=report.host)) + "\n"


def _explained(report: Report, recipient: ReportedRecipient, size: int) -> Explanation:
    action = recipient.action or report.kind.action
    if action in _GOOD:
        return Explanation(_GOOD[action], "")
    words = recipient.diagnostic if recipient.diagnostic not in recipient.text else ""
    cause, cure, hint = explain(recipient.status, f"{recipient.text} {words}", recipient.address, size)
    if action == "failed" and recipient.status.startswith("4"):
        cause += tried_for(report.when - report.arrival)
    return Explanation(cause, cure if report.kind.cure else "", hint)


def tried_for(seconds: float) -> str:
    """` It was tried for 5 days.`; nothing for a time that nobody would call long."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        number = round(seconds / length)
        if seconds >= length * 0.95:
            return f" It was tried for {number} {unit}{'s' if number > 1 else ''}."
    return ""


def named(recipient: ReportedRecipient) -> str:
    """`<address> (expanded from <address>)`."""
    address = f"<{printable(recipient.address)}>"
    if recipient.original and recipient.original != recipient.address:
        return f"{address} (expanded from <{printable(recipient.original)}>)"
    return address


def filled(text: str, indent: str = "") -> str:
    """Prose in lines; a word that is longer than a line stands alone."""
    limit, piece = (LINE_LIMIT, LINE_LIMIT // 4) if text.isascii() else (ESCAPED_LIMIT, ESCAPED_LIMIT)
    if len(text) > limit:
        text = " ".join(word[start : start + piece] for word in text.split() for start in range(0, len(word), piece))
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
