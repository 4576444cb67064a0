"""Reading a command: the rules of the formal syntax (RFC 9051 section 9), one method each, named as there.

A `Cursor` stands at a place in a complete command.  Each method takes what its rule describes and moves on, or raises
`BadSyntax` with words for the client.  Deviations, all of them things that deployed clients do: blanks at the end of
the line, lower-case words, `(` `)` around single items where lists are expected, 8-bit octets in quoted strings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NoReturn

from pillarbox.imapd.protocol.errors import BadSyntax
from pillarbox.imapd.protocol.sequence import SAVED_RESULT, STAR, SequenceSet
from pillarbox.lib.store import mutf7
from pillarbox.lib.store.interface import INBOX

# ATOM-CHAR: any CHAR except atom-specials: "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / "]"
_ATOM = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
# ASTRING-CHAR = ATOM-CHAR / resp-specials; 8-bit octets as servers with UTF-8 names have always taken them.
_ASTRING = re.compile(rb'[^\x00-\x20(){%*"\\\x7f]+')
_LIST_ATOM = re.compile(rb'[^\x00-\x20(){"\\\x7f]+')
_TAG = re.compile(rb'[^\x00-\x20(){%*"\\\x7f-\xff+]+')
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_QUOTED_SPECIAL = re.compile(rb'\\(["\\])')
_LITERAL = re.compile(rb"~?\{(\d+)[+-]?\}\r\n")
_NUMBER = re.compile(rb"\d{1,19}")
_FLAG = re.compile(rb'\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
_SET = re.compile(rb"(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?(?:,(?:\d{1,10}|\*)(?::(?:\d{1,10}|\*))?)*")

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What a mailbox name must not have in it (RFC 6855 section 3, RFC 9051 section 5.1)."""

FLAG_LIMIT = 255
"""Octets of a keyword."""


