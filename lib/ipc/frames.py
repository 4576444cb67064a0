"""The codec of frames and chunks; no sockets in here."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

FRAME_LIMIT: Final = 256 * 1024
"""Largest frame, in bytes: 1,000 recipients with long addresses fit, a runaway peer does not fill memory."""

CHUNK_LIMIT: Final = 256 * 1024
"""Largest content chunk, in bytes."""

ABORT: Final = 0xFFFFFFFF
END_OF_CONTENT: Final = b"\x00\x00\x00\x00"
ABORT_CONTENT: Final = b"\xff\xff\xff\xff"

_LENGTH = struct.Struct(">I")


def _encoder() -> Callable[[Mapping[str, object]], str]:
    """JSON text of a frame.

    The library builds an encoder in C for each call; this builds one.  The name is not public: where it has gone, or
    wants something else, the public way is used.
    """
    public = json.JSONEncoder(separators=(",", ":"), check_circular=False)
    try:
        make: Any = vars(json.encoder)["c_make_encoder"]
        texts = json.encoder.encode_basestring_ascii
        pieces = make(None, public.default, texts, None, ":", ",", False, False, True)
        if "".join(pieces({"a": [1, 2.5, True, None, "\u00e9"]}, 0)) == '{"a":[1,2.5,true,null,"\\u00e9"]}':
            return lambda members: "".join(pieces(members, 0))
    except (KeyError, TypeError, AttributeError):
        pass
    return public.encode


_encode = _encoder()
_decode = json.JSONDecoder().decode
_decode_from = json.JSONDecoder().raw_decode


class ProtocolError(Exception):
    """The peer sent what the protocol does not allow."""


class ChannelClosed(Exception):
    """The peer is gone: the connection ended, broke or timed out."""


class ContentAborted(Exception):
    """The sender withdrew the content that it was streaming."""


class Attributes(dict[str, object]):
    """The members of one frame, read with the type that the reader expects.

    Each getter raises ProtocolError where the attribute is missing (and no default is given) or of another type.
    `fds` holds the descriptors that came with the frame; the receiver owns and closes them.
    """

    __slots__ = ("fds",)

    def __init__(self, members: Mapping[str, object] = {}, fds: list[int] | None = None) -> None:
        super().__init__(members)
        self.fds: list[int] = fds if fds is not None else []

    def _typed(self, name: str, kind: type, default: object) -> object:
        value = self.get(name, default)
        if type(value) is not kind:
            problem = "is missing" if value is None else f"is not of type {kind.__name__}"
            raise ProtocolError(f'attribute "{name}" {problem}')
        return value

    # The getters that each message needs by the dozen look themselves before they ask what is wrong.
    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        value = self.get(name, default)
        return value if type(value) is str else self._typed(name, str, default)  # type: ignore[return-value]

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        value = self.get(name, default)
        return value if type(value) is int else self._typed(name, int, default)  # type: ignore[return-value]

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self.get(name, default)
        return value if type(value) is bool else self._typed(name, bool, default)  # type: ignore[return-value]

    def number(self, name: str, default: float | None = None) -> float:
        """A number, whole or not."""
        value = self.get(name, default)
        if type(value) is int:
            return float(value)
        return self._typed(name, float, default)  # type: ignore[return-value]

    def items(self, name: str | None = None, default: list[object] | None = None) -> list[object]:  # type: ignore[override]
        """A list."""
        if name is None:
            return list(super().items())
        return self._typed(name, list, default)  # type: ignore[return-value]

    def texts(self, name: str, default: list[str] | None = None) -> tuple[str, ...]:
        """A list of texts."""
        value = self._typed(name, list, default)
        assert isinstance(value, list)
        if not value:
            return ()
        if not all(type(item) is str for item in value):
            raise ProtocolError(f'attribute "{name}" is not a list of texts')
        return tuple(value)

    def attributes(self, name: str) -> Attributes:
        """A nested group of attributes."""
        return Attributes(self._typed(name, dict, None))  # type: ignore[arg-type]

    def groups(self, name: str) -> list[Attributes]:
        """A list of nested groups of attributes."""
        value = self._typed(name, list, None)
        assert isinstance(value, list)
        if not all(type(item) is dict for item in value):
            raise ProtocolError(f'attribute "{name}" is not a list of groups')
        return [Attributes(item) for item in value]


def encode_frame(members: Mapping[str, object]) -> bytes:
    """One frame.  Raises ProtocolError where it would be larger than FRAME_LIMIT."""
    payload = _encode(members).encode("ascii")
    if len(payload) > FRAME_LIMIT:
        raise ProtocolError(f"a frame of {len(payload)} bytes is larger than {FRAME_LIMIT}")
    return _LENGTH.pack(len(payload)) + payload


def decode_payload(payload: bytes) -> Attributes:
    """The attributes of one frame's payload.  Raises ProtocolError where it is not one JSON object."""
    try:
        text = payload.decode("utf-8")
        if text[:1] == "{":
            members, end = _decode_from(text)
            if end != len(text):
                members = _decode(text)  # space, or what does not belong there
        else:
            members = _decode(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame is not JSON: {type(error).__name__}") from None
    if type(members) is not dict:
        raise ProtocolError("a frame is not a JSON object")
    return Attributes(members)


def encode_chunk(content: bytes) -> bytes:
    """Content as one or more chunks; without the end mark."""
    if len(content) <= CHUNK_LIMIT:
        return _LENGTH.pack(len(content)) + content if content else b""
    pieces = (content[start : start + CHUNK_LIMIT] for start in range(0, len(content), CHUNK_LIMIT))
    return b"".join(_LENGTH.pack(len(piece)) + piece for piece in pieces)


class FrameReader:
    """Bytes in, frames and chunks out.  The caller knows from the protocol which of the two comes next."""

    __slots__ = ("_buffer", "_start")

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0

    def feed(self, data: bytes) -> None:
        """Take bytes that arrived."""
        self._buffer = self._buffer[self._start :] + data if self._start < len(self._buffer) else data
        self._start = 0

    @property
    def pending(self) -> int:
        """How many bytes were fed and not yet taken out."""
        return len(self._buffer) - self._start

    def _block(self, limit: int, what: str) -> tuple[int, bytes] | None:
        start = self._start
        if len(self._buffer) - start < 4:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, start)
        if length == ABORT and what == "chunk":
            self._start = start + 4
            return ABORT, b""
        if length > limit:
            raise ProtocolError(f"a {what} of {length} bytes is larger than {limit}")
        end = start + 4 + length
        if len(self._buffer) < end:
            return None
        self._start = end
        return length, self._buffer[start + 4 : end]

    def frame(self) -> Attributes | None:
        """The next frame, or None until all of it has been fed.  Raises ProtocolError."""
        block = self._block(FRAME_LIMIT, "frame")
        return None if block is None else decode_payload(block[1])

    def chunk(self) -> bytes | None:
        """The next chunk, b"" at the end of the content, None until all of it has been fed.

        Raises ContentAborted where the sender withdrew the content, ProtocolError for an oversized chunk.
        """
        block = self._block(CHUNK_LIMIT, "chunk")
        if block is None:
            return None
        if block[0] == ABORT:
            raise ContentAborted
        return block[1]
