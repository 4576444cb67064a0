"""Parameters of the queue manager: how much at once, how often again, for how long.

Where a parameter is a family, any service of master.yaml has its own value as SERVICE_NAME, NAME without "default_".
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.config.families import family
from pillarbox.lib.config.parameter import Raw, declare, integer, joined, seconds, words

QMGR_MESSAGE_ACTIVE_LIMIT = integer(
    "qmgr_message_active_limit", "20000", "The most messages in the active queue.", minimum=1
)
QMGR_MESSAGE_RECIPIENT_LIMIT = integer(
    "qmgr_message_recipient_limit",
    "20000",
    "The most recipients that are held in memory, of all messages; the others are read when these are done.",
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
DEFER_TRANSPORTS = words(
    "defer_transports",
    "",
    "Transports whose mail waits until somebody flushes it (sendmail -q, postqueue -f, -i or -s, ETRN).",
)
QMGR_CLOG_WARN_TIME = seconds(
    "qmgr_clog_warn_time",
    "300s",
    "How often the log says that mail for one destination takes up more than a fifth of the active queue; 0: never.",
)
QMGR_IPC_TIMEOUT = seconds("qmgr_ipc_timeout", "60s", "How long to wait for a delivery agent's greeting.")


@dataclass(frozen=True, slots=True)
class Feedback:
    """How much one delivery moves the window of its destination: `amount`, divided by the window to the power."""

    amount: float
    power: float = 0.0

    def at(self, window: int) -> float:
        """The amount for a window of this size."""
        return self.amount / window**self.power if self.power else self.amount


_POWERS = {"": 0.0, "concurrency": 1.0, "sqrt_concurrency": 0.5}


def parse_feedback(raw: Raw) -> Feedback:
    """`NUMBER`, `NUMBER/concurrency` or `NUMBER/sqrt_concurrency` (postconf(5)); the number is from 0 to 1."""
    number, _, divisor = joined(raw).replace(" ", "").partition("/")
    try:
        amount = float(number)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= 1 or divisor not in _POWERS or joined(raw).strip().endswith("/"):
        raise ValueError("a number from 0 to 1 was expected, perhaps with /concurrency or /sqrt_concurrency behind it")
    return Feedback(amount, _POWERS[divisor])


# --- memory
QMGR_MESSAGE_RECIPIENT_MINIMUM = integer(
    "qmgr_message_recipient_minimum",
    "10",
    "So many recipients of a message are read even when qmgr_message_recipient_limit is reached.",
    minimum=1,
)
RECIPIENT_LIMIT = family(
    integer(
        "default_recipient_limit",
        "20000",
        """The most recipients of one transport that are held in memory, so that a slow one does not take all the room.
        For one service: SERVICE_recipient_limit.""",
        minimum=1,
    )
)
EXTRA_RECIPIENT_LIMIT = family(
    integer(
        "default_extra_recipient_limit",
        "1000",
        """Room beyond SERVICE_recipient_limit for messages that have had few deliveries yet, so that they can overtake.
        For one service: SERVICE_extra_recipient_limit.""",
    )
)
RECIPIENT_REFILL_LIMIT = family(
    integer(
        "default_recipient_refill_limit",
        "100",
        """More recipients of a message are read when so many of those in memory are done.
        For one service: SERVICE_recipient_refill_limit.""",
        minimum=1,
    )
)
RECIPIENT_REFILL_DELAY = family(
    seconds(
        "default_recipient_refill_delay",
        "5s",
        """After this time more recipients of a message are read even when fewer are done.
        For one service: SERVICE_recipient_refill_delay.""",
    )
)

# --- whose turn it is
DELIVERY_SLOT_COST = family(
    integer(
        "default_delivery_slot_cost",
        "5",
        """How often mail to few recipients may overtake mail to many: once for so many deliveries of the latter.
        For one service: SERVICE_delivery_slot_cost.""",
        minimum=1,
    )
)
DELIVERY_SLOT_LOAN = family(
    integer(
        "default_delivery_slot_loan",
        "3",
        """How many times mail to few recipients may overtake in advance, before the other mail has had its deliveries.
        For one service: SERVICE_delivery_slot_loan.""",
        maximum=10000,
    )
)
MINIMUM_DELIVERY_SLOTS = family(
    integer(
        "default_minimum_delivery_slots",
        "3",
        """A message counts as mail to many when it has had so many deliveries; until then it may overtake such mail.
        For one service: SERVICE_minimum_delivery_slots.""",
        minimum=1,
    )
)

# --- one destination
INITIAL_DESTINATION_CONCURRENCY = family(
    integer(
        "initial_destination_concurrency",
        "5",
        """Deliveries at once to one destination, to begin with.
        For one service: SERVICE_initial_destination_concurrency.""",
        minimum=1,
    )
)
DESTINATION_CONCURRENCY_LIMIT = family(
    integer(
        "default_destination_concurrency_limit",
        "20",
        """The most deliveries at once to one destination; 0: no limit.
        For one service: SERVICE_destination_concurrency_limit.""",
    ),
    # local and virtual store several messages for the price of one: the window must not be what keeps batches small.
    # Each user of local's has one process, whatever the window.
    {"local": "20", "virtual": "100"},
)
DESTINATION_RECIPIENT_LIMIT = family(
    integer(
        "default_destination_recipient_limit",
        "50",
        """The most recipients in one delivery; 0: no limit.  With 1 each recipient is a destination of its own.
        For one service: SERVICE_destination_recipient_limit.""",
    ),
    {"local": "1"},
)
DESTINATION_CONCURRENCY_FAILED_COHORT_LIMIT = family(
    integer(
        "default_destination_concurrency_failed_cohort_limit",
        "1",
        """After so many whole rounds of failed connections a destination is left alone for a while; 0: never.
        For one service: SERVICE_destination_concurrency_failed_cohort_limit.""",
    )
)
DESTINATION_CONCURRENCY_POSITIVE_FEEDBACK = family(
    declare(
        "default_destination_concurrency_positive_feedback",
        "1",
        """By how much a successful delivery opens the window of its destination: NUMBER, NUMBER/concurrency or
        NUMBER/sqrt_concurrency.  For one service: SERVICE_destination_concurrency_positive_feedback.""",
        "feedback",
        parse_feedback,
    )
)
DESTINATION_CONCURRENCY_NEGATIVE_FEEDBACK = family(
    declare(
        "default_destination_concurrency_negative_feedback",
        "1",
        """By how much a connection that failed closes it, in the same forms.
        For one service: SERVICE_destination_concurrency_negative_feedback.""",
        "feedback",
        parse_feedback,
    )
)
DESTINATION_RATE_DELAY = family(
    seconds(
        "default_destination_rate_delay",
        "0s",
        """A pause between two deliveries to one destination, which are then made one at a time.
        For one service: SERVICE_destination_rate_delay.""",
    )
)
TRANSPORT_RATE_DELAY = family(
    seconds(
        "default_transport_rate_delay",
        "0s",
        """A pause between two deliveries of one transport, which are then made one at a time.
        For one service: SERVICE_transport_rate_delay.""",
    )
)
