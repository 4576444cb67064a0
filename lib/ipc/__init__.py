"""How programs talk: framed attributes over UNIX stream sockets, descriptors beside them, content streamed after them.

A frame is a 4-byte big-endian length and that many bytes of JSON, one object; its members are the attributes.
JSON because the interpreter's C code reads and writes it in a few microseconds, because its types are checked on
arrival, and because a frame seen in a trace can be read.  Bytes that are not UTF-8 survive as surrogates.
Open files travel as SCM_RIGHTS with the first byte of their frame.  After a frame, content may follow in chunks: a
4-byte length and bytes; length 0 ends the content, ABORT withdraws it.

What needs asyncio is imported when it is first named: a command that asks one question starts faster by a third.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pillarbox.lib.ipc.blocking import Channel, close_all
from pillarbox.lib.ipc.frames import (
    CHUNK_LIMIT,
    FRAME_LIMIT,
    Attributes,
    ChannelClosed,
    ContentAborted,
    FrameReader,
    ProtocolError,
    encode_chunk,
    encode_frame,
)

if TYPE_CHECKING:
    from pillarbox.lib.ipc.aio import AsyncChannel
    from pillarbox.lib.ipc.outbox import Outbox
    from pillarbox.lib.ipc.tagged import serve_tagged

__all__ = [
    "CHUNK_LIMIT",
    "FRAME_LIMIT",
    "AsyncChannel",
    "Attributes",
    "Channel",
    "ChannelClosed",
    "ContentAborted",
    "FrameReader",
    "Outbox",
    "ProtocolError",
    "close_all",
    "encode_chunk",
    "encode_frame",
    "serve_tagged",
]

_LATER = {"AsyncChannel": "aio", "Outbox": "outbox", "serve_tagged": "tagged"}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return found
