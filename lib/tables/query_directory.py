"""What an LDAP look-up makes of the entries that it finds: which attributes count, and where it searches further.

Four kinds of attributes (ldap_table(5)): an entry with a *terminal* one gives the values of these and nothing else;
an entry with a *special* one is left for the entries that its values name (DNs and LDAP URLs, RFC 4516), so that its
*leaf* attributes do not count; *ordinary* ones always count but for entries with a terminal one.

No I/O: searches are asked of a function that is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from pillarbox.lib.tables.lines import decode
from pillarbox.lib.tables.query_pool import QueryFailed

Scope = Literal["base", "one", "sub"]
SCOPES: tuple[Scope, ...] = ("base", "one", "sub")
Entry = Mapping[str, Sequence[bytes]]
"""Attribute descriptions and their values, in the server's order."""

SEARCHES_LIMIT = 10_000
"""Searches of one look-up: a group of as many members; groups that contain each other reach it sooner or later."""

ANYTHING = "(objectClass=*)"


@dataclass(frozen=True, slots=True)
class Search:
    """One question to the server."""

    base: str
    scope: Scope
    filter: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of attributes by kind, in the order of the settings."""

    terminal: tuple[str, ...] = ()
    leaf: tuple[str, ...] = ()
    ordinary: tuple[str, ...] = ()
    special: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """What a search asks for."""
        return (*self.terminal, *self.leaf, *self.ordinary, *self.special)


def collect(
    entries: Sequence[Entry],
    roles: Roles,
    search: Callable[[Search], Sequence[Entry] | None],
    add: Callable[[str], None],
    recursion_limit: int,
) -> None:
    """Give every value of the entries, and of those that they refer to, to `add`.

    `search` gives None for an object that does not exist; a reference to it counts for nothing.  Raises QueryFailed
    where references are nested beyond the limit, are too many or are malformed, and what `search` and `add` raise.
    """
    searches = 0
    stack: list[Iterator[bytes | Search]] = [_steps(entries, roles)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, bytes):
            add(decode(step.partition(b"\0")[0]))
        else:
            searches += 1
            if len(stack) >= recursion_limit:
                raise QueryFailed(f"Recursion limit exceeded at {step.base}")
            if searches > SEARCHES_LIMIT:
                raise QueryFailed(f"at most {SEARCHES_LIMIT} references were expected in one look-up")
            stack.append(_steps(search(step) or (), roles))


def _steps(entries: Sequence[Entry], roles: Roles) -> Iterator[bytes | Search]:
    """The values and the further searches of some entries, in order."""
    for entry in entries:
        terminal = any(_has(entry, name) for name in roles.terminal)
        leaf = terminal or not any(_has(entry, name) for name in roles.special)
        for attribute, values in entry.items():
            kind = _kind(attribute, roles)
            if kind == "special" and not terminal:
                yield from filter(None, (_reference(value, roles) for value in values))
            elif (kind == "terminal") if terminal else (kind == "ordinary" or (kind == "leaf" and leaf)):
                yield from values


def _has(entry: Entry, name: str) -> bool:
    return any(values and _is(name, attribute) for attribute, values in entry.items())


def _is(name: str, attribute: str) -> bool:
    """Whether an attribute description is `name`, or that with options (RFC 4512 section 2.5)."""
    name, attribute = name.lower(), attribute.lower()
    return attribute == name or attribute.startswith(f"{name};")


def _kind(attribute: str, roles: Roles) -> str:
    for kind in ("terminal", "leaf", "ordinary", "special"):
        if any(_is(name, attribute) for name in getattr(roles, kind)):
            return kind
    return ""


def _reference(value: bytes, roles: Roles) -> Search | None:
    """Where a DN or URL leads; None where it shows nothing that counts.  Raises QueryFailed."""
    text = decode(value)
    if "://" not in text or not text.lower().startswith(("ldap://", "ldaps://", "ldapi://")):
        return Search(text, "base", ANYTHING, roles.all)
    return parse_url(text, roles.all)


def parse_url(url: str, wanted: tuple[str, ...]) -> Search | None:
    """The search of an LDAP URL, `ldap://host/dn?attributes?scope?filter` (RFC 4516 section 2); the server that is
    asked is the one that we are connected to.  None where it asks for none of the attributes that are wanted.

    Raises QueryFailed.
    """
    _, _, rest = url.partition("://")
    _, _, path = rest.partition("/")
    parts = [unquote(part, errors="surrogateescape") for part in path.split("?")]
    base, named, scope, condition, extensions = (*parts, *[""] * 5)[:5]
    if len(parts) > 5 or (scope or "base").lower() not in SCOPES or "!" in extensions:
        raise QueryFailed(f"malformed URL {url}: ldap://host/dn?attributes?scope?filter was expected")
    attributes = wanted
    if named and named != "*":
        asked = [name for name in named.split(",") if name]
        pairs = ((name, mine) for name in asked for mine in wanted)
        attributes = tuple(
            dict.fromkeys(
                name if _is(mine, name) else mine for name, mine in pairs if _is(mine, name) or _is(name, mine)
            )
        )
    if not attributes:
        return None
    chosen: Scope = next(each for each in SCOPES if each == (scope or "base").lower())
    return Search(base, chosen, condition or ANYTHING, attributes)


def quote_filter(text: str) -> str:
    """A text as a value in a search filter (RFC 4515 section 3)."""
    return "".join(f"\\{ord(character):02x}" if character in "*()\\\0" else character for character in text)


def quote_name(text: str) -> str:
    """A text as a value in a distinguished name (RFC 4514 section 2.4)."""
    quoted = "".join(f"\\{character}" if character in ',+"\\<>;=#' else character for character in text)
    quoted = quoted.replace("\0", "\\00")
    if quoted.startswith(" "):
        quoted = f"\\{quoted}"
    if quoted.endswith(" ") and len(text) > 1:
        quoted = f"{quoted[:-1]}\\ "
    return quoted
