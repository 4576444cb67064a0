"""What the SMTP protocol core costs: `python -m bench.smtp_core` prints microseconds per session and per megabyte.

A session is HELO, MAIL, RCPT, DATA with 4 kB, QUIT, each in its own piece as a simple client sends them, with a driver
that accepts everything; no sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.content import DataDecoder
from pillarbox.lib.smtp.events import Data, End, Hello, Mail, Rcpt
from pillarbox.lib.smtp.profile import Profile
from pillarbox.lib.smtp.server import ServerSession

ROUNDS = 5000
MEGABYTE = (b"0123456789abcdef" * 4 + b"\r\n") * 15_888
PIECES = (
    b"HELO client.example\r\n",
    b"MAIL FROM:<sender@client.example>\r\n",
    b"RCPT TO:<user@mx.example>\r\n",
    b"DATA\r\n",
    b"Subject: x\r\n\r\n" + (b"X" * 62 + b"\r\n") * 63 + b".\r\n",
    b"QUIT\r\n",
)


def session(profile: Profile) -> None:
    """One session."""
    core = ServerSession(profile)
    core.greet()
    core.take_output()
    for piece in PIECES:
        core.feed(piece)
        while (event := core.next_event()) is not None:
            kind = type(event)
            if kind is Hello:
                core.answer_hello()
            elif kind is Mail:
                core.answer(replies.SENDER_OK)
            elif kind is Rcpt:
                core.answer(replies.RECIPIENT_OK)
            elif kind is Data:
                core.answer(replies.START_DATA)
            elif kind is End:
                core.answer(replies.queued("4jXFYl6dnjzKD6m"))
        core.take_output()
    core.summary()


def main() -> None:
    """Measure and print."""
    profile = Profile("mx.example", "mx.example ESMTP Pillarbox")
    best = min(_timed(lambda: [session(profile) for _ in range(ROUNDS)]) for _ in range(3)) / ROUNDS
    print(f"session: {best * 1e6:.0f} us")
    for size in (4096, 65536):
        pieces = [MEGABYTE[i : i + size] for i in range(0, len(MEGABYTE), size)]
        best = min(_timed(partial(_decode, pieces)) for _ in range(5))
        print(f"1 MB of content in pieces of {size}: {best * 1e6:.0f} us")


def _decode(pieces: list[bytes]) -> None:
    decoder = DataDecoder()
    for piece in pieces:
        decoder.feed(piece)


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
