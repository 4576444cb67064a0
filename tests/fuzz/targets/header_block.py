"""Header blocks: where they end, their fields, hops, dates, encoded words, recipients."""

from __future__ import annotations

from pillarbox.lib.message.date import parse_date
from pillarbox.lib.message.encoded_words import decode_words
from pillarbox.lib.message.header import HeaderReader, field_value, header_end, scan
from pillarbox.lib.message.recipients import header_recipients
from pillarbox.lib.message.trace import count_hops, delivered_to


def fuzz(data: bytes) -> None:
    """However it is cut the block is the same."""
    blocks = []
    for step in (max(1, len(data)), 1):
        reader = HeaderReader(len(data) + 1)
        for start in range(0, len(data), step):
            if reader.feed(data[start : start + step]):
                rest = reader.rest + data[start + step :]
                break
        else:
            reader.close()
            rest = reader.rest
        assert reader.block + rest == data
        blocks.append(reader.block)
    assert blocks[0] == blocks[1]
    assert 0 <= header_end(data) <= len(data)
    for field in scan(blocks[0]):
        value = field_value(blocks[0], field)
        decode_words(value)
        parse_date(value.decode("latin-1"))
    count_hops(blocks[0])
    delivered_to(blocks[0])
    header_recipients(blocks[0])
