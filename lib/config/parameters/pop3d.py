"""Parameters of POP3."""

from __future__ import annotations

from pillarbox.lib.config.parameter import boolean, seconds

POP3_SESSION_TIMEOUT = seconds(
    "pop3_session_timeout",
    "600s",
    "How long a client may say nothing after it has logged in; RFC 1939 section 3 demands at least ten minutes.",
)
POP3_NO_FLAG_UPDATES = boolean(
    "pop3_no_flag_updates", "no", "Do not set the flag Seen on messages that a POP3 client has retrieved."
)
