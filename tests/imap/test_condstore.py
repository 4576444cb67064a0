"""CONDSTORE and QRESYNC (RFC 7162) over mailboxes with and without modification sequences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.imap.dialogue import MESSAGE, Client, run


@pytest.fixture(params=["sqlite", "maildir"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The location of an empty store that keeps modification sequences."""
    return f"{request.param}:{tmp_path}/mail.{request.param}"


@pytest.mark.parametrize(
    "command",
    [
        "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
        "FETCH 1 (MODSEQ)",
        "SEARCH MODSEQ 1",
        "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)",
    ],
)
def test_commands_about_modseqs_are_bad_where_there_are_none(tmp_path: Path, command: str) -> None:
    """Section 3.1.2.2: a mailbox without them says NOMODSEQ when it is selected."""

    async def dialogue() -> None:
        client = Client(f"mbox:{tmp_path}/mail:INBOX={tmp_path}/inbox")
        await client.ok("APPEND INBOX", MESSAGE)
        assert b"[NOMODSEQ]" in b"".join(await client.ok("SELECT INBOX (CONDSTORE)"))
        assert (await client.command(command))[-1].startswith(b"BAD")
        assert await client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)") == []
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "command",
    [
        "SELECT INBOX (QRESYNC (1 1))",
        "SELECT INBOX (NONSENSE)",
        "SELECT INBOX ()x",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
        "UID FETCH 1:* (FLAGS) (VANISHED)",
        "FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE)",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 9223372036854775808)",
        "UID STORE 1 (UNCHANGEDSINCE) +FLAGS (\\Seen)",
    ],
)
def test_what_is_not_enabled_or_not_the_grammar_is_bad(tmp_path: Path, command: str) -> None:
    async def dialogue() -> None:
        client = Client(f"maildir:{tmp_path}/Maildir")
        await client.ok("APPEND INBOX", MESSAGE)
        await client.ok("SELECT INBOX")
        assert (await client.command(command))[-1].startswith(b"BAD")
        await client.ok("FETCH 1 UID")
        await client.close()

    run(dialogue())


def modseqs(lines: list[bytes]) -> list[int]:
    return [int(number) for line in lines for number in re.findall(rb"MODSEQ \((\d+)\)", line)]


def highest(lines: list[bytes]) -> int:
    found = re.findall(rb"\[HIGHESTMODSEQ (\d+)\]", b"\n".join(lines))
    assert len(found) == 1, lines
    return int(found[0])


async def pair(place: str, count: int = 4, *, enable: str = "") -> tuple[Client, Client]:
    """Two clients with INBOX selected and `count` messages in it; the first has enabled `enable`."""
    first, second = Client(place), Client(place)
    for number in range(1, count + 1):
        await first.ok("APPEND INBOX", MESSAGE.replace(b"first letter", b"letter %d" % number))
    if enable:
        assert await first.ok(f"ENABLE {enable}") == [f"* ENABLED {enable}".encode()]
    for client in (first, second):
        await client.ok("SELECT INBOX")
    return first, second


