"""The division of a message into header fields and body lines that content checks see."""

from __future__ import annotations

from pillarbox.lib.mime.sections import Body, Field, SectionLimits, Sections

_LIMITS = SectionLimits(header_size=200, line_length=40, nesting=5, boundary_length=20)


def _bytes(data: bytes, step: int) -> tuple[bytes, bytes]:
    """All content as it comes out, and the fields alone."""
    sections = Sections(_LIMITS)
    content, fields = b"", b""
    events = []
    for start in range(0, len(data), step):
        events += sections.feed(data[start : start + step])
    events += sections.finish()
    for event in events:
        if isinstance(event, Body):
            content += event.data
        elif isinstance(event, Field):
            content += event.raw
            fields += event.raw
    return content, fields


def _places(data: bytes) -> None:
    sections = Sections(_LIMITS)
    done = 0
    for event in [*sections.feed(data), *sections.finish()]:
        if isinstance(event, Field):
            assert event.start == done
            done = min(event.end, len(data))
        elif isinstance(event, Body) and event.start >= 0:
            assert data[done : done + len(event.data)] == event.data and event.start == done
            done += len(event.data)
    assert done == len(data)


def fuzz(data: bytes) -> None:
    """However it is cut the same fields and the same content, which know where they stand; nothing is added."""
    data = b"\n" + data
    whole = _bytes(data, len(data))
    assert _bytes(data, 1) == whole
    assert len(whole[0]) <= len(data) + 2
    _places(data)
