"""Parameters of the counting service."""

from __future__ import annotations

from pillarbox.lib.config.parameter import seconds

ANVIL_RATE_TIME_UNIT = seconds("anvil_rate_time_unit", "60s", "The time over which rates are counted.")
ANVIL_STATUS_UPDATE_TIME = seconds("anvil_status_update_time", "600s", "How often the greatest counts are logged.")
