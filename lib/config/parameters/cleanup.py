"""Parameters of `cleanup`, the one writer of new mail."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, integer, words

HOPCOUNT_LIMIT = integer(
    "hopcount_limit", "50", "The most Received: header fields that a message may have; more mean a loop.", minimum=1
)
MESSAGE_DROP_HEADERS = words(
    "message_drop_headers",
    "bcc, content-length, resent-bcc, return-path",
    "Names of header fields that are removed from every message.",
)
ALWAYS_ADD_MISSING_HEADERS = boolean(
    "always_add_missing_headers",
    "no",
    "Add missing Date:, From: and Message-ID: fields to mail from remote clients too, not only to local submissions.",
)
