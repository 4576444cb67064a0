"""xtext (RFC 3461) and utf-8-addr-xtext (RFC 6533)."""

from __future__ import annotations

from pillarbox.lib.message.xtext import decode_utf8_address, decode_xtext, encode_utf8_address, encode_xtext


def fuzz(data: bytes) -> None:
    """What is decoded can be encoded and is the same again."""
    text = data.decode("utf-8", "surrogateescape")
    decoded = decode_xtext(text)
    if decoded is not None:
        assert decode_xtext(encode_xtext(decoded)) == decoded
    assert decode_xtext(encode_xtext(text)) == text
    address = decode_utf8_address(data.decode("utf-8", "replace"))
    if address is not None:
        assert decode_utf8_address(encode_utf8_address(address)) == address
