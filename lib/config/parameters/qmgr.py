"""Parameters of the queue manager: how much at once, how often again, for how long.

`default_destination_*` hold for every transport; a transport's own value is `TRANSPORT_destination_*`, declared here
for the standard transports.
"""

from __future__ import annotations

from pillarbox.lib.config.parameter import Parameter, integer, seconds

QMGR_MESSAGE_ACTIVE_LIMIT = integer(
    "qmgr_message_active_limit", "20000", "The most messages in the active queue.", minimum=1
)
QMGR_MESSAGE_RECIPIENT_LIMIT = integer(
    "qmgr_message_recipient_limit",
    "20000",
    "The most recipients of one message that are held in memory; the others are read when these are done.",
    minimum=1,
)
QUEUE_RUN_DELAY = seconds(
    "queue_run_delay", "300s", "How often the queue is looked through for messages that nobody announced."
)
MINIMAL_BACKOFF_TIME = seconds(
    "minimal_backoff_time", "300s", "The shortest time until a deferred message is tried again."
)
MAXIMAL_BACKOFF_TIME = seconds(
    "maximal_backoff_time", "4000s", "The longest time until a deferred message is tried again."
)
MAXIMAL_QUEUE_LIFETIME = seconds(
    "maximal_queue_lifetime", "5d", "How long delivery is tried before a message goes back to its sender."
)
BOUNCE_QUEUE_LIFETIME = seconds(
    "bounce_queue_lifetime", "5d", "The same for messages from the null sender, which are dropped then."
)
TRANSPORT_RETRY_TIME = seconds(
    "transport_retry_time", "60s", "How long a delivery agent that cannot be reached is left alone."
)
QMGR_IPC_TIMEOUT = seconds("qmgr_ipc_timeout", "60s", "How long to wait for a delivery agent's greeting.")
INITIAL_DESTINATION_CONCURRENCY = integer(
    "initial_destination_concurrency", "5", "Deliveries at once to one destination, to begin with.", minimum=1
)
DEFAULT_DESTINATION_CONCURRENCY_LIMIT = integer(
    "default_destination_concurrency_limit", "20", "The most deliveries at once to one destination; 0: no limit."
)
DEFAULT_DESTINATION_RECIPIENT_LIMIT = integer(
    "default_destination_recipient_limit", "50", "The most recipients in one delivery; 0: no limit."
)
DEFAULT_DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT = integer(
    "default_destination_concurrency_failed_cohort_limit",
    "1",
    "After so many whole rounds of failed connections a destination is left alone for a while.",
    minimum=1,
)

TRANSPORTS = ("local", "virtual", "smtp", "relay", "lmtp", "pipe")
_CONCURRENCY = {"local": "2"}
_RECIPIENTS = {"local": "1"}

CONCURRENCY_LIMITS: dict[str, Parameter[int]] = {
    transport: integer(
        f"{transport}_destination_concurrency_limit",
        _CONCURRENCY.get(transport, "$default_destination_concurrency_limit"),
        f"The most deliveries at once to one destination through {transport}.",
    )
    for transport in TRANSPORTS
}
RECIPIENT_LIMITS: dict[str, Parameter[int]] = {
    transport: integer(
        f"{transport}_destination_recipient_limit",
        _RECIPIENTS.get(transport, "$default_destination_recipient_limit"),
        f"The most recipients in one delivery through {transport}.",
    )
    for transport in TRANSPORTS
}