# --- CONDSTORE
def test_select_tells_the_highest_modseq(place: str) -> None:
    """Section 3.1.2.1: also of a mailbox that never had a message."""

    async def dialogue() -> None:
        client = Client(place)
        assert highest(await client.ok("SELECT INBOX")) > 0
        await client.ok("CREATE Empty")
        before = highest(await client.ok("SELECT Empty (CONDSTORE)"))
        assert before > 0
        assert await client.ok("STATUS Empty (HIGHESTMODSEQ)") == [b"* STATUS Empty (HIGHESTMODSEQ %d)" % before]
        await client.ok("APPEND Empty", MESSAGE)
        assert highest(await client.ok("EXAMINE Empty")) > before
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "command",
    [
        "ENABLE CONDSTORE",
        "STATUS INBOX (HIGHESTMODSEQ)",
        "FETCH 1 (MODSEQ)",
        "SEARCH MODSEQ 1",
        "FETCH 1 (UID) (CHANGEDSINCE 1)",
        "STORE 2 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)",
        "SELECT INBOX (CONDSTORE)",
    ],
)
def test_each_enabling_command_makes_the_client_aware(place: str, command: str) -> None:
    """Section 3.1: HIGHESTMODSEQ at once, from then on MODSEQ (and UID, section 3.2.4) with every change of flags."""

    async def dialogue() -> None:
        client, other = await pair(place)
        assert modseqs(await client.ok("STORE 1 +FLAGS (\\Flagged)")) == []
        highest(await client.ok(command))
        assert b"HIGHESTMODSEQ" not in b"".join(await client.ok("NOOP"))
        (line,) = await client.ok("UID STORE 1 -FLAGS (\\Flagged)")
        assert re.fullmatch(rb"\* 1 FETCH \(UID 1 FLAGS \(\S*\) MODSEQ \(\d+\)\)", line), line
        (line,) = await client.ok("UID STORE 1 +FLAGS.SILENT (\\Flagged)")
        assert re.fullmatch(rb"\* 1 FETCH \(UID 1 MODSEQ \(\d+\)\)", line), line
        await other.ok("STORE 3 +FLAGS (\\Answered)")
        (line,) = await client.ok("NOOP")
        assert re.fullmatch(rb"\* 3 FETCH \(UID 3 FLAGS \([^)]*\) MODSEQ \(\d+\)\)", line), line
        (line,) = [each for each in await client.ok("UID FETCH 2 BODY[TEXT]") if b"FLAGS" in each]
        assert b"MODSEQ (" in line and line.count(b"UID ") == 1
        await client.close()
        await other.close()

    run(dialogue())


def test_conditional_store(place: str) -> None:
    """Section 3.1.3: what changed since is passed over and named in MODIFIED, as numbers or as UIDs."""

    async def dialogue() -> None:
        client, other = await pair(place)
        before = highest(await client.ok("SELECT INBOX (CONDSTORE)"))
        await other.ok("STORE 2 +FLAGS (\\Flagged)")
        lines = await client.command(f"STORE 1:3 (UNCHANGEDSINCE {before}) FLAGS.SILENT (\\Seen)")
        assert lines[-1].startswith(b"OK [MODIFIED 2]")
        changed = [line for line in lines if b"FETCH" in line]
        assert [line[:9] for line in changed] == [b"* 1 FETCH", b"* 3 FETCH"] and len(modseqs(changed)) == 2
        lines = await client.command(f"UID STORE 1:4 (UNCHANGEDSINCE {before}) FLAGS.SILENT (\\Seen)")
        assert lines[-1].startswith(b"OK [MODIFIED 1:3]")
        lines = await client.command("UID STORE 4 (UNCHANGEDSINCE 0) +FLAGS (\\Flagged)")
        assert lines[-1].startswith(b"OK [MODIFIED 4]")
        now = highest(await client.ok("SELECT INBOX"))
        assert (await client.command(f"UID STORE 1:* (UNCHANGEDSINCE {now}) +FLAGS (\\Draft)"))[-1].startswith(
            b"OK Store"
        )
        await client.close()
        await other.close()

    run(dialogue())


def test_flags_that_stay_as_they_are_keep_their_modseq(place: str) -> None:
    """Section 3.1.11."""

    async def dialogue() -> None:
        client, other = await pair(place)
        await client.ok("STORE 1 +FLAGS (\\Seen)")
        before = modseqs(await client.ok("FETCH 1:* (MODSEQ)"))
        await client.ok("STORE 1 +FLAGS (\\Seen)")
        await client.ok("STORE 2 -FLAGS (\\Seen)")
        await client.ok("FETCH 1 (BODY[TEXT])")
        assert modseqs(await client.ok("FETCH 1:* (MODSEQ)")) == before
        await client.close()
        await other.close()

    run(dialogue())


