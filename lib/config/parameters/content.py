"""Parameters of what is looked at in the content of a message: checks, limits, content filters."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, integer, seconds, size, tables, text, words

# --- tables
HEADER_CHECKS = tables(
    "header_checks",
    "",
    """Tables (usually regexp: or pcre:) that are asked about each header field of a message, continuation lines
    included; the answer says what to do: REJECT, HOLD, DISCARD, REDIRECT, FILTER, REPLACE, PREPEND, IGNORE, STRIP,
    BCC, WARN, INFO, PASS, DUNNO, most with a text behind (header_checks(5)).""",
)
MIME_HEADER_CHECKS = tables(
    "mime_header_checks",
    "$header_checks",
    "The same for MIME header fields (Content-Type: and others), of the message and of its parts.",
)
NESTED_HEADER_CHECKS = tables(
    "nested_header_checks",
    "$header_checks",
    "The same for the other header fields of messages that are attached to a message.",
)
BODY_CHECKS = tables("body_checks", "", "The same for each line of the bodies of a message and of its parts.")
BODY_CHECKS_SIZE_LIMIT = size(
    "body_checks_size_limit", "51200", "How much of each part's body body_checks look at, in bytes; 0: all of it."
)
CONTENT_CHECK_TIME_LIMIT = seconds(
    "content_check_time_limit",
    "10s",
    """The processor time that header_checks, body_checks and the like may take for one message; an expression that
    takes longer is named in the log, and the message is put off. 0: any.""",
)
INTERNAL_MAIL_FILTER_CLASSES = words(
    "internal_mail_filter_classes",
    "",
    """Which mail of the system's own is subject to header_checks, body_checks and the like. bounce: reports about
    delivery. notify: notices to the postmaster.""",
    options=("bounce", "notify"),
)
RECEIVE_OVERRIDE_OPTIONS = words(
    "receive_override_options",
    "",
    """What is not done with mail that a service brings, usually because it was done before a content filter.
    no_unknown_recipient_checks: refuse unknown recipients; no_address_mappings: expand virtual aliases;
    no_header_body_checks: header_checks, body_checks and the like; no_milters: milters.""",
    options=("no_unknown_recipient_checks", "no_address_mappings", "no_header_body_checks", "no_milters"),
)
CONTENT_FILTER = text(
    "content_filter",
    "",
    """The transport:nexthop of a content filter: every message that the service brings goes there, and comes back as a
    new message through a service without content_filter. An empty nexthop is the recipient's domain.""",
)

# --- MIME
DISABLE_MIME_INPUT_PROCESSING = boolean(
    "disable_mime_input_processing", "no", "Take all that follows the header of a message for its body, also parts."
)
MIME_NESTING_LIMIT = integer(
    "mime_nesting_limit", "100", "How deep parts may be nested; deeper ones are refused where there are checks."
)
MIME_BOUNDARY_LENGTH_LIMIT = size(
    "mime_boundary_length_limit", "2048", "How much of a MIME boundary tells it from others, in bytes."
)
STRICT_7BIT_HEADERS = boolean("strict_7bit_headers", "no", "Refuse mail with 8-bit characters in header fields.")
STRICT_8BITMIME = boolean("strict_8bitmime", "no", "Both strict_7bit_headers and strict_8bitmime_body.")
STRICT_8BITMIME_BODY = boolean(
    "strict_8bitmime_body", "no", "Refuse mail with 8-bit characters in a body whose header does not announce them."
)
STRICT_MIME_ENCODING_DOMAIN = boolean(
    "strict_mime_encoding_domain",
    "no",
    "Refuse mail with an encoding other than 7bit, 8bit or binary for message/* or multipart/*.",
)

# --- characters
MESSAGE_REJECT_CHARACTERS = text(
    "message_reject_characters",
    "",
    r"Characters that a message must not have, C-style escapes allowed; \0 refuses mail with NUL bytes.",
)
MESSAGE_STRIP_CHARACTERS = text(
    "message_strip_characters", "", "Characters that are removed from every message, C-style escapes allowed."
)
CLEANUP_REPLACE_STRAY_CR_LF = boolean(
    "cleanup_replace_stray_cr_lf",
    "yes",
    """Replace a CR that is not part of a line end by a space: another server might take it for one, and find
    a second message in the first.""",
)

# --- limits
HEADER_COUNT_LIMIT = integer("header_count_limit", "1000", "The most header fields of a message; 0: any number.")
HEADER_BLOCK_SIZE_LIMIT = size(
    "header_block_size_limit", "1048576", "The largest header of a message, all its fields together, in bytes."
)
