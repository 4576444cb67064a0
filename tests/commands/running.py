"""Running a command in this process, with its output caught."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pillarbox.lib.log import log


@dataclass(frozen=True, slots=True)
class Said:
    """Exit status and what was written."""

    status: int
    out: str = ""
    err: str = ""


class _Bytes(io.TextIOWrapper):
    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data), "utf-8", "surrogateescape", write_through=True)

    def text(self) -> str:
        content = self.buffer
        assert isinstance(content, io.BytesIO)
        return content.getvalue().decode("utf-8", "surrogateescape")


def run(main: Callable[[Sequence[str]], int], *arguments: str | Path, text: str | bytes = "") -> Said:
    """Call `main` with arguments and standard input."""
    patch = pytest.MonkeyPatch()
    out, err = _Bytes(), _Bytes()
    with patch.context() as within, log.capture():
        within.setattr(sys, "stdin", _Bytes(text.encode() if isinstance(text, str) else text))
        within.setattr(sys, "stdout", out)
        within.setattr(sys, "stderr", err)
        status = main([str(argument) for argument in arguments])
    return Said(status, out.text(), err.text())
