"""Parameters of the service that remembers clients, senders and accounts."""

from __future__ import annotations

from pillarbox.lib.config.parameter import path, seconds, size

REPUTATION_DIRECTORY = path(
    "reputation_directory",
    "$data_directory/reputation",
    "Where the service reputation keeps its database; nothing else lies there, and it may be deleted at any time.",
)
REPUTATION_SIZE_LIMIT = size(
    "reputation_size_limit",
    "100000000",
    "The most bytes that the database of the service reputation may take; beyond it what is oldest is forgotten.",
)
REPUTATION_COMMIT_INTERVAL = seconds(
    "reputation_commit_interval",
    "0.5s",
    "For how long what was learnt may wait to be written, so that many changes are written at once.",
)
REPUTATION_SWEEP_INTERVAL = seconds(
    "reputation_sweep_interval", "600s", "How often the service reputation drops what has grown too old."
)
