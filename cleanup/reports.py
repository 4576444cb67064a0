"""The log lines of what was decided about a message, as Postfix's cleanup writes them.

ID: reject: header Subject: x from host[addr]; from=<s> to=<r> proto=ESMTP helo=<h>: 5.7.1 text
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope

if TYPE_CHECKING:
    from pillarbox.cleanup.message import NewMessage

CONTENT_LIMIT = 200
"""Characters of the content that a line shows."""

LOCAL = frozenset(("pickup", "local", "gateway"))
"""Origins of mail that was handed in on this machine."""


def origin(envelope: Envelope) -> str:
    """Where a message came from: NAME[ADDRESS], or `local`."""
    if envelope.client_address:
        return f"{envelope.client_name or 'unknown'}[{envelope.client_address}]"
    return "local" if envelope.origin in LOCAL else "unknown"


def parties(envelope: Envelope) -> str:
    """`from=<sender> to=<first recipient>`."""
    words = [f"from=<{envelope.sender}>"]
    if envelope.recipients:
        first = envelope.recipients[0]
        words.append(f"to=<{first.original or first.address}>")
    return " ".join(words)


def circumstances(envelope: Envelope) -> str:
    """The same with `proto=ESMTP helo=<name>`, as far as they are known."""
    words = [parties(envelope)]
    if envelope.protocol:
        words.append(f"proto={envelope.protocol}")
    if envelope.client_helo:
        words.append(f"helo=<{envelope.client_helo}>")
    return " ".join(words)


def report(message: NewMessage, action: str, context: str, content: str, text: str) -> None:
    """Write one line; `context` is header, body, content or message."""
    envelope = message.envelope
    what = f"{context} {content[:CONTENT_LIMIT]}" if content else context
    line = f"{message.queue_id}: {action}: {what} from {origin(envelope)}; {circumstances(envelope)}"
    log.info(f"{line}: {text}" if text else line)
