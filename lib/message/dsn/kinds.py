"""All kinds of report, by name."""

from __future__ import annotations

from pillarbox.lib.message.dsn.delay import DELAY
from pillarbox.lib.message.dsn.failure import FAILURE
from pillarbox.lib.message.dsn.kind import Kind
from pillarbox.lib.message.dsn.late import LATE
from pillarbox.lib.message.dsn.postmaster import POSTMASTER
from pillarbox.lib.message.dsn.success import SUCCESS

KINDS: dict[str, Kind] = {kind.name: kind for kind in (FAILURE, DELAY, LATE, SUCCESS, POSTMASTER)}

__all__ = ["DELAY", "FAILURE", "KINDS", "LATE", "POSTMASTER", "SUCCESS", "Kind"]
