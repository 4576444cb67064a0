"""Why a recipient did not get the message and what its sender can do, in plain words.

The code decides where it is exact, else the words of the server, else the SMTP code, else the subject of the code.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pillarbox.lib.message.dsn.known_replies import DECISIVE, ROWS
from pillarbox.lib.message.dsn.lookalikes import lookalike
from pillarbox.lib.message.dsn.reasons import REASONS, Reason, by_status

TEXT_LIMIT = 1000
"""Characters of a reply that are looked at: all known texts say what they have to say before."""

_ADDRESSING = frozenset(("0.0", "1.0", "1.1", "1.2", "1.3", "1.10", "4.0", "4.1", "4.3", "4.4", "4.7"))
"""Details after which a look-alike domain is worth a hint."""

_CODE = re.compile(r"(?:said|to me): ([245]\d\d)\b")
_DOMAIN = re.compile(r"[^\s{}\x00-\x1f\x7f]{1,255}")


class Explanation(NamedTuple):
    """A sentence of cause, one of what the sender can do, and one about a domain that was probably meant, or ""."""

    cause: str
    cure: str
    hint: str = ""


def explain(status: str, words: str, address: str, size: int = 0) -> Explanation:
    """About a recipient with an enhanced status code and the words that came with it; `size` is the message's."""
    domain = address.rpartition("@")[2]
    if not _DOMAIN.fullmatch(domain):
        domain = "the recipient's system"
    # Without the address the recipients that one server refused alike have the same words.
    reason = _reason(status, words.replace(address, "<>")[:TEXT_LIMIT] if address else words[:TEXT_LIMIT])
    cause = reason.cause
    if reason is REASONS["3.4"] and size:
        cause = f"The message, of {_grouped(size)} bytes, is too large for the receiving system."
    meant = lookalike(domain) if status.partition(".")[2] in _ADDRESSING else ""
    hint = f"Did you mean {meant} instead of {domain}?" if meant else ""
    return Explanation(cause.replace("{domain}", domain), reason.cure.replace("{domain}", domain), hint)


@lru_cache(maxsize=256)
def _reason(status: str, words: str) -> Reason:
    found = by_status(status) if DECISIVE.fullmatch(status) else _known(words)
    if found is None:
        match = _CODE.search(words)
        found = by_status(status, int(match[1]) if match else 0)
    return found


def _known(words: str) -> Reason | None:
    for expression, reason in ROWS:
        match = expression.search(words)
        if match:
            sizes = {name: _grouped(int(value)) for name, value in match.groupdict().items()}
            if not sizes:
                return reason
            return Reason(reason.cause.format_map(sizes), reason.cure)
    return None


def _grouped(number: int) -> str:
    """A number of bytes as people read it."""
    return f"{number:,}".replace(",", " ")