def test_fetch_changedsince(place: str) -> None:
    """Section 3.1.4.1: only what changed, with MODSEQ."""

    async def dialogue() -> None:
        client, other = await pair(place)
        before = highest(await client.ok("SELECT INBOX (CONDSTORE)"))
        assert await client.ok(f"FETCH 1:* (FLAGS) (CHANGEDSINCE {before})") == []
        await other.ok("STORE 2,4 +FLAGS (\\Flagged)")
        await client.ok("NOOP")
        lines = await client.ok(f"UID FETCH 1:3 (FLAGS) (CHANGEDSINCE {before})")
        assert len(lines) == 1 and lines[0].startswith(b"* 2 FETCH (UID 2 FLAGS (\\Flagged")
        (modseq,) = modseqs(lines)
        assert modseq > before
        assert len(await client.ok(f"FETCH 1:* (UID) (CHANGEDSINCE {before})")) == 2
        await client.close()
        await other.close()

    run(dialogue())


def test_search_modseq(place: str) -> None:
    """Sections 3.1.5, 3.1.6 and 3.1.10, and RFC 4731 section 3.2."""

    async def dialogue() -> None:
        client, other = await pair(place)
        before = highest(await client.ok("SELECT INBOX (CONDSTORE)"))
        for number in (4, 2, 3):
            await client.ok(f"STORE {number} +FLAGS (\\Flagged)")
        two, three, four = modseqs(await client.ok("FETCH 2:4 (MODSEQ)"))
        assert four < two < three
        assert await client.ok(f"SEARCH MODSEQ {before + 1}") == [b"* SEARCH 2 3 4 (MODSEQ %d)" % three]
        assert await client.ok(f"SEARCH MODSEQ {two}") == [b"* SEARCH 2 3 (MODSEQ %d)" % three]
        assert await client.ok(f"SEARCH MODSEQ {three + 1}") == [b"* SEARCH"]
        assert await client.ok(f'SEARCH NOT 2:3 MODSEQ "/flags/\\\\draft" all {four}') == [
            b"* SEARCH 4 (MODSEQ %d)" % four
        ]

        async def extended(options: str) -> bytes:
            return (await client.ok(f"SEARCH RETURN ({options}) MODSEQ {four}"))[0].partition(b") ")[2]

        assert await extended("ALL") == b"ALL 2:4 MODSEQ %d" % three
        assert await extended("COUNT") == b"COUNT 3 MODSEQ %d" % three
        assert await extended("MIN") == b"MIN 2 MODSEQ %d" % two
        assert await extended("MAX") == b"MAX 4 MODSEQ %d" % four
        assert await extended("MIN MAX") == b"MIN 2 MAX 4 MODSEQ %d" % two
        await client.close()
        await other.close()

    run(dialogue())


def test_held_back_expunges_keep_the_clients_modseq_low(place: str) -> None:
    """Section 6: STORE tells a MODSEQ above that of an expunge that cannot be told yet."""

    async def dialogue() -> None:
        client, other = await pair(place, enable="QRESYNC")
        before = highest(await client.ok("SELECT INBOX"))
        await other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        await other.ok("EXPUNGE")
        lines = await client.ok("STORE 2 +FLAGS.SILENT (\\Seen)")
        assert modseqs(lines)[0] > before and highest(lines) == before
        lines = await client.ok("NOOP")
        assert b"* VANISHED 1" in lines
        await client.close()
        await other.close()

    run(dialogue())


