"""The mail that is measured on: seeded, so that both servers and every run have the same.

People's mailboxes: half plain text, a third with an HTML alternative, the rest with an attachment; sizes are
log-normal with a mean of some 20 kB.  The large mailbox has small ones, because 100,000 files are enough work as it is.
"""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Iterator
from pathlib import Path

RARE = "zyxwvutsrareword"
"""It stands in the body of one message."""

_LETTERS = "aabcdeefghiijklmnnooprrsstuvwy"
_EPOCH = 1700000000


class Corpus:
    """Messages one after the other."""

    def __init__(self, seed: int = 5) -> None:
        self._random = random.Random(seed)
        self._words = ["".join(self._random.choices(_LETTERS, k=self._random.randint(3, 9))) for _ in range(4000)]

    def _text(self, size: int) -> str:
        lines, got = [], 0
        while got < size:
            line = " ".join(self._random.choices(self._words, k=10))
            lines.append(line)
            got += len(line) + 1
        return "\n".join(lines)

    def message(self, number: int, size: int, extra: str = "") -> bytes:
        """One with LF line ends and a body of about `size` octets."""
        chance = self._random
        day = f"Mon, {1 + number % 28} Nov 2025 10:{number % 60:02}:00 +0000"
        subject = " ".join(chance.choices(self._words, k=6))
        trace = "".join(
            f"Received: from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{hop}])\n"
            f"\tby mail{hop}.example.com (Pillarbox) with ESMTPS id {number:x}{hop}\n\tfor <bob@example.org>; {day}\n"
            for hop in range(3)
        )
        header = (
            f"Return-Path: <s{number}@example.com>\n{trace}From: {chance.choice(self._words).title()} Writer "
            f'<s{number}@example.com>\nTo: <bob@example.org>, "Yonder, Y" <{chance.choice(self._words)}@example.net>\n'
            f"Subject: {subject}\nDate: {day}\nMessage-ID: <{number}.a@example.com>\n"
            f"References: <{max(0, number - 7)}.a@example.com>\nMIME-Version: 1.0\n"
        )
        text = self._text(size) + extra
        kind = chance.random()
        plain = "Content-Type: text/plain; charset=utf-8\n"
        if kind < 0.5:
            return f"{header}{plain}\n{text}\n".encode()
        half = len(text) // 2
        if kind < 0.8:
            content = (
                f"Content-Type: multipart/alternative; boundary=b1\n\n--b1\n{plain}\n{text[half:]}\n"
                f"--b1\nContent-Type: text/html; charset=utf-8\n\n<p>{text[:half]}\n--b1--\n"
            )
        else:
            coded = base64.encodebytes(text[:half].encode()).decode()
            content = (
                f"Content-Type: multipart/mixed; boundary=b1\n\n--b1\n{plain}\n{text[half:]}\n"
                "--b1\nContent-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: base64\n"
                f"Content-Disposition: attachment; filename=a.bin\n\n{coded}--b1--\n"
            )
        return (header + content).encode()

    def realistic(self, count: int) -> Iterator[bytes]:
        """People's mail."""
        for number in range(count):
            size = int(min(300_000, self._random.lognormvariate(9.3, 1.2)))
            yield self.message(number, size, f"\n{RARE} here\n" if number == count // 2 else "")

    def small(self, count: int) -> Iterator[bytes]:
        """Short ones."""
        for number in range(count):
            yield self.message(number, 300)


def fill(box: Path, messages: Iterator[bytes], owner: tuple[int, int]) -> None:
    """A Maildir that a server has been delivering to; a third of the messages are unseen."""
    for place in ("", "tmp", "new", "cur"):
        (box / place).mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(box / place, *owner)
    for number, message in enumerate(messages):
        flags = "S" if number % 3 else ""
        wire = len(message) + message.count(b"\n")
        name = f"{_EPOCH + number}.M{number}P1.host,S={len(message)},W={wire}:2,{flags}"
        file = os.open(box / "cur" / name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(file, message)
        os.fchown(file, *owner)
        os.close(file)
