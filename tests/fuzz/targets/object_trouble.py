"""What object storage says of an error: a line that stands for the field `Date`, then the body."""

from __future__ import annotations

from pillarbox.lib.store.sql.object_trouble import trouble


def fuzz(data: bytes) -> None:
    """It becomes a few plain words."""
    date, _, body = data.partition(b"\n")
    for status in (403, 404, 503):
        text = trouble(status, date.decode("latin-1"), body, 1_700_000_000).text
        assert text.isascii() and text.isprintable() and len(text) < 250, text
