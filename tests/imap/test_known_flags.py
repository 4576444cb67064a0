"""Two clients on one mailbox: what each knows of numbers, UIDs and flags is what the server has, whatever is enabled.

A client believes what it is told and nothing else, as RFC 9051 section 7 and RFC 7162 section 6 let it.  At each point
the server is asked for all (by sequence number, so that it tells of no changes), and both must agree.  With QRESYNC a
client also goes away, keeps what it has, and must know all again after one SELECT.
"""

from __future__ import annotations

import asyncio
import bisect
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.imap.dialogue import MESSAGE, Client, run

_FETCH = re.compile(rb"\* (\d+) FETCH \((.*)\)", re.DOTALL)
_UID, _FLAGS, _MODSEQ = (re.compile(text) for text in (rb"UID (\d+)", rb"FLAGS \(([^)]*)\)", rb"MODSEQ \((\d+)\)"))


Belief = tuple[int | None, frozenset[bytes] | None]


def without(messages: list[Belief], uid: int) -> list[Belief]:
    """`messages` without one of those of unknown UID that may have had this one; of the others nothing is known."""
    place = bisect.bisect([each[0] for each in messages if each[0] is not None], uid)
    known = [number for number, each in enumerate(messages) if each[0] is not None]
    begin = known[place - 1] + 1 if place else 0
    end = known[place] if place < len(known) else len(messages)
    return [*messages[:begin], *[(None, None)] * (end - begin - 1), *messages[end:]]


