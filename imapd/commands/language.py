"""LANGUAGE (RFC 5255 section 3): the language of the texts for people.  There is English, which is i-default too."""

from __future__ import annotations

from pillarbox.imapd.commands.command import ANY_STATE, Action, Command, Reply, Syntax
from pillarbox.imapd.protocol import response
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.session.context import Session

LANGUAGES = (b"en", b"i-default")
RANGE_LIMIT = 100
"""Language ranges of one command."""


def parse_ranges(cursor: Cursor) -> list[bytes]:
    """*(SP lang-range-quoted), in lower case."""
    ranges: list[bytes] = []
    while not cursor.at_end:
        cursor.space()
        ranges.append(cursor.astring().lower())
        if len(ranges) > RANGE_LIMIT:
            raise BadSyntax("too many language ranges")
    return ranges


def choose(ranges: list[bytes]) -> bytes:
    """The first language that a range asks for, by lookup (RFC 4647 section 3.4): `en-CA` finds `en`.

    Raises CommandFailed.
    """
    for each in ranges:
        if each in (b"default", b"*"):
            return LANGUAGES[0]
        while each:
            if each in LANGUAGES:
                return each
            each = each.rpartition(b"-")[0]
    raise CommandFailed("Unsupported language; there is English.")


def language_line(languages: tuple[bytes, ...]) -> bytes:
    """`* LANGUAGE (en)`: one is that which is used, several are those that there are."""
    return response.untagged(b"LANGUAGE", response.parenthesized(languages))


def parse(syntax: Syntax) -> Action:
    ranges = parse_ranges(syntax.cursor)

    async def run(session: Session) -> Reply:
        if not ranges:
            session.send(language_line(LANGUAGES))
            return Reply("Supported languages have been enumerated.")
        language = choose(ranges)
        session.language = language.decode("ascii")
        session.send(language_line((language,)))
        return Reply("Language is set.")

    return run


CAPABILITIES = ("LANGUAGE",)
COMMAND = Command("LANGUAGE", ANY_STATE, parse)
