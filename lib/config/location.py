"""How the place of a hosted account's mail is written: `KIND:PLACE` with Dovecot's variables.

    %u  the address      %n  its local part      %d  its domain
    %h  virtual_mailbox_base/DOMAIN/LOCALPART    %%  a percent sign

What a kind makes of its place is the business of `lib.store.kinds`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote

from pillarbox.lib.config.mapping import BadEntry, Tree

LOCATION_KINDS: Final = ("maildir", "mbox", "sqlite", "pgsql", "imap")
"""What may stand before the colon."""

ELSEWHERE: Final = "imap://"
"""A location that begins so says that the mail is on another server; clients are referred there (RFC 2221)."""

_SERVER: Final = re.compile(r"//(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/?")

VARIABLES: Final = "undh%"

_VARIABLE: Final = re.compile("%(.?)", re.DOTALL)


def parse_location(text: str) -> str:
    """Give back a location that can be one, with its variables.  Raises ValueError."""
    kind, colon, place = text.partition(":")
    if not colon or kind not in LOCATION_KINDS or not place:
        known = ", ".join(f"{each}:" for each in LOCATION_KINDS)
        raise ValueError(f'a location such as "maildir:%h" was expected, not "{_shown(text)}"; kinds are {known}')
    if not text.isprintable():
        raise ValueError("a location of printable characters was expected")
    for letter in _VARIABLE.findall(text):
        if letter not in VARIABLES or not letter:
            raise ValueError(f'"%{letter}" means nothing: %u, %n, %d, %h and %% do')
    if kind == "pgsql":
        if not place.startswith(("postgresql://", "postgres://")) or not place.partition("#")[2]:
            raise ValueError('"pgsql:postgresql://USER@HOST/DATABASE#%u" was expected')
    elif kind == "imap":
        if not _SERVER.fullmatch(place):
            raise ValueError('"imap://HOST/", the server that has the mail, was expected')
    elif not place.startswith(("/", "%h")):
        raise ValueError(f'an absolute path, or one that begins with %h, was expected behind "{kind}:"')
    return text


def parse_general_location(text: str) -> str:
    """That of many accounts, which must not all be one.  Raises ValueError."""
    parse_location(text)
    if text.startswith(ELSEWHERE):
        return text
    if not set(_VARIABLE.findall(text.partition("#")[2] if text.startswith("pgsql:") else text)) & set("unh"):
        raise ValueError(f'"%u", "%n" or "%h" was expected in it, to keep accounts apart: "{_shown(text)}"')
    return text


def _shown(text: str) -> str:
    """Without what may be a password."""
    return "pgsql:..." if text.startswith("pgsql:") else text


def read_domain_locations(entries: Mapping[str, Tree]) -> dict[str, str]:
    """The mapping `mail_location_domains`.  Raises BadEntry."""
    found = {}
    for domain, value in entries.items():
        if not isinstance(value, str):
            raise BadEntry(domain, 'a location such as "sqlite:%h/mail.sqlite" was expected')
        try:
            found[domain.lower()] = parse_general_location(value)
        except ValueError as error:
            raise BadEntry(domain, str(error)) from None
    return found


def expand_location(location: str, address: str, local: str, domain: str, home: str) -> str:
    """The location of one account."""
    values = {"u": address, "n": local, "d": domain, "h": home, "%": "%"}

    def filled(text: str, *, quoted: bool = False) -> str:
        return _VARIABLE.sub(
            lambda match: quote(values[match[1]]) if quoted and match[1] != "%" else values[match[1]], text
        )

    if location.startswith("pgsql:"):  # a URI: in it, not behind "#", some characters mean something else
        uri, _, account = location.partition("#")
        return f"{_with_cache(filled(uri, quoted=True), home)}#{filled(account)}"
    return filled(location)


def _with_cache(uri: str, home: str) -> str:
    """Where the URI does not say where caches and full-text indexes lie (an empty `cache=`: nowhere), in the home."""
    before, _, query = uri.partition("?")
    if any(name == "cache" for name, _ in parse_qsl(query, keep_blank_values=True)):
        return uri
    return f"{before}?{query}{'&' if query else ''}cache={quote(home)}/cache"
