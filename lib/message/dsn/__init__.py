"""Delivery status notifications (RFC 3461, 3464, 6522, 6533): what the sender gets to read and his programs to parse.

`report.compose` writes any of them as a stream; each kind of report is a small module that says its words, `wording`
is the part for people, `explanation` finds cause and cure.
"""

from pillarbox.lib.message.dsn.kinds import (
    BOUNCE_COPY,
    BUILT_IN,
    DELAY,
    DELAY_COPY,
    FAILURE,
    KINDS,
    LATE,
    POSTMASTER,
    SUCCESS,
    VERIFY,
    Kind,
)
from pillarbox.lib.message.dsn.report import Original, Report, ReportedRecipient, compose
from pillarbox.lib.message.dsn.template import Template

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
    "Original",
    "Report",
    "ReportedRecipient",
    "Template",
    "compose",
]
