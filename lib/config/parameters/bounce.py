"""Parameters of `bounce`: what goes back to senders, and what the postmaster gets to see."""

from __future__ import annotations

from pillarbox.lib.config.parameter import integer, path, seconds, size, text, words

BOUNCE_SIZE_LIMIT = size(
    "bounce_size_limit",
    "50000",
    "A message of more bytes comes back with its header only when it can't be delivered.",
)
DELAY_WARNING_TIME = seconds(
    "delay_warning_time", "0h", "After this time in the queue the sender is told that a message still waits; 0h: never."
)
BOUNCE_TEMPLATE_FILE = path(
    "bounce_template_file",
    "",
    """A file with the words that stand at the top of reports to senders, in the format of bounce(5): failure_template,
    delay_template, success_template, verify_template. `postconf -t` shows those in force, `postconf -b` with the values
    of parameters in them. Postmaster copies always have the built-in words.""",
)
NOTIFY_CLASSES = words(
    "notify_classes",
    "resource, software",
    """What the postmaster is told of. bounce: a copy (header only) of each report that a message could not be
    delivered, and what 2bounce gives; 2bounce: each report that could itself not be delivered; delay: a copy of each
    warning that a message waits; data, policy, protocol, resource, software: the transcript of SMTP sessions in which
    a table could not be asked, a client was refused by policy, a client or server made mistakes of protocol, the disk
    was full or failed, the suite itself failed.""",
    options=("bounce", "2bounce", "data", "delay", "policy", "protocol", "resource", "software"),
)
DOUBLE_BOUNCE_SENDER = text(
    "double_bounce_sender",
    "double-bounce",
    "The user part of the sender of notices to the postmaster; mail from it is never bounced.",
)
BOUNCE_NOTICE_RECIPIENT = text(
    "bounce_notice_recipient", "postmaster", "Who gets copies of reports to senders (notify_classes: bounce)."
)
TWO_BOUNCE_NOTICE_RECIPIENT = text(
    "2bounce_notice_recipient", "postmaster", "Who gets the copies of undeliverable bounces (notify_classes: 2bounce)."
)
DELAY_NOTICE_RECIPIENT = text(
    "delay_notice_recipient", "postmaster", "Who gets copies of warnings to senders (notify_classes: delay)."
)
ERROR_NOTICE_RECIPIENT = text(
    "error_notice_recipient",
    "postmaster",
    "Who gets transcripts of SMTP sessions (notify_classes: data, policy, protocol, resource, software).",
)
ERROR_NOTICE_LIMIT = integer(
    "error_notice_limit",
    "10",
    """How many transcripts of SMTP sessions one process sends to error_notice_recipient within an hour at most; the
    next one says how many were left out. 0: no limit, as Postfix.""",
)
