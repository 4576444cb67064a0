"""Sets of verbs that rules of the session speak of."""

from __future__ import annotations

from typing import Final

LAST_IN_GROUP: Final = frozenset(("HELO", "EHLO", "LHLO", "XCLIENT", "DATA", "NOOP", "VRFY", "EXPN"))
"""Verbs behind which a client must wait for the reply (RFC 2920 section 3.1), as far as Postfix insists on it.

STARTTLS is not here: what follows it is thrown away (RFC 3207 section 4.2)."""

BEFORE_TLS: Final = frozenset(("HELO", "EHLO", "LHLO", "STARTTLS", "NOOP", "RSET", "HELP", "QUIT"))
"""What is allowed before STARTTLS where TLS is required (RFC 3207 section 4)."""

JUNK: Final = frozenset(("HELO", "EHLO", "LHLO", "NOOP", "RSET", "VRFY", "EXPN", "ETRN", "HELP"))
"""What does no work: beyond smtpd_junk_command_limit each counts as an error."""
