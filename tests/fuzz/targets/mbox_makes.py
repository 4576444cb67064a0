"""mbox files of other makes: whatever is in the file, messages are ranges of it, in order, and none is without end."""

from __future__ import annotations

from pillarbox.commands.mailbox_mbox_makes import has_lengths, is_internal, messages_by_length, numbered


def fuzz(data: bytes) -> None:
    """Find messages by their lengths, and the UIDs of another server."""
    has_lengths(data)
    position = 0
    for found in messages_by_length(data, 0, len(data)):
        assert position <= found.offset < found.start <= found.end <= found.next <= len(data)
        assert found.next > position
        position = found.next
        is_internal(data, found)
    numbers = numbered(data, messages_by_length(data, 0, len(data)))
    assert numbers is None or 0 < numbers[1] < 1 << 32
