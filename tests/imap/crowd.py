"""Sessions of one account that do at random what there is to do, and a book of the letters that must be there.

python -m tests.imap.crowd LOCATION SEED    does so until it is killed, and says each thing before and after
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from pillarbox.lib.log import log
from pillarbox.lib.store.maildir import mailbox, scan, sync
from tests.imap.dialogue import MESSAGE, Client
from tests.imap.test_known_flags import Believer

NAMES: Final = ("INBOX", "A", "B")
MARK: Final = re.compile(rb"letter-(\d+)\.")
SOON: Final = 50_000_000
"""Nanoseconds after which what others changed in the same tick is found."""
_OPERATIONS: Final = (
    *("append", "append", "move", "move", "move", "expunge", "flag", "flag", "noop", "fetch", "read", "select"),
    *("status", "idle", "copy", "close"),
)


def letter(number: int) -> bytes:
    """A message of this number."""
    return MESSAGE.replace(b"first letter", b"letter-%d." % number)


class Book:
    """How often each letter must be there: between `least` and `most`.  `journal` is told of each step."""

    def __init__(self, journal: TextIO | None = None) -> None:
        self.next = 0
        self.brought: set[int] = set()
        self.perhaps: Counter[int] = Counter()
        """Copies, and letters that were not answered for."""
        self.removed: set[int] = set()
        self._journal = journal

    def note(self, what: str, numbers: Iterable[int]) -> None:
        """`try`, `brought`, `copy` or `remove`."""
        numbers = list(numbers)
        if self._journal is not None:
            print(what, *numbers, file=self._journal, flush=True)
        match what:
            case "try" | "copy":
                self.perhaps.update(numbers)
                self.next = max([self.next, *numbers])
            case "brought":
                self.perhaps.subtract(numbers)
                self.brought.update(numbers)
            case "remove":
                self.removed.update(numbers)

    def number(self) -> int:
        """That of a new letter."""
        self.note("try", [self.next + 1])
        return self.next

    def check(self, found: Counter[int]) -> None:
        """No letter is lost, none is there too often."""
        for number in range(1, self.next + 1):
            least = 1 if number in self.brought - self.removed else 0
            most = (number in self.brought) + self.perhaps[number]
            assert least <= found[number] <= most, f"letter {number}: {found[number]} of {least} to {most}"


class Member(Believer):
    """One session of the crowd."""

    def __init__(
        self, client: Client, name: str, book: Book, chance: random.Random, names: Sequence[str] = NAMES
    ) -> None:
        super().__init__(client, name)
        self.names = names
        self.book = book
        self.chance = chance
        self.answers: Counter[bytes] = Counter()

    async def ask(self, command: str, literal: bytes | None = None, *, expunges: bool = True) -> bool:
        """Whether it was done; NO is for what is in use, or gone."""
        answer = await self.do(command, literal, expunges=expunges)
        assert answer.startswith((b"OK", b"NO [INUSE]", b"NO [EXPUNGEISSUED]", b"NO Some of")), f"{command}: {answer!r}"
        self.answers[answer.split()[0]] += 1
        return answer.startswith(b"OK")

    async def select(self) -> None:
        self.messages = []
        while not await self.ask(f"SELECT {self.chance.choice(self.names)}"):
            self.messages = []

    async def letters(self, numbers: str) -> list[int]:
        """Which letters these are; none where one cannot be looked at."""
        lines = await self.client.command(f"FETCH {numbers} (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return [int(found) for line in lines for found in MARK.findall(line)] if lines[-1][:2] == b"OK" else []

    async def live(self, steps: int) -> None:
        """So many steps, after each of which all that the client was told is true."""
        for _ in range(steps):
            await self.step()
            await self.check()

    async def step(self) -> None:
        chance, book = self.chance, self.book
        operation = chance.choice(_OPERATIONS)
        low = chance.randint(1, len(self.messages) or 1)
        some = f"{low}:{min(low + chance.randint(0, 2), len(self.messages) or 1)}"
        if not self.messages and operation not in ("append", "noop", "select", "status", "idle", "close"):
            operation = "noop"
        match operation:
            case "append":
                number = book.number()
                if await self.ask(f"APPEND {chance.choice(self.names)}", letter(number)):
                    book.note("brought", [number])
            case "move":
                await self.ask(f"MOVE {some} {chance.choice(self.names)}")
            case "copy":
                if letters := await self.letters(some):
                    book.note("copy", letters)
                    await self.ask(f"COPY {some} {chance.choice(self.names)}")
            case "expunge":
                if letters := await self.letters(some):
                    book.note("remove", letters)
                    if await self.ask(f"STORE {some} +FLAGS (\\Deleted)", expunges=False):
                        await self.ask("EXPUNGE")
            case "flag":
                await self.ask(f"STORE {some} {chance.choice('+-')}FLAGS (\\Flagged $word{chance.randint(1, 3)})")
            case "fetch":
                await self.ask("FETCH 1:* (UID FLAGS)", expunges=False)
            case "read":
                await self.ask(f"FETCH {some} (BODY.PEEK[])", expunges=False)
            case "status":
                await self.ask(f"STATUS {chance.choice(self.names)} (MESSAGES UNSEEN)")
            case "noop":
                await self.ask("NOOP")
            case "select":
                await self.select()
            case "close":
                await self.ask("UNSELECT")
                await self.select()
            case "idle":
                await self.client.send(b"i IDLE\r\n")
                for line in await self.client.until(b"+"):
                    self._take(line, True)
                await asyncio.sleep(0.002)
                await self.client.send(b"DONE\r\n")
                for line in await self.client.until(b"i"):
                    self._take(line, True)


async def gathered(location: str, count: int, book: Book, seed: int) -> list[Member]:
    """So many sessions, each with a mailbox selected."""
    first = Client(location)
    for name in NAMES[1:]:
        await first.command(f"CREATE {name}")
    await first.close()
    members = [Member(Client(location), f"session {n}", book, random.Random(seed * 100 + n)) for n in range(count)]
    for each in members:
        await each.select()
    return members


async def letters_at(client: Client, names: Sequence[str] = NAMES) -> Counter[int]:
    """How often each letter is there now.  The client goes."""
    found: Counter[int] = Counter()
    for name in names:
        await client.ok(f"SELECT {name}")
        for line in await client.ok("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]"):
            found.update(map(int, MARK.findall(line)))
    await client.close()
    return found


async def _main(location: str, seed: int, first: int) -> None:
    book = Book(sys.stdout)
    book.next = first
    for each in await gathered(location, 4, book, seed):
        asyncio.get_running_loop().create_task(each.live(1 << 30))
    await asyncio.Event().wait()


if __name__ == "__main__":
    sync.LARGE = mailbox.MANY = 2  # type: ignore[misc]
    scan._OWN_CHANGE_NS = SOON  # type: ignore[misc]
    with log.capture():
        asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
