"""Answers of name servers: compression loops, cut records, lies about lengths."""

from __future__ import annotations

from pillarbox.lib.dns.codec import BadMessage, decode_response


def fuzz(data: bytes) -> None:
    """Nothing but BadMessage."""
    try:
        response = decode_response(data)
    except BadMessage:
        return
    assert len(response.answers) <= len(data)