class Cursor:
    """A place in a command."""

    __slots__ = ("_exists", "data", "names", "position", "utf8")

    def __init__(
        self, data: bytes, position: int = 0, *, utf8: bool = False, exists: Callable[[str], bool] = lambda name: False
    ) -> None:
        """`utf8`: the client has enabled UTF-8 in strings and names (RFC 6855, RFC 9051).  Names are then put into
        normal form, unless a mailbox `exists` that has the other one: other programs may have made it.
        """
        self._exists = exists
        self.data = data
        self.position = position
        self.utf8 = utf8
        self.names: list[tuple[str, str]] = []
        """Names of mailboxes that were read with `utf8`, as they came and in the normal form that the store has."""

    def fail(self, wanted: str) -> NoReturn:
        """Give up: `wanted` was expected here."""
        raise BadSyntax(f"{wanted} expected")

    # --- punctuation
    @property
    def at_end(self) -> bool:
        """Whether nothing but blanks is left."""
        return not self.data[self.position :].strip(b" ")

    def end(self) -> None:
        """Nothing may be left."""
        if not self.at_end:
            raise BadSyntax("unexpected text at the end of the command")

    def space(self) -> None:
        """SP."""
        if self.data[self.position : self.position + 1] != b" ":
            self.fail("a space")
        self.position += 1

    def peek(self, text: bytes) -> bool:
        """Whether `text` (any case) stands here."""
        return self.data[self.position : self.position + len(text)].upper() == text

    def accept(self, text: bytes) -> bool:
        """Take `text` (any case) if it stands here."""
        if self.peek(text):
            self.position += len(text)
            return True
        return False

    def expect(self, text: bytes) -> None:
        """Take `text`, which must stand here."""
        if not self.accept(text):
            self.fail(f'"{text.decode("ascii")}"')

    def _match(self, pattern: re.Pattern[bytes], wanted: str) -> bytes:
        found = pattern.match(self.data, self.position)
        if found is None:
            self.fail(wanted)
        self.position = found.end()
        return found.group()

    # --- words
    def tag(self) -> bytes:
        """tag = 1*<any ASTRING-CHAR except "+">."""
        return self._match(_TAG, "a tag")

    def atom(self) -> bytes:
        """atom = 1*ATOM-CHAR."""
        return self._match(_ATOM, "an atom")

    def word(self) -> bytes:
        """An atom in upper case: names of commands, items, keys and options."""
        return self.atom().upper()

    def string(self) -> bytes:
        """string = quoted / literal."""
        found = _QUOTED.match(self.data, self.position)
        if found is not None:
            self.position = found.end()
            text = found[1]
            if self.utf8 and not text.isascii():
                _must_be_utf8(text)
            return _QUOTED_SPECIAL.sub(rb"\1", text) if b"\\" in text else text
        found = _LITERAL.match(self.data, self.position)
        if found is None:
            self.fail("a string")
        end = found.end() + int(found[1])
        if end > len(self.data):
            self.fail("a whole literal")
        text = self.data[found.end() : end]
        self.position = end
        return text

    @property
    def at_string(self) -> bool:
        """Whether a quoted string or literal begins here."""
        start = self.data[self.position : self.position + 2]
        return start[:1] in (b'"', b"{") or start == b"~{"

    def astring(self) -> bytes:
        """astring = 1*ASTRING-CHAR / string."""
        return self.string() if self.at_string else self._match(_ASTRING, "a string")

    def nstring(self) -> bytes | None:
        """nstring = string / nil."""
        return None if self.accept(b"NIL") else self.string()

    # --- numbers
    def number(self) -> int:
        """number = 1*DIGIT, here as wide as number64."""
        return int(self._match(_NUMBER, "a number"))

    def number63(self) -> int:
        """mod-sequence-valzer: a number below 2**63 (RFC 7162 section 7)."""
        value = self.number()
        if value >= 1 << 63:
            self.fail("a number below 2^63")
        return value

    def nz_number(self) -> int:
        """nz-number: a number that is not zero."""
        value = self.number()
        if not value:
            self.fail("a number above zero")
        return value

    def sequence_set(self) -> SequenceSet:
        """sequence-set, without the result variable `$`."""
        ranges = []
        for item in self._match(_SET, "a sequence set").split(b","):
            first, _, last = item.partition(b":")
            low = _bound(first)
            high = _bound(last) if last else low
            ranges.append((min(low, high), max(low, high)))
        return SequenceSet(tuple(ranges))

    def message_set(self) -> SequenceSet:
        """sequence-set, or `$` for the saved result (RFC 5182 section 3)."""
        return SAVED_RESULT if self.accept(b"$") else self.sequence_set()

    @property
    def at_set(self) -> bool:
        """Whether a sequence set begins here, or `$`."""
        return self.data[self.position : self.position + 1] in b"0123456789*$" and self.position < len(self.data)

    # --- mailboxes
    def mailbox(self) -> str:
        """mailbox = "INBOX" / astring, as the store names it."""
        name = self._name(self.astring())
        return INBOX if name.upper() == INBOX else name

    def _name(self, raw: bytes) -> str:
        if not self.utf8:
            return decode_name(raw)
        given = _must_be_utf8(raw)
        if _UNFIT.search(given):
            raise BadSyntax("a mailbox name without control characters expected")
        name = unicodedata.normalize("NFC", given)
        if name != given and self._exists(given):
            name = given
        self.names.append((given, name))
        return name

    def list_mailbox(self) -> str:
        """list-mailbox = 1*list-char / string: a pattern."""
        raw = self.string() if self.at_string else self._match(_LIST_ATOM, "a mailbox pattern")
        return self._name(raw)

    # --- flags
    def flag(self) -> str:
        """flag: a system flag with its backslash, or a keyword."""
        name = self._match(_FLAG, "a flag")
        if len(name) > FLAG_LIMIT:
            raise BadSyntax("flag name too long")
        return name.decode("ascii")

    def flag_list(self) -> tuple[str, ...]:
        """flag-list = "(" [flag *(SP flag)] ")"."""
        self.expect(b"(")
        flags: list[str] = []
        while not self.accept(b")"):
            if flags:
                self.space()
            flags.append(self.flag())
        return tuple(flags)


def _bound(text: bytes) -> int:
    if text == b"*":
        return STAR
    value = int(text)
    if not 0 < value < STAR:
        raise BadSyntax("a number from 1 to 4294967295 expected in the sequence set")
    return value


def _must_be_utf8(raw: bytes) -> str:
    """RFC 6855 section 3: BAD for what is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadSyntax("UTF-8 expected") from None


def decode_name(raw: bytes) -> str:
    """A mailbox name or pattern as text: modified UTF-7 (RFC 3501 section 5.1.3), or UTF-8 as it came.

    A name that is neither stays as it is; no mailbox has such a name.
    """
    try:
        if raw.isascii():
            return mutf7.decode(raw.decode("ascii"))
        return raw.decode("utf-8")
    except ValueError:
        return raw.decode("utf-8", "replace")
