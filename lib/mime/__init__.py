"""The MIME structure of messages by byte offsets: what IMAP asks for, without ever writing a message again.

    part = scan_message(chunks)                  # Part tree, offsets in octets on the wire
    envelope = parse_envelope(header)            # ENVELOPE
    find_part(part, (2, 1))                      # BODY[2.1]

Promises: any bytes give a tree, nothing raises on bad mail; memory is bounded by the limits in `limits`, not by the
message; time is linear.  It decodes nothing unless asked (`decoding`, `charset`).
"""

from pillarbox.lib.mime.envelope import Envelope, parse_envelope
from pillarbox.lib.mime.part import Disposition, Part, find_part
from pillarbox.lib.mime.scan import Scanner, scan_message

__all__ = ["Disposition", "Envelope", "Part", "Scanner", "find_part", "parse_envelope", "scan_message"]
