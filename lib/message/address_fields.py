"""Which header fields hold addresses, and whose: of those who write, or of those who are written to.

By these Postfix's classes header_sender and header_recipient are told apart (canonical_classes in postconf(5)).
"""

from __future__ import annotations

SENDER_FIELDS = frozenset(
    (
        b"from",
        b"sender",
        b"reply-to",
        b"resent-from",
        b"resent-sender",
        b"resent-reply-to",
        b"errors-to",
        b"return-receipt-to",
        b"disposition-notification-to",
        b"mail-followup-to",
    )
)
RECIPIENT_FIELDS = frozenset((b"to", b"cc", b"bcc", b"resent-to", b"resent-cc", b"resent-bcc", b"apparently-to"))
