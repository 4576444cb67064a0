"""Typed clients, one module per service; each gives a blocking class and, where needed, an asyncio one.

Every client raises `ServiceUnavailable` when its service cannot be asked; the caller then defers.
"""

from pillarbox.lib.clients.errors import ServiceUnavailable

__all__ = ["ServiceUnavailable"]
