"""Access lists of mailboxes (RFC 4314): who may do what, as text beside the mailbox and as a decision.

The text is that of Dovecot's `dovecot-acl`: a line for each identifier, its name first and then its rights.

    user=bob@example.org lrs
    group=staff lr
    anyone l
    -user=eve@example.org lrs

On the wire a user is its address, a group `$NAME`, and what a `-` stands before is taken away again.  `anyone` is
every account of the domain to which the mailbox belongs: accounts of other domains must be named.
A user has what any of its identifiers is given, less what any of them is denied.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.address import AddressSyntaxError, normalize_domain, parse_mailbox
from pillarbox.lib.store.interface import ALL_RIGHTS, ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, StoreError

ANYONE: Final = "anyone"
GROUP: Final = "$"
IDENTIFIER_LIMIT: Final = 300
"""Characters of an identifier: an address, and the sign before it."""
ENTRY_LIMIT: Final = 1000
"""Identifiers of one mailbox."""

# RFC 4314 section 2.1.1: the rights of RFC 2086 that were divided, and what they stand for here (as with Dovecot).
_OLD: Final = {"c": "kx", "d": "te"}
_LINE: Final = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^ "]\S*)) +([A-Za-z0-9]*)(?: *:.*)?\Z')
_GROUP_NAME: Final = re.compile(r"[A-Za-z0-9._@-]+")

Entries = Mapping[str, str]
"""Identifiers as on the wire, and their rights in the order of `ALL_RIGHTS`."""


class BadIdentifier(StoreError):
    """This cannot be an identifier."""

    response_code = "CANNOT"


class TooManyEntries(StoreError):
    """The access list is full."""

    response_code = "LIMIT"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who wants something."""

    address: str
    groups: frozenset[str] = frozenset()

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def identifiers(self, domain: str) -> frozenset[str]:
        """All that mean this user in the access list of a mailbox of `domain`."""
        names = {self.address, *(GROUP + group for group in self.groups)}
        if domain == self.domain:
            names.add(ANYONE)
        return frozenset(names)


def ordered(rights: Iterable[str]) -> str:
    """Rights in the order in which they are told, each once."""
    given = set(rights)
    return "".join(right for right in ALL_RIGHTS if right in given)


def read_rights(text: str) -> str | None:
    """What a client means by `text`, the old rights included; None where a letter is no right (section 3.1: BAD)."""
    wanted = ""
    for letter in text:
        wanted += _OLD.get(letter, letter)
    return ordered(wanted) if set(wanted) <= set(ALL_RIGHTS) else None


def told_rights(rights: str) -> str:
    """Rights as clients are told them: with the old ones that they amount to (section 2.1.1)."""
    return rights + "".join(old for old, new in _OLD.items() if set(new) & set(rights))


def identifier(text: str, domain: str) -> str:
    """An identifier in its one spelling; a user without a domain is one of `domain`.  Raises BadIdentifier."""
    sign = "-" if text.startswith("-") else ""
    name = text[len(sign) :]
    if name == ANYONE:
        return sign + name
    if name.startswith(GROUP):
        if _GROUP_NAME.fullmatch(name[1:]) and len(name) <= IDENTIFIER_LIMIT:
            return sign + name
    elif name and name.isprintable():
        try:
            parsed = parse_mailbox(unicodedata.normalize("NFC", name if "@" in name else f"{name}@{domain}"))
            return sign + str(type(parsed)(parsed.local.lower(), normalize_domain(parsed.domain)))
        except AddressSyntaxError:
            pass
    raise BadIdentifier("an address, $GROUP or anyone was expected")


def parse(note: bytes) -> dict[str, str]:
    """The entries of a note.  A line that cannot be read, and a letter that is no right, give nothing to anybody."""
    entries: dict[str, str] = {}
    for line in note.decode("utf-8", "replace").splitlines():
        match = _LINE.match(line.strip())
        if match is None:
            continue
        name = re.sub(r"\\(.)", r"\1", match[1]) if match[1] is not None else match[2]
        wire = _from_file(name)
        if wire:
            known = "".join(_OLD.get(letter, letter) for letter in match[3])
            entries[wire] = ordered(entries.get(wire, "") + known)
    return {name: rights for name, rights in entries.items() if rights}


def _from_file(name: str) -> str:
    sign = "-" if name.startswith("-") else ""
    kind, equals, value = name[len(sign) :].partition("=")
    if kind == ANYONE and not equals:
        return sign + ANYONE
    if kind == "user" and value and value != ANYONE and value[0] not in (GROUP, "-"):  # a user cannot be called so
        return sign + value
    return f"{sign}{GROUP}{value}" if kind == "group" and value else ""


def serialize(entries: Entries) -> bytes:
    """The note for these entries; nothing for none."""
    return "".join(f"{_to_file(name)} {rights}\n" for name, rights in sorted(entries.items())).encode("utf-8")


def _to_file(wire: str) -> str:
    sign = "-" if wire.startswith("-") else ""
    name = wire[len(sign) :]
    if name != ANYONE:
        name = f"group={name[1:]}" if name.startswith(GROUP) else f"user={name}"
    text = sign + name
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"' if re.search(r'[\s"\\]', text) else text


def rights_of(entries: Entries, viewer: Viewer, domain: str) -> str:
    """What the user may do with a mailbox of `domain` (section 2: what is given, less what is denied)."""
    names = viewer.identifiers(domain)
    given: set[str] = set()
    denied: set[str] = set()
    for name, rights in entries.items():
        if name in names:
            given.update(rights)
        elif name.startswith("-") and name[1:] in names:
            denied.update(rights)
    return ordered(given - denied)


def changed(entries: Entries, name: str, sign: str, rights: str) -> dict[str, str]:
    """The entries with the rights of one identifier replaced ("" as sign), extended (+) or reduced (-); one without
    rights goes.  Raises TooManyEntries."""
    old = entries.get(name, "")
    new = rights if not sign else ordered(old + rights) if sign == "+" else ordered(set(old) - set(rights))
    result = {other: value for other, value in entries.items() if other != name}
    if new:
        result[name] = new
    if len(result) > ENTRY_LIMIT:
        raise TooManyEntries(f"an access list has at most {ENTRY_LIMIT} entries")
    return result


def settable(rights: str) -> int:
    """The system flags that may be changed with these rights, as bits; keywords go with `w` (section 4)."""
    flags = SEEN if "s" in rights else 0
    if "t" in rights:
        flags |= DELETED
    return flags | ANSWERED | FLAGGED | DRAFT if "w" in rights else flags
