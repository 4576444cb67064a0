"""The value that describes one kind of report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of report.

    `opening` is what the reader sees first, `closing` follows the recipients; `{host}` in them is our name.
    `explain`: whether cause and cure are given for each recipient.  `returned`: the name of the last part.
    `with_body`: whether the whole message may come back (only failures, RFC 3461 section 5.2.3 and 6.2).
    `log_name`: how the log calls it.
    """

    name: str
    subject: str
    action: str
    opening: str
    closing: str
    returned: str
    log_name: str
    explain: bool = True
    with_body: bool = False
