"""Lists of domains such as mydestination: names, `type:table` entries, files of names, and exceptions with `!`.

The first item that matches decides.  A name `.example.com` matches the subdomains; `example.com` does too where the
parameter is listed in parent_domain_matches_subdomains.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from pathlib import Path

from pillarbox.lib.address import normalize_domain
from pillarbox.lib.log import log
from pillarbox.lib.tables import LookupFailed, Maps
from pillarbox.lib.tables.keys import domain_keys
from pillarbox.lib.tables.table import Reach
from pillarbox.lookup.tableset import TableSet

FILE_NESTING_LIMIT = 10
"""How deep files of names may name files."""


class DomainList:
    """One list, ready for look-ups."""

    def __init__(self, parameter: str, words: Iterable[str], tables: TableSet, *, parents: bool = False) -> None:
        self.parameter = parameter
        self._parents = parents
        self._files: list[str] = []
        self._maps: list[Maps] = []
        self._failure = ""
        self._items: list[tuple[bool, frozenset[str] | Maps]] = []
        names: set[str] = set()
        negated = False
        for word_negated, word in self._words(words, 0):
            if word_negated != negated and names:
                self._items.append((negated, frozenset(names)))
                names = set()
            negated = word_negated
            if ":" in word and not word.startswith("["):
                if names:
                    self._items.append((negated, frozenset(names)))
                    names = set()
                maps = tables.in_list(parameter, word)
                self._maps.append(maps)
                self._items.append((negated, maps))
            else:
                names.add(f".{normalize_domain(word[1:])}" if word.startswith(".") else normalize_domain(word))
        if names:
            self._items.append((negated, frozenset(names)))

    def _words(self, words: Iterable[str], depth: int) -> Iterable[tuple[bool, str]]:
        for word in words:
            negated = False
            while word.startswith("!"):
                negated, word = not negated, word[1:]
            if not word.startswith("/"):
                if word:
                    yield negated, word
                continue
            self._files.append(word)
            try:
                if depth >= FILE_NESTING_LIMIT:
                    raise OSError(f"files are nested more than {FILE_NESTING_LIMIT} deep")
                text = Path(word).read_text("utf-8", "surrogateescape")
            except OSError as error:
                # Which domains the file would name is unknown: no domain may be taken for foreign because of that.
                self._failure = f"{self.parameter}: open {word}: {error.strerror or error}"
                log.error(self._failure)
                continue
            lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
            items = [item for line in lines for item in line.replace(",", " ").split()]
            for inner_negated, inner in self._words(items, depth + 1):
                yield inner_negated != negated, inner

    def __bool__(self) -> bool:
        return bool(self._items) or bool(self._failure)

    def matches(self, domain: str) -> bool:
        """Whether the list has `domain` (normalized).  Raises LookupFailed."""
        keys: tuple[str, ...] | None = None
        for negated, item in self._items:
            if isinstance(item, frozenset):
                if domain in item:
                    return not negated
                if keys is None:
                    keys = tuple(domain_keys(domain, parents_with_dot=not self._parents))[1:]
                if any(key in item for key in keys):
                    return not negated
            else:
                if keys is None:
                    keys = tuple(domain_keys(domain, parents_with_dot=not self._parents))[1:]
                if item.find(domain) is not None or any(item.find(key, partial=True) is not None for key in keys):
                    return not negated
        if self._failure:
            raise LookupFailed(self._failure)
        return False

    def has(self, name: str) -> bool:
        """Whether the list has `name` (in lower case) as it is: a name that is no domain has no parents.

        Raises LookupFailed.
        """
        for negated, item in self._items:
            if name in item if isinstance(item, frozenset) else item.find(name) is not None:
                return not negated
        if self._failure:
            raise LookupFailed(self._failure)
        return False

    def names(self, domain: str) -> bool:
        """Whether `domain` is written in the list itself, not only found in one of its tables."""
        return any(isinstance(item, frozenset) and domain in item and not negated for negated, item in self._items)

    def preload(self) -> None:
        """Load the tables of the list."""
        for maps in self._maps:
            maps.preload()

    def files(self) -> tuple[str, ...]:
        """The files that the list reads."""
        return (*self._files, *(file for maps in self._maps for file in maps.files()))

    def reach(self) -> Reach:
        """The servers that look-ups in the list ask."""
        return functools.reduce(operator.or_, (maps.reach() for maps in self._maps), Reach())
