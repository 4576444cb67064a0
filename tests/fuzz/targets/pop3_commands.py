"""POP3 before login."""

from __future__ import annotations

from pillarbox.pop3d.protocol.authorization import Authorization


def _said(data: bytes, step: int) -> list[str]:
    client = Authorization(tls_available=True, tls_active=True, mechanisms=lambda active: ("PLAIN",), error_limit=5)
    actions = []
    for start in range(0, len(data), step):
        client.feed(data[start : start + step])
        while (action := client.next_action()) is not None:
            actions.append(repr(action))
    return actions


def fuzz(data: bytes) -> None:
    """The same actions however the lines come."""
    assert _said(data, 1) == _said(data, max(1, len(data)))
