"""Addresses in MAIL and RCPT, and the parameters behind them."""

from __future__ import annotations

import re

from pillarbox.lib.address import AddressSyntaxError, parse_path
from pillarbox.lib.smtp.events import Mail, Rcpt
from pillarbox.lib.smtp.grammar import parse_mail, parse_rcpt
from pillarbox.lib.smtp.reply import Reply

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def fuzz(data: bytes) -> None:
    """What is accepted can be written and read again, and holds no control characters."""
    text = data.decode("utf-8", "replace")
    try:
        address = parse_path(text, allow_null=True, allow_bare=True)
    except AddressSyntaxError:
        pass
    else:
        again = str(address)
        assert not _CONTROL.search(again)
        assert parse_path(f"<{again}>", allow_null=True, allow_bare=True) == address
    for strict in (False, True):
        mail = parse_mail(f"FROM:{text}", strict=strict)
        assert isinstance(mail, (Mail, Reply))
        if isinstance(mail, Mail):
            for value in (mail.sender, mail.envid, mail.auth or ""):
                assert not any(character in value for character in "\r\n\0")
        rcpt = parse_rcpt(f"TO:{text}", smtputf8=True, strict=strict)
        assert isinstance(rcpt, (Rcpt, Reply))
        if isinstance(rcpt, Rcpt):
            assert rcpt.recipient and not any(character in rcpt.recipient + rcpt.orcpt for character in "\r\n\0")
