"""IMAP's lines and literals before and after login."""

from __future__ import annotations

from pillarbox.imapd.protocol.reader import Command, CommandReader, LiteralOffer, TooLong


def _read(data: bytes, step: int) -> list[object]:
    reader = CommandReader(2000, lambda command: b"APPEND" in command)
    found: list[object] = []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while (event := reader.next_event()) is not None:
            if isinstance(event, LiteralOffer):
                if event.size < 5000:
                    reader.accept()
                else:
                    reader.refuse()
            if isinstance(event, (Command, LiteralOffer, TooLong)):
                found.append(event)
    return found


def fuzz(data: bytes) -> None:
    """The same commands however they come."""
    assert _read(data, 1) == _read(data, max(1, len(data)))
