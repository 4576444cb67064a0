"""What all requests to lookup have in common: keys of a sensible length, replies that are dictionaries."""

from __future__ import annotations

from typing import TypeAlias

from pillarbox.lib.ipc import Attributes, ProtocolError

KEY_LIMIT = 4096
"""Longest key, in characters: several times the longest address."""

Reply: TypeAlias = "dict[str, object]"


def request_key(request: Attributes, name: str, default: str | None = None) -> str:
    """A key in a request.  Raises ProtocolError."""
    text = request.text(name, default)
    if len(text) > KEY_LIMIT:
        raise ProtocolError(f'attribute "{name}" is longer than {KEY_LIMIT} characters')
    return text