class Believer:
    """One client: `messages` has a UID and flags for each number, None where it has not been told."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self.messages: list[Belief] = []
        self.modseq = 0
        self.validity = 0
        self.asking = ""

    async def do(self, command: str, literal: bytes | None = None, *, expunges: bool = True) -> bytes:
        self.asking = f"{self.name}: {command}"
        seen, told = 0, 0
        lines = await self.client.command(command, literal)
        for line in lines:
            self._take(line, expunges)
            seen = max([seen, *map(int, _MODSEQ.findall(line))])
            if found := re.search(rb"\[HIGHESTMODSEQ (\d+)\]", line):
                told = int(found[1])
            if found := re.search(rb"\[UIDVALIDITY (\d+)\]", line):
                self.validity = int(found[1])
        self.modseq = told or max(self.modseq, seen)  # RFC 7162 section 6
        return lines[-1]

    def _take(self, line: bytes, expunges: bool) -> None:
        words = line.split()
        if words[-1] == b"EXISTS":
            count = int(words[1])
            assert count >= len(self.messages), f"EXISTS takes messages away ({self.asking})"
            self.messages += [(None, None)] * (count - len(self.messages))
        elif words[1:3] == [b"VANISHED", b"(EARLIER)"]:
            gone = numbers(words[3])
            self.messages = [each for each in self.messages if each[0] not in gone]
        elif words[1] == b"VANISHED":
            assert expunges, f"VANISHED ({self.asking})"
            gone = numbers(words[2])
            left = [each for each in self.messages if each[0] not in gone]
            for uid in sorted(gone - {each[0] for each in self.messages}):
                # A message that it was told of by EXISTS only is gone before it has asked for the UID.
                left = without(left, uid)
            assert len(left) + len(gone) == len(self.messages), f"VANISHED of what was not there ({self.asking})"
            self.messages = left
        elif words[2:] == [b"EXPUNGE"]:
            assert expunges, f"EXPUNGE ({self.asking})"
            del self.messages[int(words[1]) - 1]
        elif found := _FETCH.match(line):
            self._fetched(int(found[1]) - 1, found[2])

    def _fetched(self, index: int, items: bytes) -> None:
        assert index < len(self.messages), f"FETCH of a number that is not there ({self.asking})"
        uid, flags = self.messages[index]
        if found := _UID.search(items):
            assert uid in (None, int(found[1])), f"number {index + 1} was UID {uid} ({self.asking}: {items!r})"
            uid = int(found[1])
        if found := _FLAGS.search(items):
            flags = frozenset(found[1].split()) - {b"\\Recent"}
        self.messages[index] = uid, flags

    def silently(self, number: int, flags: set[bytes]) -> None:
        """What it thinks after a silent change of its own."""
        if self.messages:
            uid, known = self.messages[number - 1]
            self.messages[number - 1] = uid, None if known is None else known | flags

    async def check(self) -> None:
        """All that it knows is what the server has; what it does not know it learns."""
        known = list(self.messages)
        if known:
            assert (await self.do("FETCH 1:* (UID FLAGS)", expunges=False)).startswith((b"OK", b"NO"))
        assert len(known) == len(self.messages)
        for before, now in zip(known, self.messages, strict=True):
            assert before[0] in (None, now[0]) and before[1] in (None, now[1]), f"{before} is {now} ({self.asking})"

    async def come_back(self, away: tuple[list[Belief], int, int]) -> None:
        """SELECT with what it had when it left, and no more questions."""
        had, validity, modseq = away
        self.messages = []
        lines = await self.client.command(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
        count = next(int(line.split()[1]) for line in lines if line.endswith(b"EXISTS"))
        gone = {uid for line in lines if line.startswith(b"* VANISHED") for uid in numbers(line.split()[3])}
        kept = {uid: flags for uid, flags in had if uid not in gone}
        for line in lines:
            if found := _FETCH.match(line):
                uid, flags = _UID.search(found[2]), _FLAGS.search(found[2])
                assert uid is not None and flags is not None
                kept[int(uid[1])] = frozenset(flags[1].split()) - {b"\\Recent"}
            if told := re.search(rb"\[HIGHESTMODSEQ (\d+)\]", line):
                self.modseq = int(told[1])
        self.messages = sorted(kept.items(), key=lambda item: item[0] or 0)
        assert len(self.messages) == count, (
            f"{self.name} came back and knows {self.messages}, there are {count}: {lines}"
        )
        await self.check()


def numbers(text: bytes) -> set[int]:
    """A UID set."""
    result: set[int] = set()
    for part in text.decode().split(","):
        low, _, high = part.partition(":")
        result |= set(range(int(low), int(high or low) + 1))
    return result


_NAMES = (
    *("delete", "delete", "expunge", "append", "uid-expunge", "move", "noop", "fetch", "flag", "unflag", "replace"),
    *("search", "uid-fetch", "read", "quiet", "uid-quiet", "away"),
)
_OPERATIONS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(_NAMES), st.integers(1, 6)), min_size=10, max_size=25
)
_AT_FIRST = 5  # messages, so that there is something to remove


async def step(view: Believer, other: Believer, operation: str, number: int, *, can_resync: bool) -> None:
    number = min(number, len(view.messages)) or 1
    match operation:
        case "append":
            assert (await view.do("APPEND INBOX", MESSAGE)).startswith(b"OK")
        case "delete":
            await view.do(f"STORE {number} +FLAGS (\\Deleted)", expunges=False)
        case "expunge":
            assert (await view.do("EXPUNGE")).startswith(b"OK")
        case "uid-expunge":
            assert (await view.do(f"UID EXPUNGE {number}:*")).startswith(b"OK")
        case "move":
            await view.do(f"MOVE {number} Other")
        case "noop":
            assert (await view.do("NOOP")).startswith(b"OK")
        case "fetch":
            await view.do(f"FETCH {number} (UID FLAGS)", expunges=False)
        case "flag":
            await view.do(f"STORE {number}:* +FLAGS (\\Flagged $word)", expunges=False)
        case "unflag":
            await view.do(f"UID STORE {number}:* -FLAGS (\\Flagged \\Seen)")
        case "replace":
            await view.do(f"STORE {number} FLAGS (\\Answered)", expunges=False)
        case "search":
            await view.do("SEARCH UNSEEN", expunges=False)
        case "uid-fetch":
            await view.do(f"UID FETCH {number}:* (FLAGS)")
        case "read":
            await view.do(f"FETCH {number} (BODY[TEXT])", expunges=False)
        case "quiet":
            known = list(view.messages)
            view.silently(number, {b"\\Draft"})
            if not (await view.do(f"STORE {number} +FLAGS.SILENT (\\Draft)", expunges=False)).startswith(b"OK"):
                view.messages = known  # another session expunged it
        case "uid-quiet":
            if view.messages and view.messages[number - 1][0]:
                view.silently(number, {b"\\Draft"})
                await view.do(f"UID STORE {view.messages[number - 1][0]} +FLAGS.SILENT (\\Draft)")
        case "away" if can_resync:
            had = list(view.messages), view.validity, view.modseq
            assert (await view.do("UNSELECT")).startswith(b"OK")
            await other.do(f"UID STORE {number}:* +FLAGS (\\Deleted)")
            await other.do(f"UID EXPUNGE {number}")
            await other.do("APPEND INBOX", MESSAGE)
            await other.check()
            await view.come_back(had)


async def walk(place: str, enable: str, operations: list[tuple[int, str, int]]) -> None:
    views = [Believer(Client(place), name) for name in ("first", "second")]
    await views[0].client.ok("CREATE Other")
    for _ in range(_AT_FIRST):
        await views[0].client.ok("APPEND INBOX", MESSAGE)
    for view in views:
        if enable:
            await view.client.ok(f"ENABLE {enable}")
        await view.do("SELECT INBOX")
        await view.check()
    for who, operation, number in operations:
        await step(views[who], views[1 - who], operation, number, can_resync=enable == "QRESYNC")
        for view in views:
            await view.check()
    # What another session did in the same tick of the file system's clock may be found later (scan.py).
    for _ in range(100):
        for view in views:
            await view.do("NOOP")
            await view.check()
        if views[0].messages == views[1].messages:
            break
        await asyncio.sleep(0.1)
    else:
        raise AssertionError(f"they do not come to know the same: {views[0].messages}, {views[1].messages}")
    for view in views:
        await view.client.close()


@pytest.mark.parametrize("kind", ["sqlite", "maildir"])
@pytest.mark.parametrize("enable", ["", "CONDSTORE", "QRESYNC", "IMAP4rev2"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=_OPERATIONS)
@example(operations=[*[(0, "delete", 1)] * 7, (1, "append", 1), (1, "delete", 6), (0, "expunge", 1)])
def test_what_a_client_knows_is_true(kind: str, enable: str, operations: list[tuple[int, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        run(walk(f"{kind}:{Path(name)}/mail.{kind}", enable, operations))


@pytest.mark.parametrize("kind", ["sqlite", "maildir"])
def test_a_silent_store_tells_what_another_session_did(kind: str, tmp_path: Path) -> None:
    """RFC 9051 section 6.4.6: it would not be told later, for the store's answer has it already.  Keywords too."""

    async def dialogue() -> None:
        first, second = Client(f"{kind}:{tmp_path}/mail"), Client(f"{kind}:{tmp_path}/mail")
        await first.ok("APPEND INBOX", MESSAGE)
        for client in (first, second):
            await client.ok("SELECT INBOX")
        await first.ok("STORE 1 +FLAGS (\\Flagged $word)")
        lines = await second.ok("STORE 1 +FLAGS.SILENT (\\Seen)")
        assert lines[-1] == b"* 1 FETCH (FLAGS (\\Seen \\Flagged $word))"
        assert await second.ok("STORE 1 -FLAGS.SILENT (\\Seen)") == []
        await first.close()
        await second.close()

    run(dialogue())
