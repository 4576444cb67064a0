"""The header of a message or a part as a script sees and edits it (RFC 5228 section 2.4.2.2, RFC 5293).

Promises: values are unfolded, RFC 2047 words decoded, blanks at both ends gone; a name's values are worked out once; a
header that nobody edits is given back to the octet.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.address.header import AddressList, parse_address_list
from pillarbox.lib.message.encoded_words import decode_words, encode_words
from pillarbox.lib.message.header import compose, scan, unfold


@dataclass(frozen=True, slots=True)
class HeaderField:
    """A field: its name in lower case, all its octets, and the value as it came."""

    name: str
    raw: bytes
    value: bytes

    def text(self) -> str:
        """The value as people read it."""
        return decode_words(unfold(self.value)).strip(" \t\r\n")


class Header:
    """The fields of one header block."""

    __slots__ = ("_addresses", "_fields", "_names", "_raw", "_rest", "_values", "edited")

    def __init__(self, block: bytes) -> None:
        self._raw = block
        self._rest = b""  # behind a line that is no field
        self._fields: list[HeaderField] | None = None
        self._names: dict[str, list[HeaderField]] = {}
        self._values: dict[str, tuple[str, ...]] = {}
        self._addresses: dict[tuple[str, int], AddressList] = {}
        self.edited = False

    @property
    def fields(self) -> list[HeaderField]:
        """All fields in their order."""
        if self._fields is None:
            block = self._raw
            self._fields = [
                HeaderField(
                    found.name.decode("ascii").lower(), block[found.start : found.end], block[found.value : found.end]
                )
                for found in scan(block)
            ]
            self._rest = block[sum(len(each.raw) for each in self._fields) :]
            if self._rest[:1] in (b" ", b"\t"):
                self._rest = b"\n" + self._rest  # or it would continue a field that is added
            self._index()
        return self._fields

    def _index(self) -> None:
        self._names, self._values, self._addresses = {}, {}, {}
        for each in self._fields or ():
            self._names.setdefault(each.name, []).append(each)

    def named(self, name: str) -> list[HeaderField]:
        """The fields of this name, which is in lower case."""
        if self._fields is None:
            _ = self.fields
        return self._names.get(name, [])

    def values(self, name: str) -> tuple[str, ...]:
        """The texts of the fields of this name."""
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = tuple(each.text() for each in self.named(name))
        return found

    def addresses(self, name: str, number: int) -> AddressList:
        """The addresses of one of the fields of this name, counted from 0."""
        found = self._addresses.get((name, number))
        if found is None:
            value = unfold(self.named(name)[number].value)
            try:
                text = value.decode("utf-8")
            except UnicodeDecodeError:
                text = value.decode("latin-1")
            found = self._addresses[name, number] = parse_address_list(text)
        return found

    # --- editheader
    def add(self, name: str, value: str, *, last: bool) -> None:
        """A new field at the top or at the bottom; line ends in the value become blanks."""
        raw = compose(name.encode("ascii"), encode_words(" ".join(value.split("\r\n"))))
        if self._raw.find(b"\r\n", 0, 2048) >= 0:
            raw = raw.replace(b"\n", b"\r\n")
        fields = self.fields
        field = HeaderField(name.lower(), raw, raw[raw.index(b":") + 1 :])
        if last:
            if fields and not fields[-1].raw.endswith(b"\n"):
                fields[-1] = HeaderField(fields[-1].name, fields[-1].raw + b"\n", fields[-1].value)
            fields.append(field)
        else:
            fields.insert(0, field)
        self.edited = True
        self._index()

    def remove(self, gone: list[HeaderField]) -> None:
        """Take these fields out; two that are alike are told apart."""
        if gone:
            marks = {id(each) for each in gone}
            self._fields = [each for each in self.fields if id(each) not in marks]
            self.edited = True
            self._index()

    def growth(self) -> int:
        """Octets that it is longer than it came."""
        return len(self.block() or self._raw) - len(self._raw)

    def block(self) -> bytes | None:
        """All of the header, None where nothing was edited."""
        return b"".join(each.raw for each in self.fields) + self._rest if self.edited else None
