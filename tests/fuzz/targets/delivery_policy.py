"""retry, source_addresses, warm_up; what a reply asks for; the file of counts."""

from __future__ import annotations

from pillarbox.lib.config.mapping import parse_mapping
from pillarbox.lib.config.retry import read_rules
from pillarbox.lib.config.sources import parse_sources, read_warm_up
from pillarbox.qmgr.replies import WAIT_MOST, of_reply
from pillarbox.qmgr.warm_up import read_counts


def fuzz(data: bytes) -> None:
    """A mistake is a ValueError; a reply asks for something within bounds."""
    text = data.decode("utf-8", "replace")
    for read in (read_rules, read_warm_up):
        try:
            read(parse_mapping(text))
        except ValueError:
            pass
    try:
        parse_sources(text)
    except ValueError:
        pass
    try:
        read_counts(data)
    except ValueError:
        pass
    assert 0 <= of_reply(text[:2000]).wait <= WAIT_MOST
