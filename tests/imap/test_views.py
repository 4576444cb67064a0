"""Two clients on one mailbox: what each has been told is always what the server means by its numbers.

Each client keeps the list that the protocol allows it to keep (RFC 9051 section 5.2 and 7.5): EXISTS adds unknown
messages, EXPUNGE removes and renumbers, FETCH tells UID and flags.  Whatever the two do, in whatever order, a number
must name the same message for both sides.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.imap.dialogue import MESSAGE, Client, location, run

_FETCH = re.compile(rb"\* (\d+) FETCH \((?:UID (\d+) ?)?(?:FLAGS \(([^)]*)\))?\)")


class View:
    """A client that believes what it is told."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.uids: list[int | None] = []
        self.flags: dict[int, bytes] = {}

    async def do(self, command: str, literal: bytes | None = None, *, expunges: bool = True) -> bytes:
        lines = await self.client.command(command, literal)
        for line in lines[:-1]:
            self._take(line, command, expunges)
        return lines[-1]

    def _take(self, line: bytes, command: str, expunges: bool) -> None:
        words = line.split()
        if words[-1] == b"EXISTS":
            count = int(words[1])
            assert count >= len(self.uids), f"EXISTS cannot take messages away (after {command})"
            self.uids += [None] * (count - len(self.uids))
        elif words[2:] == [b"EXPUNGE"]:
            assert expunges, f"EXPUNGE during {command}"
            del self.uids[int(words[1]) - 1]
        elif found := _FETCH.fullmatch(line):
            index, uid = int(found[1]) - 1, found[2]
            assert index < len(self.uids), f"FETCH of an unknown number (after {command})"
            if uid is not None:
                known = self.uids[index]
                assert known in (None, int(uid)), f"number {index + 1} was {known}, is {int(uid)} (after {command})"
                self.uids[index] = int(uid)

    async def check(self) -> None:
        """All that it knows is true, and the numbers are complete and ascending."""
        if self.uids:
            assert (await self.do("FETCH 1:* UID", expunges=False)).startswith((b"OK", b"NO"))
        known = [uid for uid in self.uids if uid is not None]
        assert known == sorted(set(known))


_NAMES = ["delete", "delete", "expunge", "append", "uid expunge", "move", "noop", "fetch", "store", "search", "uid"]
_OPERATIONS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(_NAMES), st.integers(1, 6)), min_size=12, max_size=30
)
_AT_FIRST = 6  # messages, so that there is something to remove


async def step(view: View, operation: str, number: int) -> None:
    number = min(number, len(view.uids)) or 1
    match operation:
        case "append":
            assert (await view.do("APPEND INBOX", MESSAGE)).startswith(b"OK")
        case "delete":
            await view.do(f"STORE {number} +FLAGS.SILENT (\\Deleted)", expunges=False)
        case "expunge":
            assert (await view.do("EXPUNGE")).startswith(b"OK")
        case "uid expunge":
            assert (await view.do(f"UID EXPUNGE {number}:*")).startswith(b"OK")
        case "move":
            await view.do(f"MOVE {number} Other")
        case "noop":
            assert (await view.do("NOOP")).startswith(b"OK")
        case "fetch":
            await view.do(f"FETCH {number} (UID FLAGS)", expunges=False)
        case "store":
            await view.do(f"STORE {number} FLAGS (\\Seen)", expunges=False)
        case "search":
            await view.do("SEARCH UNSEEN", expunges=False)
        case "uid":
            await view.do(f"UID FETCH {number}:* (FLAGS)")


_ENOUGH = 100
"""Looks, a tenth of a second apart, after which two sessions must know the same."""


@settings(max_examples=40)
@given(_OPERATIONS)
def test_numbers_mean_the_same_to_both_sides(operations: list[tuple[int, str, int]]) -> None:
    async def dialogue(folder: Path) -> None:
        views = [View(Client(location(folder))) for _ in range(2)]
        await views[0].client.ok("CREATE Other")
        for _ in range(_AT_FIRST):
            await views[0].client.ok("APPEND INBOX", MESSAGE)
        for view in views:
            await view.do("SELECT INBOX")
        for who, operation, number in operations:
            await step(views[who], operation, number)
            await views[who].check()
        # What another session did in the same tick of the file system's clock is found a second later (scan.py).
        for _ in range(_ENOUGH):
            for view in views:
                await view.do("NOOP")
                await view.do("NOOP")
                await view.check()
            if views[0].uids == views[1].uids:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"they do not come to know the same mailbox: {views[0].uids}, {views[1].uids}")
        for view in views:
            await view.client.close()

    with tempfile.TemporaryDirectory() as name:
        run(dialogue(Path(name)))
