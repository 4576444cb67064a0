"""ManageSieve: what a client sends, before login and after."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pillarbox.lib.sieve_box.storage import Listed, StorageError
from pillarbox.managesieved.protocol.management import Management
from pillarbox.managesieved.protocol.reader import LINE_LIMIT, LineReader

_LITERALS = 200
_TOKEN = re.compile(rb'"(?:[^"\\\r\n\0]|\\["\\])*"| |\(|\)|[A-Z/-]+|\r\n')
_LITERAL = re.compile(rb"\{(\d+)\}\r\n")


class _Box:
    """Scripts that are all right, in memory."""

    def __init__(self) -> None:
        self._scripts: dict[str, bytes] = {}
        self._active = ""

    def scripts(self) -> Sequence[Listed]:
        return [Listed(name, name == self._active) for name in self._scripts]

    def get(self, name: str) -> bytes:
        if name not in self._scripts:
            raise StorageError(f'"{name}"', "NONEXISTENT")
        return self._scripts[name]

    def check(self, name: str, data: bytes) -> tuple[str, ...]:
        return (data.decode("utf-8", "replace"),) if data else ()

    def have_space(self, name: str, size: int) -> None:
        if size > _LITERALS:
            raise StorageError("too large", "QUOTA/MAXSIZE")

    def put(self, name: str, data: bytes) -> tuple[str, ...]:
        self._scripts[name] = data
        return self.check(name, data)

    def activate(self, name: str) -> tuple[str, ...]:
        self._active = name
        return ()

    def delete(self, name: str) -> None:
        self.get(name)
        del self._scripts[name]

    def rename(self, old: str, new: str) -> None:
        self._scripts[new] = self.get(old)


def _said(data: bytes, step: int) -> list[bytes]:
    reader, management = LineReader(_LITERALS), Management(_Box(), b"", 20)
    answers = []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while not management.over and (event := reader.next_event()) is not None:
            answers.append(management.answer(event))
        assert management.over or len(reader._buffer) <= LINE_LIMIT + step
    return answers


def fuzz(data: bytes) -> None:
    """The same answers however the lines come; each is made of whole lines and literals, and ends with a status."""
    answers = _said(data, 1)
    assert answers == _said(data, max(1, len(data)))
    for answer in answers:
        position = 0
        while position < len(answer):
            found = _LITERAL.match(answer, position) or _TOKEN.match(answer, position)
            assert found, answer
            position = found.end() + (int(found[1]) if found.re is _LITERAL else 0)
        assert position == len(answer) and answer.endswith(b"\r\n")
