"""What stands around the messages of APPEND and REPLACE, and the URLs in it: steps or BAD, a URL or none."""

from __future__ import annotations

from pillarbox.imapd.commands.append_grammar import AppendReader, Url, is_message, parse_opening
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.urls import parse_url


def fuzz(data: bytes) -> None:
    """The data as a command, whose stretches are separated by NUL."""
    first, *others = data.split(b"\0")
    is_message(first)
    parse_url(data)
    reader = AppendReader()
    cursor = Cursor(first)
    try:
        parse_opening(cursor)
        for stretch in (cursor, *map(Cursor, others)):
            for step in reader.steps(stretch):
                if isinstance(step, Url) and step.text is not None:
                    parse_url(step.text)
    except BadSyntax:
        pass
