"""The header of a message while milters edit it: a list of whole fields, in memory, within bounds.

The MTA's own Received: is hidden: it is neither shown nor counted when a milter names the n-th field of a name; but a
position for insertion counts it, so that 0 and 1 are above everything, as Postfix has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pillarbox.lib.message.header import scan
from pillarbox.lib.milter.answers import AddHeader, ChangeHeader, InsertHeader

FIELD_LIMIT = 20_000
"""Fields of a message: many times what any real message has."""

_LINE_END = re.compile(rb"\r\n|\r|\n")


class HeaderTooLarge(Exception):
    """The edits would make a header that is larger than is allowed."""


class HeaderList:
    """The fields of one message, each with its LF.  `queue_id` tells the MTA's own Received: from others."""

    def __init__(self, block: bytes, queue_id: str, size_limit: int) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._limit = size_limit
        self.size = 0
        for field in scan(block):
            text = block[field.start : field.end]
            self._fields.append((field.name, text if text.endswith(b"\n") else text + b"\n"))
            self.size += len(text)
            self._check()
        self._own = next((entry for entry in self._fields if _is_own(entry, queue_id)), None)

    def _check(self) -> None:
        if self.size > self._limit or len(self._fields) > FIELD_LIMIT:
            raise HeaderTooLarge(f"a header of {self.size} bytes in {len(self._fields)} fields")

    def shown(self, *, leading_space: bool) -> Iterator[tuple[bytes, bytes]]:
        """What a milter sees: name and value, lines separated by LF; blanks before the value only where agreed on."""
        for entry in self._fields:
            if entry is self._own:
                continue
            name, text = entry
            value = text[text.index(b":", len(name)) + 1 : -1]
            yield name, value if leading_space else value.lstrip(b" \t")

    def add(self, edit: AddHeader, *, leading_space: bool) -> None:
        """Append a field.  Raises HeaderTooLarge."""
        self._insert(len(self._fields), edit.name, edit.value, leading_space)

    def insert(self, edit: InsertHeader, *, leading_space: bool) -> None:
        """Insert a field.  Raises HeaderTooLarge."""
        self._insert(max(0, edit.index - 1), edit.name, edit.value, leading_space)

    def _insert(self, position: int, name: bytes, value: bytes, leading_space: bool) -> None:
        text = compose(name, value, leading_space=leading_space)
        self._fields.insert(position, (name, text))
        self.size += len(text)
        self._check()

    def change(self, edit: ChangeHeader, *, leading_space: bool) -> None:
        """Give the n-th field of a name a value, or remove it; one that is not there is added (smfi_chgheader)."""
        wanted, left = edit.name.lower(), max(1, edit.index)
        for position, entry in enumerate(self._fields):
            if entry[0].lower() == wanted and entry is not self._own:
                left -= 1
                if not left:
                    self.size -= len(entry[1])
                    del self._fields[position]
                    if edit.value:
                        self._insert(position, edit.name, edit.value, leading_space)
                    return
        if edit.value:
            self._insert(len(self._fields), edit.name, edit.value, leading_space)

    def block(self) -> bytes:
        """The header as it goes into the message, without the empty line."""
        return b"".join(text for _, text in self._fields)

    def copy(self) -> HeaderList:
        """A list of its own with the same fields: edits that are not kept are made on a copy."""
        twin = HeaderList.__new__(HeaderList)
        twin._fields = list(self._fields)
        twin._limit, twin.size = self._limit, self.size
        twin._own = self._own
        return twin


def _is_own(entry: tuple[bytes, bytes], queue_id: str) -> bool:
    name, text = entry
    return name.lower() == b"received" and bool(re.search(rb"\bid %s\b" % re.escape(queue_id.encode()), text))


def compose(name: bytes, value: bytes, *, leading_space: bool) -> bytes:
    """A field with its LF.  Lines of the value that are not folded get a tab: nobody smuggles a second field in.

    Blank lines would end the header for some readers; they go.
    """
    first, *more = _LINE_END.split(value)
    folded = [line if line[:1] in (b" ", b"\t") else b"\t" + line for line in more if line.strip(b" \t")]
    return name + (b":" if leading_space else b": ") + b"\n".join((first, *folded)) + b"\n"
