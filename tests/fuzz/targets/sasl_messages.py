"""What clients say in AUTH: base64 and SCRAM's attributes."""

from __future__ import annotations

from pillarbox.lib.sasl.scram import ScramSyntaxError, attributes, decode, is_nonce, unescape_name
from pillarbox.lib.sasl.wire import SaslAborted, SaslSyntaxError, decode_initial, decode_response, encode


def fuzz(data: bytes) -> None:
    """Only the errors that the docstrings name; what was decoded can be encoded."""
    try:
        octets = decode_response(data)
        assert decode_response(encode(octets)) == octets
        decode_initial(data)
    except (SaslSyntaxError, SaslAborted):
        pass
    try:
        for _, value in attributes(data):
            is_nonce(value)
            for read in (decode, unescape_name):
                try:
                    read(value)
                except ScramSyntaxError:
                    pass
    except ScramSyntaxError:
        pass
