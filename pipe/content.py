"""The bytes that a pipe command reads: the message with the changes that the service's flags ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pillarbox.lib.store.mbox.quoting import FromQuoter
from pillarbox.pipe.command import PipeCommand


class DotStuffer:
    """Puts a dot before lines of a stream that begin with one (the flag `.`)."""

    def __init__(self) -> None:
        self._at_line_start = True

    def feed(self, data: bytes) -> bytes:
        """The next piece."""
        if not data:
            return b""
        stuffed = data.replace(b"\n.", b"\n..")
        if self._at_line_start and data.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = data.endswith(b"\n")
        return stuffed


def pipe_content(content: Iterable[bytes], command: PipeCommand, prefix: bytes) -> Iterator[bytes]:
    """The stream: `prefix`, the message, an empty line where `B` asks for it, with the service's line ends."""
    flags, eol = command.flags, command.eol
    quoter = FromQuoter() if ">" in flags else None
    stuffer = DotStuffer() if "." in flags else None
    last = b"\n"

    def finish(data: bytes) -> bytes:
        nonlocal last
        if data:
            last = data[-1:]
        if stuffer is not None:
            data = stuffer.feed(data)
        return data if eol == b"\n" else data.replace(b"\n", eol)

    if prefix:
        yield prefix if eol == b"\n" else prefix.replace(b"\n", eol)
    for piece in content:
        data = quoter.feed(piece) if quoter is not None else piece
        if data:
            yield finish(data)
    if quoter is not None and (rest := quoter.finish()):
        yield finish(rest)
    if last != b"\n":
        yield eol
    if "B" in flags:
        yield eol
