"""The parameters of one transport."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.config import Config
from pillarbox.lib.config.parameters.qmgr import (
    DELIVERY_SLOT_COST,
    DELIVERY_SLOT_LOAN,
    DESTINATION_RATE_DELAY,
    DESTINATION_RECIPIENT_LIMIT,
    MINIMAL_BACKOFF_TIME,
    MINIMUM_DELIVERY_SLOTS,
    TRANSPORT_RATE_DELAY,
    TRANSPORT_RETRY_TIME,
)
from pillarbox.lib.config.parameters.sites import DESTINATION_SITES
from pillarbox.qmgr.batches import batch_limit
from pillarbox.qmgr.window import WindowRules


@dataclass(frozen=True, slots=True)
class TransportRules:
    """What the configuration says of one transport, looked up once."""

    windows: WindowRules
    order: tuple[int, int]
    fresh_until: int
    recipient_limit: int
    batch: int
    rate_delay: float
    transport_rate_delay: float
    sites: bool
    dead_pause: float
    retry_time: float

    @classmethod
    def of(cls, config: Config, name: str) -> TransportRules:
        """What the configuration says of the transport `name`."""
        recipient_limit = config.of_service(DESTINATION_RECIPIENT_LIMIT, name)
        return cls(
            WindowRules.of(config, name),
            (config.of_service(DELIVERY_SLOT_COST, name), config.of_service(DELIVERY_SLOT_LOAN, name)),
            config.of_service(MINIMUM_DELIVERY_SLOTS, name),
            recipient_limit,
            batch_limit(recipient_limit),
            config.of_service(DESTINATION_RATE_DELAY, name),
            config.of_service(TRANSPORT_RATE_DELAY, name),
            config.of_service(DESTINATION_SITES, name),
            config[MINIMAL_BACKOFF_TIME],
            config[TRANSPORT_RETRY_TIME],
        )
