"""What a temporary refusal asks of us: less mail, this message later, or nothing in particular.

A table of patterns, read from the top; the first that matches holds.  It is a guess from words that people wrote for
people: a wrong one costs time, never mail, since it decides only when something is tried.

    RATE       the server wants less from us: the destination is slowed down
    LATER      greylisting, or one mailbox that gets too much: this recipient later, the destination has no fault
    OTHER      anything else
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from pillarbox.lib.delivery.result import DEFERRED, Result


class Kind(Enum):
    """What is asked for."""

    RATE = "rate"
    LATER = "later"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Advice:
    """`wait`: the seconds that the reply itself names, within bounds, or 0."""

    kind: Kind
    wait: float = 0.0


WORDS_LIMIT = 2000
"""Characters of a reply that are looked at."""

WAIT_LEAST, WAIT_MOST = 60.0, 4 * 3600.0
"""Bounds of the time that a server may ask us to wait, in seconds."""

MARGIN = 5.0
"""Seconds that are added to a time that a server has named: its clock began before ours."""

_NOTHING = Advice(Kind.OTHER)

PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        # --- one mailbox, whatever else is said
        (Kind.LATER, r"user you are trying to contact is receiving( mail)? (at a rate|too)"),  # Gmail 4.2.1
        (Kind.OTHER, r"\b4\.2\.2\b|over ?quota|(mailbox|quota).{0,40}(full|exceeded)|exceeded.{0,20}\bquota"),
        (Kind.LATER, r"recipient.{0,40}(exceeded|limit).{0,20}\b(message|e?mail)s? per (hour|day)"),
        # --- greylisting
        (Kind.LATER, r"gr[ea]y-? ?list|postgrey|milter-greylist"),
        (Kind.LATER, r"(first|initial) (contact|attempt|time).{0,60}(later|again|retry|back)"),
        # --- the sender is to slow down: codes that mean nothing else
        (Kind.RATE, r"\b4\.7\.(28|29|65[0-9]|500)\b"),  # Gmail; Outlook
        (Kind.RATE, r"\[(TSS?|IPTS)\d+\]|\bTSS?0\d\b|\bRP-00\d\b|\bRL0000\d\d\b|\bDYN:T\d|\(S77[57]\d*\)|\[CS0\d\]"),
        # --- the same in words
        (Kind.RATE, r"\brate[- ]?limit|\blimit(ed|ing)?( the)? rate|throttl|slow(ing)? (it )?down"),
        (Kind.RATE, r"(unusual|sending|message|connection|delivery|mail|excessive|high) (rate|frequency)\b"),
        (Kind.RATE, r"too (many|much|fast|frequent|quickly)(?! (hops|received|errors|invalid|unknown|bad))"),
        (Kind.RATE, r"(exceed|reach)(s|ed|ing)?\b.{0,60}\b(rate|connections?|sessions?|messages?|limits?)\b"),
        (Kind.RATE, r"\b(connection|session|concurren\w+|message)s? (limit|quota|count)"),
        (Kind.RATE, r"(unexpected|high|unusual) volume|user complaints|reduce .{0,20}(rate|volume|connection|sending)"),
        (Kind.RATE, r"messages? (from .{0,60})?temporarily deferred"),  # Yahoo
        (Kind.RATE, r"server (is )?(too )?busy|\bbusy\b.{0,20}(later|again)|(system|server) load"),
        (Kind.RATE, r"resources? (restricted|temporarily)"),
        (Kind.RATE, r"insufficient system (resources|storage)|\b4\.3\.1\b"),  # Exchange under pressure
        # --- it speaks of time, and of no reason: as greylisting does at RCPT
        (Kind.LATER, r"^45[01][- ](4\.7\.1|4\.2\.0)\b.*(later|again|back|temporar|retry|defer)"),
        # --- 421 for reasons of the server's own
        (Kind.OTHER, r"^421[- ](4\.4\.\d|4\.3\.[025])|shut(ting)? ?down|idle|time(d )?-?out|maintenance"),
        (Kind.OTHER, r"(lookup|look-up|resolve|DNS|hostname|PTR|reverse)"),
        (Kind.RATE, r"^421\b"),
    )
)  # fmt: skip
"""Matched against the words of the reply, its code first: `421 4.7.28 ...`."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_STATED = re.compile(
    r"\b(?:in|for|after|wait|within|another|least)[ :]+(?:about |approximately |another |at least |the next )?"
    r"(?:(\d{1,5}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b|(\d{1,2}):(\d{2})(?::(\d{2}))?)",
    re.IGNORECASE,
)
_SAID = re.compile(r"(?: said| refused to talk to me): (?=\d{3})")
_ENDING = re.compile(r" \(in reply to [^()]*\)$")


def advice(result: Result) -> Advice:
    """What the result of a recipient asks for."""
    if result.status != DEFERRED:
        return _NOTHING
    words = _words(result.diagnostic.removeprefix("smtp; ")) or _words(_spoken(result.text))
    return of_reply(words)


def of_reason(reason: str) -> Advice:
    """What the reason asks for that an agent gives where a destination as a whole took no mail."""
    return of_reply(_words(_spoken(reason)))


def _spoken(text: str) -> str:
    """What the remote server said, in a text of our own; "" where it said nothing."""
    match = _SAID.search(text)
    return _ENDING.sub("", text[match.end() :]) if match else ""


def _words(text: str) -> str:
    return " ".join(text[:WORDS_LIMIT].split()) if text[:1] == "4" else ""


@lru_cache(maxsize=256)
def of_reply(words: str) -> Advice:
    """Of a reply: code, perhaps enhanced code, text; on one line."""
    if words[:1] != "4":
        return _NOTHING
    for kind, pattern in PATTERNS:
        if pattern.search(words):
            return _NOTHING if kind is Kind.OTHER else Advice(kind, stated_wait(words))
    return _NOTHING


def stated_wait(words: str) -> float:
    """The seconds that a reply asks us to wait, within bounds; 0 where it names none."""
    match = _STATED.search(words)
    if match is None:
        return 0.0
    if match[1]:
        seconds = int(match[1]) * _UNITS[match[2][0].lower()]
    elif match[5]:
        seconds = int(match[3]) * 3600.0 + int(match[4]) * 60.0 + int(match[5])
    else:
        seconds = int(match[3]) * 60.0 + int(match[4])
    return min(max(seconds + MARGIN, WAIT_LEAST), WAIT_MOST) if seconds else 0.0