# --- QRESYNC
def test_vanished_stands_in_for_expunge(place: str) -> None:
    """Sections 3.2.7 to 3.2.10: EXPUNGE, UID EXPUNGE, MOVE, and what others expunge."""

    async def dialogue() -> None:
        client, other = await pair(place, 9, enable="QRESYNC")
        await client.ok("CREATE Other")
        before = highest(await client.ok("SELECT INBOX"))
        await client.ok("STORE 2:3,5 +FLAGS.SILENT (\\Deleted)")
        lines = await client.command("EXPUNGE")
        assert b"* VANISHED 2:3,5" in lines and lines[-1].startswith(b"OK [HIGHESTMODSEQ ")
        assert highest(lines) > before
        lines = await client.command("EXPUNGE")
        assert lines[0].startswith(b"OK Expunge")
        await client.ok("UID STORE 7 +FLAGS.SILENT (\\Deleted)")
        lines = await client.command("UID EXPUNGE 1:100")
        assert b"* VANISHED 7" in lines and highest(lines) > before
        lines = await client.command("UID MOVE 1,9 Other")
        assert b"* VANISHED 1,9" in lines and not any(b"EXPUNGE\r" in line for line in lines)
        await other.ok("NOOP")
        await other.ok("UID STORE 8 +FLAGS.SILENT (\\Deleted)")
        assert b"* 3 EXPUNGE" in await other.ok("EXPUNGE")  # it has not enabled anything
        assert b"* VANISHED 8" in await client.ok("NOOP")
        assert b"UID 4" in b"".join(await client.ok("FETCH 1 (UID)"))
        assert b"UID 6" in b"".join(await client.ok("FETCH 2 (UID)"))
        await client.ok("UID STORE 6 +FLAGS.SILENT (\\Deleted)")
        assert (await client.command("CLOSE")) == [b"OK Close completed."]  # section 3.2.8: no HIGHESTMODSEQ
        await client.close()
        await other.close()

    run(dialogue())


async def away(place: str) -> tuple[Client, int, int]:
    """A client that has seen UIDs 1 to 10; since then 2, 3, 5 and 10 went, 4 and 6 changed, 11 came."""
    client, other = await pair(place, 10, enable="QRESYNC")
    lines = await client.ok("SELECT INBOX")
    (validity,) = re.findall(rb"UIDVALIDITY (\d+)", b"".join(lines))
    await other.ok("STORE 2:3,5,10 +FLAGS.SILENT (\\Deleted)")
    await other.ok("EXPUNGE")
    await other.ok("UID STORE 4,6 +FLAGS.SILENT (\\Flagged)")
    await other.ok("APPEND INBOX", MESSAGE)
    await other.close()
    return client, int(validity), highest(lines)


def changes(lines: list[bytes]) -> list[bytes]:
    """What of an answer to SELECT tells of changes."""
    return [
        re.sub(rb" MODSEQ \(\d+\)", b"", line) for line in lines if b"FETCH" in line or line.startswith(b"* VANISHED")
    ]


FOUR, SIX = b"* 2 FETCH (UID 4 FLAGS (\\Flagged))", b"* 3 FETCH (UID 6 FLAGS (\\Flagged))"


def test_a_client_that_comes_back_learns_what_changed(place: str) -> None:
    """Section 3.2.5."""

    async def dialogue() -> None:
        client, validity, modseq = await away(place)
        lines = await client.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq}))")
        assert lines[0].startswith(b"* OK [CLOSED]")
        told = changes(lines)
        assert told[:3] == [b"* VANISHED (EARLIER) 2:3,5,10", FOUR, SIX]
        assert len(told) == 4 and told[3].startswith(b"* 7 FETCH (UID 11 FLAGS (")
        assert len(modseqs(lines)) == 3
        now = highest(lines)
        assert changes(await client.ok(f"SELECT INBOX (QRESYNC ({validity} {now}))")) == []
        await client.close()

    run(dialogue())


def test_only_known_uids_are_told_of(place: str) -> None:
    """Section 3.2.5.1."""

    async def dialogue() -> None:
        client, validity, modseq = await away(place)
        told = changes(await client.ok(f"EXAMINE INBOX (QRESYNC ({validity} {modseq} 1:2,5:6))"))
        assert told == [b"* VANISHED (EARLIER) 2,5", SIX]
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    ("sample", "vanished"),
    [
        ("(1,2 1,2)", b"2:3,5,10"),  # number 2 is another message: nothing below is known but UID 1
        ("(1 1)", b"2:3,5,10"),
        ("(1:2 1,4)", b"5,10"),
        ("(3 6)", b"10"),
        ("(3,9 6,9)", b"10"),
        ("(100 100)", b"2:3,5,10"),
    ],
)
def test_a_sample_of_numbers_narrows_what_vanished(place: str, sample: str, vanished: bytes) -> None:
    """Section 3.2.5.2."""

    async def dialogue() -> None:
        client, validity, modseq = await away(place)
        told = changes(await client.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq} 1:10 {sample}))"))
        assert told == [b"* VANISHED (EARLIER) " + vanished, FOUR, SIX]
        told = changes(await client.ok(f"SELECT INBOX (QRESYNC ({validity} {modseq} {sample}))"))
        assert told[0] == b"* VANISHED (EARLIER) " + vanished
        await client.close()

    run(dialogue())


