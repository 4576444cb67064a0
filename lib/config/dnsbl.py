"""DNS lists with weights as smtpd_dnsbl_sites names them: `bl.example=127.0.0.[2..11]*2` (postconf(5),
postscreen_dnsbl_sites).

Behind the domain stand, in either order, the answers that count (`=`, see `reply_filter`) and what a match adds to a
client's rank (`*`, 1 without it; below zero for lists of good clients).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pillarbox.lib.config.parameter import Raw, split_words
from pillarbox.lib.config.reply_filter import Listing, parse_listing

_SITE = re.compile(r"([^=*]+)(?:=([^=*]+))?(?:\*([^=*]+))?(?:=([^=*]+))?")
_WEIGHT = re.compile(r"[+-]?[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Site:
    """One entry.  The same domain may stand in several, with answers of its own each; it is asked once."""

    listing: Listing
    weight: int = 1


def parse_site(text: str) -> Site:
    """Raises ValueError, said for a person."""
    match = _SITE.fullmatch(text)
    if match is None or (match[2] and match[4]):
        raise ValueError(f'a DNS list such as "bl.example=127.0.0.[2..11]*2" was expected, not "{text}"')
    answers = match[2] or match[4]
    listing = parse_listing(match[1] + (f"={answers}" if answers else ""))
    weight = match[3]
    if weight is None:
        return Site(listing)
    if not _WEIGHT.fullmatch(weight) or not int(weight):
        raise ValueError(f'a weight such as 2 or -1 was expected behind "*" in "{text}"')
    return Site(listing, int(weight))


def parse_sites(raw: Raw) -> tuple[Site, ...]:
    """A list of entries.  Raises ValueError."""
    return tuple(parse_site(word) for word in split_words(raw))
