"""Delivery status notifications (RFC 3461, 3464, 6522, 6533): what the sender gets to read and his programs to parse.

`report.compose` writes any of them as a stream; each kind of report is a small module that says its words.
"""

from pillarbox.lib.message.dsn.kinds import DELAY, FAILURE, KINDS, LATE, POSTMASTER, SUCCESS, Kind
from pillarbox.lib.message.dsn.report import Original, Report, ReportedRecipient, compose

__all__ = [
    "DELAY",
    "FAILURE",
    "KINDS",
    "LATE",
    "POSTMASTER",
    "SUCCESS",
    "Kind",
    "Original",
    "Report",
    "ReportedRecipient",
    "compose",
]
