"""SQL query templates: every `%s` becomes part of one literal that the client writes, whatever the key contains.

    SELECT goto FROM alias WHERE address = '%s' AND domain = '%d'

A literal of the template that contains slots is taken out as a whole, filled, and put back by the driver's own
quoting; a slot outside of quotes becomes a literal of its own.  Where a key could not be put safely (in a comment, a
quoted name, a literal of another kind) the template is refused: so no key can end a literal, and no setting of the
server (standard_conforming_strings, NO_BACKSLASH_ESCAPES) can make one that does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pillarbox.lib.tables.query_template import Quote, Slot, Template, Values, parse_template


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the languages.

    `strings` are the quotes of literals, `names` those of names, a bracket for both of them; `backslash` says whether
    a backslash escapes in a literal, `dollar` whether `$$...$$` is one; `hash_comment` whether `#` begins a comment.
    """

    strings: str
    names: str
    backslash: bool = False
    dollar: bool = False
    hash_comment: bool = False


POSTGRESQL = Dialect("'", '"', dollar=True)
MYSQL = Dialect("'\"", "`", backslash=True, hash_comment=True)
SQLITE = Dialect("'", '"`[')

_DOLLAR = re.compile(r"\$(?:[A-Za-z_\x80-\U0010ffff][\w]*)?\$")
_PREFIX = re.compile(r"(?:[eEbBxXnN]|[uU]&|\b_\w+\s*)\Z")
"""What makes the literal behind it another kind than a plain one."""

_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
"""MySQL's escapes in literals; any other character behind a backslash is itself."""


@dataclass(frozen=True, slots=True)
class SqlTemplate:
    """A query: text as it is, and templates of which each becomes one literal."""

    pieces: tuple[str | Template, ...]

    def templates(self) -> tuple[Template, ...]:
        """The templates in it."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Template))

    def fill(self, values: Values, literal: Quote) -> str:
        """The query.  `literal` gives a text as a complete literal, quotes included."""
        return "".join(piece if isinstance(piece, str) else literal(piece.fill(values)) for piece in self.pieces)


def parse_sql(text: str, dialect: Dialect) -> SqlTemplate:
    """The query that a setting holds.  Raises ValueError where it makes no sense or a slot is at an unsafe place."""
    pieces: list[str | Template] = []
    plain = ""
    for kind, part in _parts(text, dialect):
        template = parse_template(part)
        slots = template.letters()
        if kind == "literal" and slots:
            before = _PREFIX.search(plain)
            if before is not None and _is_prefix(plain, before):
                raise ValueError(f"a key cannot stand in {before[0].strip()}{part}: a plain literal was expected")
            pieces += [plain] if plain else []
            plain = ""
            pieces.append(_unquoted(template, part[0], dialect))
        elif kind == "text" and slots:
            for piece in template.pieces:
                if isinstance(piece, Slot):
                    pieces += [plain] if plain else []
                    plain = ""
                    pieces.append(Template((piece,)))
                else:
                    plain += piece
        elif slots:
            raise ValueError(
                f"a key cannot stand in {kind} {part}: put it into a literal, {dialect.strings[0]}%s"
                f"{dialect.strings[0]}"
            )
        else:
            plain += "".join(piece for piece in template.pieces if isinstance(piece, str))
    if plain:
        pieces.append(plain)
    if not "".join(piece if isinstance(piece, str) else "x" for piece in pieces).strip():
        raise ValueError("a query was expected")
    return SqlTemplate(tuple(pieces))


def _is_prefix(plain: str, found: re.Match[str]) -> bool:
    """Whether the letters before a quote stand by themselves, and are not the end of a longer word (LIKE'...')."""
    before = plain[: found.start()][-1:]
    return not (before.isalnum() or before in ("_", "$")) or found[0].startswith("_")


def _parts(text: str, dialect: Dialect) -> list[tuple[str, str]]:
    """The text cut into ("text" | "literal" | what else it is, part)."""
    parts: list[tuple[str, str]] = []
    position, begin = 0, 0

    def cut(kind: str, start: int, end: int) -> None:
        nonlocal position, begin
        if start > begin:
            parts.append(("text", text[begin:start]))
        parts.append((kind, text[start:end]))
        position = begin = end

    while position < len(text):
        character, two = text[position], text[position : position + 2]
        if character in dialect.strings:
            cut("literal", position, _closing(text, position, backslash=dialect.backslash))
        elif character in dialect.names:
            cut("the name", position, _closing(text, position, backslash=False))
        elif two == "--" or (character == "#" and dialect.hash_comment):
            end = text.find("\n", position)
            cut("the comment", position, len(text) if end < 0 else end)
        elif two == "/*":
            end = text.find("*/", position + 2)
            if end < 0:
                raise ValueError('"*/" was expected at the end of a comment')
            cut("the comment", position, end + 2)
        elif character == "$" and dialect.dollar and (tag := _DOLLAR.match(text, position)):
            end = text.find(tag[0], tag.end())
            if end < 0:
                raise ValueError(f"{tag[0]} was expected at the end of a literal")
            cut("the literal", position, end + len(tag[0]))
        else:
            position += 1
    if len(text) > begin:
        parts.append(("text", text[begin:]))
    return parts


def _closing(text: str, start: int, *, backslash: bool) -> int:
    """Behind the quote that closes the one at `start`; two in a row stand for one."""
    quote, position = text[start], start + 1
    if quote == "[":
        end = text.find("]", position)
        if end < 0:
            raise ValueError(f"] was expected at the end of {text[start:]}")
        return end + 1
    while position < len(text):
        if backslash and text[position] == "\\":
            position += 2
        elif text[position] != quote:
            position += 1
        elif text[position + 1 : position + 2] == quote:
            position += 2
        else:
            return position + 1
    raise ValueError(f"{quote} was expected at the end of {text[start:]}")


def _unquoted(template: Template, quote: str, dialect: Dialect) -> Template:
    """The content of a literal: without its quotes, doubled quotes and escapes undone."""
    pieces: list[str | Slot] = []
    last = len(template.pieces) - 1
    for number, piece in enumerate(template.pieces):
        if isinstance(piece, Slot):
            pieces.append(piece)
            continue
        piece = piece[1 if number == 0 else 0 : len(piece) - 1 if number == last else len(piece)]
        piece = _content(piece, quote, backslash=dialect.backslash)
        if piece:
            pieces.append(piece)
    return Template(tuple(pieces))


def _content(text: str, quote: str, *, backslash: bool) -> str:
    content, position = "", 0
    while position < len(text):
        character = text[position]
        if backslash and character == "\\":
            escaped = text[position + 1 : position + 2]
            # LIKE's own escapes are left to LIKE.
            content += f"\\{escaped}" if escaped in ("%", "_") else _ESCAPES.get(escaped, escaped)
            position += 2
        else:
            content += character
            position += 2 if character == quote else 1
    return content
