"""RETURN (RELEVANCY): how well each message fits, from 1 to 100 (RFC 6203 section 4)."""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.imapd.commands.options import SearchFound, SearchReturn
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor


class Relevancy(SearchReturn):
    decides = False

    def data(self, found: SearchFound) -> bytes:
        if not found.relevancies:
            return b""
        return b"RELEVANCY " + response.parenthesized(b"%d" % score for score in found.relevancies)


SEARCH_RETURN: dict[bytes, Callable[[Cursor], SearchReturn]] = {b"RELEVANCY": lambda cursor: Relevancy()}
