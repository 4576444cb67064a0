"""The value that describes one kind of report."""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.message.dsn.template import Template


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of report.

    `template` names the words that administrators may replace, `built_in` are ours.  A kind `for_postmaster` has the
    template's other subject and always our own words.  `closing` follows the recipients.
    `explain`: whether cause and cure are given, `cure`: whether the latter makes sense.  `returned`: the name of the
    last part.  `with_body`: whether the whole message may come back (only failures, RFC 3461 section 5.2.3 and 6.2).
    `log_name`: how the log calls it.
    """

    name: str
    template: str
    built_in: Template
    action: str
    closing: str
    returned: str
    log_name: str
    explain: bool = True
    cure: bool = True
    with_body: bool = False
    for_postmaster: bool = False
