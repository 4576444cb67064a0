"""All kinds of report, by name."""

from __future__ import annotations

from pillarbox.lib.message.dsn.delay import DELAY
from pillarbox.lib.message.dsn.failure import FAILURE
from pillarbox.lib.message.dsn.kind import Kind
from pillarbox.lib.message.dsn.late import LATE
from pillarbox.lib.message.dsn.postmaster import BOUNCE_COPY, DELAY_COPY, POSTMASTER
from pillarbox.lib.message.dsn.success import SUCCESS
from pillarbox.lib.message.dsn.template import Template
from pillarbox.lib.message.dsn.verify import VERIFY

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (FAILURE, DELAY, LATE, SUCCESS, VERIFY, POSTMASTER, BOUNCE_COPY, DELAY_COPY)
}

BUILT_IN: dict[str, Template] = {kind.template: kind.built_in for kind in (FAILURE, DELAY, SUCCESS, VERIFY, LATE)}
"""The templates that hold where the administrator has written none, in the order in which they are shown."""

__all__ = [
    "BOUNCE_COPY",
    "BUILT_IN",
    "DELAY",
    "DELAY_COPY",
    "FAILURE",
    "KINDS",
    "LATE",
    "POSTMASTER",
    "SUCCESS",
    "VERIFY",
    "Kind",
]