def test_another_uidvalidity_ends_the_comparison(place: str) -> None:
    async def dialogue() -> None:
        client, validity, modseq = await away(place)
        lines = await client.command(f"SELECT INBOX (QRESYNC ({validity + 1} {modseq}))")
        assert changes(lines) == [] and lines[-1].startswith(b"OK [READ-WRITE]")
        await client.close()

    run(dialogue())


def test_fetch_vanished(place: str) -> None:
    """Section 3.2.6: VANISHED (EARLIER) comes first."""

    async def dialogue() -> None:
        client, _, modseq = await away(place)
        await client.ok("NOOP")
        told = changes(await client.ok(f"UID FETCH 3:10 (FLAGS) (CHANGEDSINCE {modseq} VANISHED)"))
        assert told == [b"* VANISHED (EARLIER) 3,5,10", FOUR, SIX]
        told = changes(await client.ok(f"UID FETCH 3:* (UID) (CHANGEDSINCE {modseq} VANISHED)"))
        assert told[0] == b"* VANISHED (EARLIER) 3,5,10" and len(told) == 4
        for command in ("FETCH 1:* (FLAGS)", "UID FETCH 1:* (FLAGS)"):
            wrong = "(VANISHED)" if command.startswith("UID") else f"(CHANGEDSINCE {modseq} VANISHED)"
            assert (await client.command(f"{command} {wrong}"))[-1].startswith(b"BAD")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    "parameter",
    ["()", "(1)", "(0 1)", "(1 1 *)", "(1 1 1:*)", "(1 1 1 1)", "(1 1 (1))", "(1 1 (1 2) 3)", "(1 1 1:2 (1:* 2))"],
)
def test_a_wrong_parameter_is_bad_and_the_mailbox_stays(place: str, parameter: str) -> None:
    async def dialogue() -> None:
        client = Client(place)
        await client.ok("ENABLE QRESYNC")
        await client.ok("SELECT INBOX")
        assert (await client.command(f"SELECT INBOX (QRESYNC {parameter})"))[-1].startswith(b"BAD")
        await client.ok("CLOSE")
        await client.close()

    run(dialogue())


def test_a_mailbox_without_modseqs_keeps_to_numbers(tmp_path: Path) -> None:
    """Sections 3.1.7 and 3.2.3: HIGHESTMODSEQ is 0 there, and EXPUNGE is not VANISHED."""

    async def dialogue() -> None:
        client = Client(f"mbox:{tmp_path}/mail:INBOX={tmp_path}/inbox")
        for _ in range(2):
            await client.ok("APPEND INBOX", MESSAGE)
        await client.ok("ENABLE QRESYNC")
        assert b"(HIGHESTMODSEQ 0)" in b"".join(await client.ok("STATUS INBOX (HIGHESTMODSEQ)"))
        lines = await client.ok("SELECT INBOX (QRESYNC (1 1))")
        assert b"[NOMODSEQ]" in b"".join(lines) and changes(lines) == []
        assert await client.ok("STORE 1 +FLAGS (\\Deleted)") == [b"* 1 FETCH (FLAGS (\\Deleted \\Recent))"]
        assert (await client.command("EXPUNGE")) == [b"* 1 EXPUNGE", b"OK Expunge completed."]
        await client.close()

    run(dialogue())
