"""Parameters of ManageSieve."""

from __future__ import annotations

from pillarbox.lib.config.parameter import seconds

MANAGESIEVE_SESSION_TIMEOUT = seconds(
    "managesieve_session_timeout",
    "1800s",
    "How long a client may say nothing after it has logged in; RFC 5804 section 1.2 demands at least thirty minutes.",
)
