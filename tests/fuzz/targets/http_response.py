"""What an authorization server answers: HTTP, and the JSON in it."""

from __future__ import annotations

from pillarbox.lib.http import BadResponse, ResponseReader
from pillarbox.oauth.introspection import Rules, Unusable, judge


def _read(data: bytes, step: int) -> tuple[int, bytes, bool, bool]:
    reader = ResponseReader()
    try:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])
        reader.end()
    except BadResponse:
        return 0, b"", False, True
    return reader.status, reader.body, reader.done, False


def fuzz(data: bytes) -> None:
    """Nothing but BadResponse and Unusable; the same response however it comes."""
    status, body, _, broken = whole = _read(data, max(1, len(data)))
    if not broken:
        assert _read(data, 1) == whole
    for answer in (body, data):
        try:
            verdict, until = judge(status or 200, answer, Rules(), 1_795_319_643.0)
        except Unusable:
            continue
        assert verdict.username.isprintable() and until > 0
