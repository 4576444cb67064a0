"""An event loop with the costs taken out that asyncio has as shipped.

uvloop is used where it is installed.  The standard loop allocates 256 KiB for every read from a socket, and keeps as
much for every TLS connection; with 32 KiB a request costs 13 us instead of 29, with 16 KiB an idle TLS connection 38 kB
instead of 278.  Both figures are attributes of classes that are not public, so their absence is not an error.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
from typing import Any

from pillarbox.lib.system.confinement import runtime_paths
from pillarbox.lib.tls import native

READ_SIZE = 32 * 1024
"""Bytes asked for in one read: larger than most messages, small enough to come from the allocator's free lists."""

TLS_READ_SIZE = 16 * 1024
"""The same under TLS, where each connection keeps a buffer of this size: one TLS record (RFC 8446 section 5.1)."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop for this process; call it after the fork only."""
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        pass
    else:
        loop = uvloop.new_event_loop()
        assert isinstance(loop, asyncio.AbstractEventLoop)
        return loop
    tune_asyncio()
    return asyncio.new_event_loop()


def tune_asyncio() -> None:
    """Make the standard loop's buffers small; harmless where its classes have changed."""
    for module_name, class_name, size in (
        ("selector_events", "_SelectorTransport", READ_SIZE),
        ("sslproto", "SSLProtocol", TLS_READ_SIZE),
    ):
        module = importlib.import_module(f"asyncio.{module_name}")
        kind = getattr(module, class_name, None)
        if kind is not None and hasattr(kind, "max_size"):
            kind.max_size = size


_LATE_IMPORTS = (
    "asyncio.selector_events",
    "asyncio.sslproto",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8",
    "_strptime",
    "pillarbox.lib.store.maildir.store",
    "pillarbox.lib.store.mbox.store",
)


def preload() -> None:
    """Import and compute, before the fork, what workers would else do late.

    All workers then share it; and a worker's own user may not be able to read the interpreter's files any more.
    """
    for name in _LATE_IMPORTS:
        importlib.import_module(name)
    runtime_paths()
    # Makes the TLS library load its tables once for all; nothing of a session, no key and no random state is in it.
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    native.library()
    try:
        importlib.import_module("uvloop")
    except ImportError:
        pass
