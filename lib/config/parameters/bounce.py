"""Parameters of `bounce`: what goes back to senders, and what the postmaster gets to see."""

from __future__ import annotations

from pillarbox.lib.config.parameter import seconds, size, text, words

BOUNCE_SIZE_LIMIT = size(
    "bounce_size_limit",
    "50000",
    "A message of more bytes comes back with its header only when it can't be delivered.",
)
DELAY_WARNING_TIME = seconds(
    "delay_warning_time", "0h", "After this time in the queue the sender is told that a message still waits; 0h: never."
)
NOTIFY_CLASSES = words(
    "notify_classes",
    "resource, software",
    """What the postmaster is told of.  In force at present: 2bounce (a copy of each bounce that could not be delivered
    itself).""",
)
DOUBLE_BOUNCE_SENDER = text(
    "double_bounce_sender",
    "double-bounce",
    "The user part of the sender of notices to the postmaster; mail from it is never bounced.",
)
TWO_BOUNCE_NOTICE_RECIPIENT = text(
    "2bounce_notice_recipient", "postmaster", "Who gets the copies of undeliverable bounces."
)
