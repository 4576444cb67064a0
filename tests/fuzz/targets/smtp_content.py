"""The decoders of DATA and BDAT: cut as one likes, the same content; only CRLF.CRLF ends DATA."""

from __future__ import annotations

from typing import Final

from pillarbox.lib.smtp.content import BareNewline, ChunkDecoder, DataDecoder

_MODES: Final[tuple[BareNewline, ...]] = ("normalize", "reject", "no")


def _data(data: bytes, mode: BareNewline, step: int) -> tuple[bytes, bool, bytes]:
    decoder = DataDecoder(mode)
    content, position = b"", 0
    while position < len(data) and not decoder.done:
        content += decoder.feed(data[position : position + step])
        position += step
    return content, decoder.done, decoder.rest + data[position:] if decoder.done else b""


def fuzz(data: bytes) -> None:
    """All modes, three cuts."""
    for mode in _MODES:
        whole = _data(data, mode, max(1, len(data)))
        assert all(_data(data, mode, step) == whole for step in (1, 3))
        _content, done, rest = whole
        if mode != "no":
            assert done == (b"\r\n.\r\n" in b"\r\n" + data)
            if done:
                assert rest == (b"\r\n" + data).partition(b"\r\n.\r\n")[2]
        chunks = ChunkDecoder(mode)
        taken = chunks.feed(data)
        text = (taken + chunks.finish()).replace(b"\n", b"")
        assert text == data.replace(b"\r\n", b"").replace(b"\n", b"")
