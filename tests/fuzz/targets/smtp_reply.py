"""Replies of other servers, as the client reads them."""

from __future__ import annotations

from pillarbox.lib.smtp.client_capabilities import parse_capabilities
from pillarbox.lib.smtp.client_reply import ReplyError, ReplyParser, ServerReply


def _read(data: bytes, step: int) -> tuple[list[ServerReply], bool]:
    parser = ReplyParser()
    found: list[ServerReply] = []
    try:
        for start in range(0, len(data), step):
            found += parser.feed(data[start : start + step])
    except ReplyError:
        return found, True
    return found, False


def fuzz(data: bytes) -> None:
    """Nothing but ReplyError; the same replies however they come, up to the one that is none."""
    whole, broken = _read(data, max(1, len(data)))
    singly, broken_singly = _read(data, 1)
    assert broken == broken_singly
    assert singly[: len(whole)] == whole
    for reply in singly:
        assert 200 <= reply.code < 600 and reply.enhanced[0] == str(reply.code)[0]
        parse_capabilities(reply)
