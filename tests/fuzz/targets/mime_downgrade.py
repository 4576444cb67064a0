"""Re-encoding for servers that take less."""

from __future__ import annotations

from collections.abc import Iterator

from pillarbox.lib.mime.downgrade import Target, Unconvertible, convert, headers_are_ascii


def fuzz(data: bytes) -> None:
    """Bodies become what they are to become, however broken; the result is the same however the message comes."""
    for exact in (False, True):
        content = data if exact else data.replace(b"\r\n", b"\n")
        for target in Target:
            results = []
            for step in (max(1, len(content)), 1):

                def read(step: int = step, content: bytes = content) -> Iterator[bytes]:
                    return (content[at : at + step] for at in range(0, len(content), step))

                try:
                    results.append(b"".join(convert(read, target, exact=exact)))
                except Unconvertible:
                    results.append(b"unconvertible")
            assert results[0] == results[1]
            if target is Target.SEVEN_BIT and headers_are_ascii(lambda content=content: iter((content,))):
                assert results[0].isascii()
