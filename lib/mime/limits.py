"""How much structure is read out of a message.  What goes beyond is shown as plain content, never refused."""

from __future__ import annotations

from typing import Final

NESTING_LIMIT: Final = 100
"""Depth of parts.  Real mail stays below 20; a hostile one could make the tree as deep as the message is long."""

PART_LIMIT: Final = 10_000
"""Parts of one message; a message of empty parts would otherwise cost a hundred times its size in memory."""

HEADER_LIMIT: Final = 256 * 1024
"""Octets of one part's header in which fields are looked for."""

LINE_LIMIT: Final = 1024
"""Octets of a line that may be a delimiter: a boundary has at most 70 (RFC 2046 section 5.1.1), padding may follow."""

PARAMETER_LIMIT: Final = 64
"""Parameters of one Content-Type or Content-Disposition field."""

ADDRESS_LIMIT: Final = 10_000
"""Addresses of one header field that ENVELOPE shows."""
