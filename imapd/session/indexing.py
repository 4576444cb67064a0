"""When the full-text index of a mailbox is brought up to date (`lib.store.text`).

Begun when a search in bodies shows that somebody searches there (or, with `fts_autoindex`, when a mailbox is selected);
from then on new mail is taken in as soon as a session sees it.  All the work is done in the keeper's thread, which also
fills the mailbox's cache with what clients ask of every message, as it has each of them at hand.
"""

from __future__ import annotations

import os
from typing import Final

from pillarbox.imapd.session.selected import Selected
from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.imapd import FTS, FTS_AUTOINDEX, FTS_MAX_SIZE, FTS_MESSAGE_MAX_SIZE
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import Store
from pillarbox.lib.store.text.keeper import Keeper, Limits

_KNOWN_LIMIT: Final = 10_000
"""Mailboxes of which it is remembered up to where they are indexed."""


class TextIndexing:
    """For the sessions of one process."""

    def __init__(self, config: Config) -> None:
        from pillarbox.imapd.fetch import fill  # which needs sessions, which need this module

        self.config = config
        self._wanted = config[FTS]
        self._at_once = config[FTS_AUTOINDEX]
        self.keeper = Keeper(Limits(config[FTS_MESSAGE_MAX_SIZE], config[FTS_MAX_SIZE]), open_store, fill)
        # Mailbox -> the next UID and the count of messages when it was last given to the keeper.
        self._asked: dict[tuple[str, str], tuple[int, int]] = {}

    def searched(self, store: Store, selected: Selected) -> None:
        """Somebody searched in the texts of a mailbox."""
        if self._wanted and selected.mailbox.text_place is not None:
            selected.text_indexed = True
            self._bring_up(store, selected)

    def selected(self, store: Store, selected: Selected) -> None:
        """A mailbox was selected."""
        place = selected.mailbox.text_place if self._wanted else None
        if place is not None and (self._at_once or os.path.exists(place)):
            selected.text_indexed = True
            self._bring_up(store, selected)

    def arrived(self, store: Store, selected: Selected) -> None:
        """A session has seen new mail."""
        if selected.text_indexed:
            self._bring_up(store, selected)

    def _bring_up(self, store: Store, selected: Selected) -> None:
        mailbox = selected.mailbox
        name = store.location, mailbox.name
        now = mailbox.uid_next, selected.count
        if self._asked.pop(name, None) != now:
            self.keeper.want(*name)
        self._asked[name] = now
        if len(self._asked) > _KNOWN_LIMIT:
            del self._asked[next(iter(self._asked))]


_indexing: dict[int, TextIndexing] = {}


def indexing_of_process(config: Config) -> TextIndexing:
    """The one of this process, made when it is first asked for: a fork has none yet."""
    process = os.getpid()
    known = _indexing.get(process)
    if known is None or known.config is not config:
        _indexing.clear()
        known = _indexing[process] = TextIndexing(config)
    return known
