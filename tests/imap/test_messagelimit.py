"""MESSAGELIMIT and SAVELIMIT (RFC 9738): its examples, with a limit of three where the RFC has a thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillarbox.imapd.protocol.capabilities import session_capabilities
from pillarbox.lib.config import Config
from tests.imap.dialogue import MESSAGE, Client, location, run

COUNT = 6


async def limited(tmp_path: Path, **parameters: str) -> Client:
    """INBOX with the UIDs 2 to 6; number 1 is UID 2."""
    client = Client(location(tmp_path), **(parameters or {"imap_message_limit": "3"}))
    for _ in range(COUNT):
        await client.ok("APPEND INBOX", MESSAGE)
    await client.ok("SELECT INBOX")
    await client.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)")
    await client.ok("EXPUNGE")
    return client


@pytest.mark.parametrize(
    ("parameters", "announced"),
    [
        ({}, set()),
        ({"imap_message_limit": "1000"}, {"MESSAGELIMIT=1000"}),
        ({"imap_save_limit": "2000"}, {"SAVELIMIT=2000"}),
        ({"imap_message_limit": "1000", "imap_save_limit": "2000"}, {"MESSAGELIMIT=1000"}),
    ],
)
def test_the_limit_is_announced_where_there_is_one(parameters: dict[str, str], announced: set[str]) -> None:
    """Section 3."""
    words = session_capabilities(Config.for_tests(**parameters)).split()
    assert {word for word in words if "LIMIT=" in word} == announced


@pytest.mark.parametrize(
    ("command", "lines", "answer"),
    [
        ("FETCH 1:5 (UID)", [3, 4, 5], b"OK [MESSAGELIMIT 3 4] "),
        ("FETCH 5:1 (UID)", [3, 4, 5], b"OK [MESSAGELIMIT 3 4] "),
        ("FETCH 1,2,4,5 (UID)", [2, 4, 5], b"OK [MESSAGELIMIT 3 3] "),
        ("FETCH 2:4 (UID)", [2, 3, 4], b"OK Fetch"),
        ("UID FETCH 1:* (UID)", [3, 4, 5], b"OK [MESSAGELIMIT 3 4] "),
        ("UID FETCH *:1 (FLAGS)", [3, 4, 5], b"OK [MESSAGELIMIT 3 4] "),
        ("UID FETCH 1:3 (UID)", [1, 2], b"OK Fetch"),
        ("UID FETCH 1:* (UID) (CHANGEDSINCE 1)", [3, 4, 5], b"OK [MESSAGELIMIT 3 4] "),
        ("UID FETCH 1:* (UID) (PARTIAL 1:3)", [1, 2, 3], b"OK Fetch"),
        ("UID FETCH 1:* (UID) (PARTIAL -1:-3)", [3, 4, 5], b"OK Fetch"),
        ("UID FETCH 1:3 (UID) (PARTIAL -1:-4)", [], b"NO [MESSAGELIMIT 3] "),
        ("UID STORE 1:* +FLAGS (\\Seen)", [3, 4, 5], b"OK [MESSAGELIMIT 3 4] "),
        ("STORE 1:4 FLAGS (\\Seen)", [2, 3, 4], b"OK [MESSAGELIMIT 3 3] "),
    ],
)
def test_fetch_and_store_take_the_highest_uids(tmp_path: Path, command: str, lines: list[int], answer: bytes) -> None:
    """Section 3.1."""

    async def dialogue() -> None:
        client = await limited(tmp_path)
        *told, tagged = await client.command(command)
        assert sorted(int(line.split()[1]) for line in told if b" FETCH " in line) == lines
        assert tagged.startswith(answer), tagged
        await client.close()

    run(dialogue())


@pytest.mark.parametrize(
    ("command", "line", "answer"),
    [
        ("UID SEARCH UID 1:6 UNDELETED", b"* SEARCH 4 5 6", b"OK [MESSAGELIMIT 3 4] "),
        ("UID SEARCH UID 3:5 UNDELETED", b"* SEARCH 3 4 5", b"OK Search"),
        ("SEARCH SEEN", b"* SEARCH", b"OK [MESSAGELIMIT 3 4] "),
        ("SEARCH RETURN (COUNT MIN) ALL", b'* ESEARCH (TAG "t9") COUNT 3 MIN 3', b"OK [MESSAGELIMIT 3 4] "),
        ("UID SEARCH UIDAFTER 3 UNDELETED", b"* SEARCH 4 5 6", b"OK Search"),
        ("UID SEARCH UIDAFTER 6", b"* SEARCH", b"OK Search"),
        ("UID SEARCH UIDAFTER 4294967295", b"* SEARCH", b"OK Search"),
        ("UID SEARCH UIDBEFORE 4", b"* SEARCH 2 3", b"OK Search"),
        ("UID SEARCH UIDBEFORE 1", b"* SEARCH", b"OK Search"),
        ("UID SEARCH NOT UIDBEFORE 4 UIDAFTER 3", b"* SEARCH 4 5 6", b"OK Search"),
    ],
)
def test_search_looks_at_the_highest_uids(tmp_path: Path, command: str, line: bytes, answer: bytes) -> None:
    """Sections 3.1 and 3.2: the messages that are looked at count, not those that are found."""

    async def dialogue() -> None:
        client = await limited(tmp_path)
        *told, tagged = await client.command(command)
        assert told == [line.replace(b"t9", b"t%d" % client._tags)]
        assert tagged.startswith(answer), tagged
        await client.close()

    run(dialogue())


def test_the_saved_result_is_cut_off_too(tmp_path: Path) -> None:
    """Section 3.4."""

    async def dialogue() -> None:
        client = await limited(tmp_path)
        lines = await client.command("UID SEARCH RETURN (SAVE) UID 1:6 UNDELETED")
        assert lines[0].startswith(b"OK [MESSAGELIMIT 3 4] ")
        *told, tagged = await client.command("UID FETCH $ (UID)")
        assert [line.split()[1] for line in told] == [b"3", b"4", b"5"]
        assert tagged.startswith(b"OK Fetch")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("command", ["SORT (DATE) UTF-8 ALL", "UID THREAD REFERENCES UTF-8 ALL"])
def test_what_needs_all_messages_is_refused(tmp_path: Path, command: str) -> None:
    """Section 3.3."""

    async def dialogue() -> None:
        client = await limited(tmp_path)
        assert (await client.command(command))[-1].startswith(b"NO [MESSAGELIMIT 3] ")
        await client.ok(command + " UIDAFTER 3")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("parameter", ["imap_message_limit", "imap_save_limit"])
def test_copy_and_append_are_done_whole_or_not(tmp_path: Path, parameter: str) -> None:
    """Section 3.1, and SAVELIMIT: section 3."""

    async def dialogue() -> None:
        client = await limited(tmp_path, **{parameter: "3"})
        await client.ok("CREATE Trash")
        answer = await client.command('UID COPY 1:6 "Trash"')
        assert answer == [b"NO [MESSAGELIMIT 3 4] Too many messages to copy, try a smaller subset"]
        await client.send(b"a APPEND Trash {1+}\r\nx {1+}\r\nx {1+}\r\nx {1+}\r\nx\r\n")
        assert (await client.until(b"a"))[-1].startswith(b"a NO [MESSAGELIMIT 3] ")
        assert await client.ok("STATUS Trash (MESSAGES)") == [b"* STATUS Trash (MESSAGES 0)"]
        await client.ok('UID COPY 4:6 "Trash"')
        await client.send(b"b APPEND Trash {1+}\r\nx {1+}\r\nx {1+}\r\nx\r\n")
        assert (await client.until(b"b"))[-1].startswith(b"b OK ")
        assert await client.ok("STATUS Trash (MESSAGES)") == [b"* STATUS Trash (MESSAGES 6)"]
        if parameter == "imap_save_limit":
            assert len(await client.ok("UID FETCH 1:* (UID)")) == 5
        await client.close()

    run(dialogue())


def test_move_and_uid_expunge_take_the_highest_and_may_be_said_again(tmp_path: Path) -> None:
    """Section 3.1; EXPUNGE is never limited."""

    async def dialogue() -> None:
        client = await limited(tmp_path)
        await client.ok("CREATE Archive")
        first = await client.command("UID MOVE 1:6 Archive")
        assert first[0].startswith(b"* OK [COPYUID ")
        assert first[1:4] == [b"* 5 EXPUNGE", b"* 4 EXPUNGE", b"* 3 EXPUNGE"]
        assert first[4].startswith(b"OK [MESSAGELIMIT 3 4] ")
        assert (await client.command("UID MOVE 1:6 Archive"))[-1].startswith(b"OK Move")
        await client.ok("SELECT Archive")
        await client.ok("STORE 3:5 +FLAGS.SILENT (\\Deleted)")
        await client.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
        lines = await client.command("UID EXPUNGE 1:9")
        assert lines[:-1] == [b"* 5 EXPUNGE", b"* 4 EXPUNGE", b"* 3 EXPUNGE"]
        assert lines[-1].startswith(b"OK [MESSAGELIMIT 3 3] ")
        for _ in range(2):
            await client.ok("APPEND Archive (\\Deleted)", MESSAGE)
        assert len(await client.ok("EXPUNGE")) == 4
        await client.close()

    run(dialogue())


def test_beside_another_code_it_comes_in_an_untagged_no(tmp_path: Path) -> None:
    """Section 3.1: EXPUNGEISSUED is in the tagged response; MODIFIED and HIGHESTMODSEQ are treated alike."""

    async def dialogue() -> None:
        client = await limited(tmp_path)
        other = Client(location(tmp_path))
        await other.ok("SELECT INBOX")
        await client.ok("NOOP")
        await other.ok("UID STORE 5 +FLAGS.SILENT (\\Deleted)")
        await other.ok("UID EXPUNGE 5")
        lines = await client.command("FETCH 1:5 (UID BODY.PEEK[TEXT])")
        assert any(line.startswith(b"* NO [MESSAGELIMIT 3 4] ") for line in lines[:-1])
        assert lines[-1].startswith(b"NO [EXPUNGEISSUED] ")
        await client.ok("NOOP")
        lines = await client.command("UID STORE 1:* (UNCHANGEDSINCE 1) +FLAGS (\\Seen)")
        assert any(line.startswith(b"* NO [MESSAGELIMIT 3 3] ") for line in lines[:-1])
        assert lines[-1].startswith(b"OK [MODIFIED 3:4,6] ")
        await client.ok("ENABLE QRESYNC")
        await client.ok("UID STORE 3:6 +FLAGS.SILENT (\\Deleted)")
        await client.ok("UID STORE 2 +FLAGS.SILENT (\\Deleted)")
        lines = await client.command("UID EXPUNGE 1:*")
        assert lines[0] == b"* VANISHED 3:4,6"
        assert lines[1].startswith(b"* NO [MESSAGELIMIT 3 3] ")
        assert lines[-1].startswith(b"OK [HIGHESTMODSEQ ")
        await client.close()
        await other.close()

    run(dialogue())


def test_uids_that_vanished_are_told_as_far_down_as_the_messages(tmp_path: Path) -> None:
    """RFC 7162 section 3.2.6 with the limit: what is below is asked for again."""

    async def dialogue() -> None:
        client = await limited(tmp_path)
        await client.ok("ENABLE QRESYNC")
        await client.ok("UID STORE 5 +FLAGS.SILENT (\\Deleted)")
        await client.ok("UID EXPUNGE 5")
        lines = await client.command("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)")
        assert lines[0] == b"* VANISHED (EARLIER) 5"
        assert lines[-1].startswith(b"OK [MESSAGELIMIT 3 3] ")
        lines = await client.command("UID FETCH 1:2 (FLAGS) (CHANGEDSINCE 1 VANISHED)")
        assert lines[0] == b"* VANISHED (EARLIER) 1"
        assert lines[-1].startswith(b"OK Fetch")
        await client.close()

    run(dialogue())
