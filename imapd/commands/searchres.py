"""RETURN (SAVE): the result is kept as `$` (RFC 5182; RFC 9051 section 6.4.4.4, with PARTIAL RFC 9394 section 3.2).

Of what is combined with it depends what is kept: MIN, MAX and PARTIAL keep what they tell, COUNT and ALL all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pillarbox.imapd.commands.options import SearchFound, SearchReturn
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.session.context import Session


class Save(SearchReturn):
    silent = True
    decides = False

    def done(self, found: SearchFound, returned: Mapping[bytes, SearchReturn]) -> None:
        parts = [option.kept(found) for option in returned.values() if option.decides]
        kept: set[int] = set()
        for part in parts or [None]:
            kept.update(found.indexes if part is None else part)
        found.session.saved_search = found.uids(kept)

    def failed(self, session: Session) -> None:
        session.saved_search = ()


SEARCH_RETURN: dict[bytes, Callable[[Cursor], SearchReturn]] = {b"SAVE": lambda cursor: Save()}
CAPABILITIES = ("SEARCHRES",)
