"""Dialogues with a session over a Maildir: commands, their answers, and what one session hears of another."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.store.interface import Changes, StoreUnavailable
from pillarbox.lib.store.maildir.mailbox import MaildirMailbox
from tests.imap.dialogue import MESSAGE, Client, location, run


def tagged(lines: list[bytes]) -> bytes:
    return lines[-1]


async def filled(tmp_path: Path, count: int = 3, **parameters: str) -> Client:
    """A client with INBOX selected and `count` messages in it."""
    client = Client(location(tmp_path), **parameters)
    for number in range(1, count + 1):
        await client.ok("APPEND INBOX", MESSAGE.replace(b"first letter", b"letter %d" % number))
    await client.ok("SELECT INBOX")
    return client


def deliver(tmp_path: Path, name: str = "1.delivered", content: bytes = MESSAGE) -> None:
    """A message as another program delivers it."""
    target = tmp_path / "Maildir" / "new" / name
    target.write_bytes(content.replace(b"\r\n", b"\n"))


# --- any state
def test_capability_names_only_the_protocol_that_is_there(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        (line,) = await client.ok("CAPABILITY")
        assert line.startswith(b"* CAPABILITY IMAP4rev1 ")
        assert b" AUTH=" not in line and b"STARTTLS" not in line
        await client.close()

    run(dialogue())


def test_logout_says_bye_and_closes(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert (await client.ok("LOGOUT"))[0].startswith(b"* BYE")
        assert await client.line() == b""

    run(dialogue())


@pytest.mark.parametrize(
    "line", ["NONSENSE", "UID NOOP", "FETCH 1 FLAGS", "NOOP x", "SELECT", "UID", "\xff\xfe", "LOGIN a b", "SELECT a b"]
)
def test_wrong_commands_are_bad_and_the_session_lives(tmp_path: Path, line: str) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert tagged(await client.command(line)).startswith(b"BAD")
        await client.ok("NOOP")
        await client.close()

    run(dialogue())


def test_a_line_without_command_is_answered_without_tag(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.send(b"+ \r\n")
        assert (await client.line()).startswith(b"* BAD")
        await client.close()

    run(dialogue())


def test_too_many_bad_commands_end_the_session(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path), imap_max_bad_commands="3")
        for _ in range(2):
            await client.command("NONSENSE")
        await client.send(b"x NONSENSE\r\n")
        assert (await client.line()).startswith(b"x BAD")
        assert await client.line() == b"* BYE Too many invalid IMAP commands."
        assert await client.line() == b""

    run(dialogue())


def test_pipelined_commands_are_answered_in_order(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.send(b"a NOOP\r\nb CAPABILITY\r\nc SELECT INBOX\r\nd LOGOUT\r\n")
        lines = await client.until(b"d")
        assert [line[:1] for line in lines if line[:1] != b"*"] == [b"a", b"b", b"c", b"d"]
        await client.close()

    run(dialogue())


def test_id_and_namespace(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert await client.ok('ID ("name" "test")') == [b'* ID ("name" "Pillarbox")']
        assert await client.ok("NAMESPACE") == [b'* NAMESPACE (("" "/")) NIL NIL']
        await client.close()

    run(dialogue())


# --- mailboxes
def test_select_describes_the_mailbox(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 2)
        lines = await client.command("SELECT INBOX")
        text = b"\n".join(lines)
        assert b"* OK [CLOSED]" in text
        assert b"\n* 2 EXISTS\n" in text
        assert re.search(rb"\* FLAGS \(\\Seen \\Answered \\Flagged \\Deleted \\Draft\)", text)
        assert rb"[PERMANENTFLAGS (\Seen \Answered \Flagged \Deleted \Draft \*)]" in text
        assert b"* OK [UNSEEN 1]" in text and b"[UIDNEXT 3]" in text and b"[UIDVALIDITY " in text
        assert tagged(lines).startswith(b"OK [READ-WRITE]")
        await client.close()

    run(dialogue())


def test_failed_select_leaves_no_mailbox_selected(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        assert tagged(await client.command("SELECT Nowhere")).startswith(b"NO [NONEXISTENT]")
        assert tagged(await client.command("FETCH 1 FLAGS")).startswith(b"BAD")
        await client.close()

    run(dialogue())


def test_examine_changes_nothing(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        lines = await client.command("EXAMINE INBOX")
        assert tagged(lines).startswith(b"OK [READ-ONLY]")
        assert b"[PERMANENTFLAGS ()]" in b"".join(lines)
        assert b"Seen" not in b"".join(await client.ok("FETCH 1 (BODY[] FLAGS)"))
        assert tagged(await client.command("STORE 1 +FLAGS (\\Deleted)")).startswith(b"NO [READ-ONLY]")
        assert tagged(await client.command("EXPUNGE")).startswith(b"NO [READ-ONLY]")
        await client.close()

    run(dialogue())


def test_mailboxes_are_created_listed_renamed_and_deleted(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok('CREATE "Work/Proj&AOk-t"')
        assert tagged(await client.command('CREATE "Work/Proj&AOk-t"')).startswith(b"NO [ALREADYEXISTS]")
        names = await client.ok('LIST "" *')
        assert b'* LIST (\\HasNoChildren) "/" INBOX' in names
        assert any(line.endswith(b'"/" Work/Proj&AOk-t') for line in names)
        assert not any(line.endswith(b"&AOk-t") for line in await client.ok('LIST "" %'))
        await client.ok("RENAME Work Labour")
        assert any(line.endswith(b'"/" Labour/Proj&AOk-t') for line in await client.ok('LIST "" Labour/%'))
        await client.ok('DELETE "Labour/Proj&AOk-t"')
        assert await client.ok('LIST "" Labour/%') == []
        assert tagged(await client.command("DELETE INBOX")).startswith(b"NO [CANNOT]")
        await client.close()

    run(dialogue())


def test_empty_list_pattern_asks_for_the_delimiter(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert await client.ok('LIST "" ""') == [b'* LIST (\\Noselect) "/" ""']
        await client.close()

    run(dialogue())


def test_list_extended_with_status_and_special_use(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        await client.ok("CREATE Sent")
        await client.ok("SUBSCRIBE Sent")
        await client.ok("SUBSCRIBE Gone")
        lines = await client.ok('LIST "" (INBOX Sent) RETURN (SUBSCRIBED CHILDREN STATUS (MESSAGES))')
        assert b"* STATUS INBOX (MESSAGES 1)" in lines
        assert any(b"\\Subscribed" in line and b"\\Sent" in line for line in lines)
        lines = await client.ok('LIST (SUBSCRIBED) "" *')
        assert any(b"\\NonExistent" in line and line.endswith(b"Gone") for line in lines)
        assert await client.ok('LIST (SPECIAL-USE) "" *') == [b'* LIST (\\HasNoChildren \\Sent) "/" Sent']
        await client.close()

    run(dialogue())


def test_lsub_shows_parents_of_subscribed_mailboxes(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("CREATE a/b")
        await client.ok("SUBSCRIBE a/b")
        assert await client.ok('LSUB "" *') == [b'* LSUB () "/" a/b']
        assert await client.ok('LSUB "" %') == [b'* LSUB (\\Noselect) "/" a']
        await client.ok("UNSUBSCRIBE a/b")
        assert await client.ok('LSUB "" *') == []
        await client.close()

    run(dialogue())


def test_status_of_a_mailbox(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 2)
        await client.ok("STORE 1 +FLAGS (\\Seen)")
        (line,) = await client.ok("STATUS INBOX (MESSAGES UNSEEN UIDNEXT SIZE)")
        size = 2 * len(MESSAGE.replace(b"first letter", b"letter 1"))
        assert line == b"* STATUS INBOX (MESSAGES 2 UNSEEN 1 UIDNEXT 3 SIZE %d)" % size
        assert tagged(await client.command("STATUS Nowhere (MESSAGES)")).startswith(b"NO [NONEXISTENT]")
        await client.close()

    run(dialogue())


# --- APPEND
def test_append_tells_the_uid_and_keeps_flags_and_date(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        lines = await client.command('APPEND INBOX (\\Seen $Label) "17-Jul-1996 02:44:25 +0000"', MESSAGE)
        assert re.match(rb"OK \[APPENDUID \d+ 1\]", tagged(lines))
        await client.ok("SELECT INBOX")
        (line,) = await client.ok("FETCH 1 (FLAGS RFC822.SIZE INTERNALDATE)")
        assert b"\\Seen" in line and b"$Label" in line and b"RFC822.SIZE %d" % len(MESSAGE) in line
        assert b"Jul-1996" in line
        await client.close()

    run(dialogue())


def test_append_into_nowhere_says_trycreate_before_the_message_is_sent(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        assert tagged(await client.command("APPEND Nowhere", MESSAGE)).startswith(b"NO [TRYCREATE]")
        await client.send(b"x APPEND Nowhere {5+}\r\nhello\r\ny NOOP\r\n")
        assert (await client.line()).startswith(b"x NO [TRYCREATE]")
        assert (await client.line()).startswith(b"y OK")
        await client.close()

    run(dialogue())


def test_append_with_unasked_literal_and_mailbox_as_literal(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.send(b"x APPEND {5+}\r\nINBOX (\\Draft) {%d+}\r\n%b\r\n" % (len(MESSAGE), MESSAGE))
        assert (await client.line()).startswith(b"x OK [APPENDUID")
        await client.close()

    run(dialogue())


def test_multiappend_stores_all(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        one = b" {%d+}\r\n%b" % (len(MESSAGE), MESSAGE)
        await client.send(b"x APPEND INBOX" + one + b" (\\Seen)" + one + b"\r\n")
        assert re.match(rb"x OK \[APPENDUID \d+ 1:2\]", await client.line())
        await client.close()

    run(dialogue())


def test_multiappend_with_a_bad_second_message_stores_none(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        one = b" {%d+}\r\n%b" % (len(MESSAGE), MESSAGE)
        await client.send(b"x APPEND INBOX" + one + b" (\\Seen nonsense{3+}\r\nabc\r\ny NOOP\r\n")
        assert (await client.until(b"y"))[0].startswith(b"x BAD")
        assert b"MESSAGES 0" in (await client.ok("STATUS INBOX (MESSAGES)"))[0]
        await client.close()

    run(dialogue())


def test_append_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path), imap_append_limit="10")
        assert tagged(await client.command("APPEND INBOX", MESSAGE)).startswith(b"NO [TOOBIG]")
        assert tagged(await client.command("APPEND INBOX", b"")).startswith(b"NO")
        await client.close()

    run(dialogue())


@pytest.mark.parametrize("rest", [b" {9999999999999999999}\r\n", b" " + b"x" * 100_000 + b"\r\n"])
def test_an_append_that_breaks_off_leaves_nothing_open(tmp_path: Path, rest: bytes) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            await client.send(b"x APPEND INBOX {5+}\r\nhello" + rest)
            assert (await client.line()).startswith(b"x BAD ")
        assert os.listdir(tmp_path / "Maildir" / "tmp") == []
        assert len(os.listdir("/proc/self/fd")) == before
        await client.close()

    run(dialogue())


def test_append_broken_off_leaves_nothing(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.send(b"x APPEND INBOX {100+}\r\nhalf")
        await asyncio.sleep(0.05)
        await client.close()

    run(dialogue())
    files = [
        path
        for path in (tmp_path / "Maildir").rglob("*")
        if path.is_file() and path.parent.name in ("new", "cur", "tmp")
    ]
    assert files == []


def test_append_to_the_selected_mailbox_is_told(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        assert b"* 2 EXISTS" in await client.ok("APPEND INBOX", MESSAGE)
        await client.close()

    run(dialogue())


# --- FETCH
def test_fetch_items(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        (line,) = await client.ok("FETCH 1 (UID FLAGS ENVELOPE BODY)")
        assert line == (
            b'* 1 FETCH (UID 1 FLAGS (\\Recent) ENVELOPE ("Mon, 1 Jan 2024 10:00:00 +0100" "letter 1" '
            b'(("Ann" NIL "ann" "example.org")) (("Ann" NIL "ann" "example.org")) (("Ann" NIL "ann" "example.org")) '
            b'((NIL NIL "bob" "example.net")) NIL NIL NIL "<1@example.org>") '
            b'BODY ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 25 2))'
        )
        await client.close()

    run(dialogue())


def test_fetch_sections_of_a_plain_message(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        header, _, body = MESSAGE.replace(b"first letter", b"letter 1").partition(b"\r\n\r\n")
        header += b"\r\n\r\n"
        expected = {
            b"BODY[HEADER]": header,
            b"BODY[TEXT]": body,
            b"BODY[1]": body,
            b"BODY[1.MIME]": header,
            b"BODY[]": header + body,
            b"BODY[HEADER.FIELDS (SUBJECT TO)]": b"To: bob@example.net\r\nSubject: letter 1\r\n\r\n",
            b"BODY[TEXT]<6>": body[6:9],
        }
        for name, octets in expected.items():
            asked = name.replace(b"BODY", b"BODY.PEEK", 1).replace(b"<6>", b"<6.3>")
            (line,) = await client.ok(b"FETCH 1 " + asked)
            assert line == b"* 1 FETCH (%b {%d}\r\n%b)" % (name, len(octets), octets)
        assert await client.ok("FETCH 1 BODY.PEEK[2]") == [b"* 1 FETCH (BODY[2] NIL)"]
        await client.close()

    run(dialogue())


def test_fetching_a_body_sets_seen_and_tells(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 2)
        assert b"\\Seen" not in (await client.ok("FETCH 1 BODY.PEEK[]"))[0]
        assert (await client.ok("FETCH 1 BODY[TEXT]"))[0].endswith(b" FLAGS (\\Seen \\Recent))")
        assert b"FLAGS" not in (await client.ok("FETCH 1 BODY[TEXT]"))[0]
        assert b"\\Seen" not in (await client.ok("FETCH 2 RFC822.HEADER"))[0]
        assert b"\\Seen" in (await client.ok("FETCH 2 RFC822"))[0]
        await client.close()

    run(dialogue())


def test_uid_fetch_passes_over_missing_uids_and_tells_uids(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 2)
        assert await client.ok("UID FETCH 2:99 FLAGS") == [b"* 2 FETCH (UID 2 FLAGS (\\Recent))"]
        assert await client.ok("UID FETCH 50:60 FLAGS") == []
        assert tagged(await client.command("FETCH 3 FLAGS")).startswith(b"BAD")
        await client.close()

    run(dialogue())


def test_large_message_is_streamed_exactly(tmp_path: Path) -> None:
    content = b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 60_000

    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("APPEND INBOX", content)
        await client.ok("SELECT INBOX")
        (line,) = await client.ok("FETCH 1 (BODY.PEEK[] UID)")
        assert line == b"* 1 FETCH (BODY[] {%d}\r\n%b UID 1)" % (len(content), content)
        start, count = 500_001, 200_000
        (line,) = await client.ok(f"FETCH 1 BODY.PEEK[]<{start}.{count}>")
        assert line == b"* 1 FETCH (BODY[]<%d> {%d}\r\n%b)" % (start, count, content[start : start + count])
        await client.close()

    run(dialogue())


def test_message_removed_under_the_session_fails_alone(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 2)
        for path in (tmp_path / "Maildir").glob("*/*"):
            if path.is_file() and b"letter 1" in path.read_bytes() and path.parent.name in ("cur", "new"):
                path.unlink()
        lines = await client.command("FETCH 1:2 BODY.PEEK[TEXT]")
        assert len(lines) == 2 and lines[0].startswith(b"* 2 FETCH")
        assert tagged(lines).startswith(b"NO [EXPUNGEISSUED]")
        assert b"* 1 EXPUNGE" in await client.ok("NOOP")
        await client.close()

    run(dialogue())


def test_nul_and_eight_bit_octets_cannot_break_the_stream(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.ok("APPEND INBOX", b'Subject: a\0b "\xff\\\r\n\r\nx\0y')
        await client.ok("SELECT INBOX")
        lines = await client.ok("FETCH 1 (ENVELOPE BODY[TEXT])")
        assert b"\0" not in b"".join(lines)
        await client.close()

    run(dialogue())


# --- flags
def test_store_adds_removes_and_replaces_flags(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 2)
        assert await client.ok("STORE 1:2 +FLAGS (\\Flagged)") == [
            b"* 1 FETCH (FLAGS (\\Flagged \\Recent))",
            b"* 2 FETCH (FLAGS (\\Flagged \\Recent))",
        ]
        assert await client.ok("UID STORE 1 FLAGS \\Seen") == [b"* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))"]
        assert await client.ok("STORE 2 -FLAGS.SILENT (\\Flagged)") == []
        assert b"FLAGS (\\Recent)" in (await client.ok("FETCH 2 FLAGS"))[0]
        await client.close()

    run(dialogue())


def test_new_keyword_is_announced(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        lines = await client.ok("STORE 1 +FLAGS (Work)")
        assert lines[0].startswith(b"* FLAGS (") and b" Work)" in lines[0]
        assert lines[-1] == b"* 1 FETCH (FLAGS (\\Recent Work))"
        await client.close()

    run(dialogue())


# --- removing
def test_expunge_numbers_are_right_one_after_the_other(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 5)
        await client.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)")
        numbers = [int(line.split()[1]) for line in await client.ok("EXPUNGE")]
        left = [1, 2, 3, 4, 5]
        for number in numbers:
            del left[number - 1]
        assert left == [1, 3, 5]
        assert [line.split()[4] for line in await client.ok("FETCH 1:* UID")] == [b"1)", b"3)", b"5)"]
        await client.close()

    run(dialogue())


def test_uid_expunge_removes_only_what_it_names(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 3)
        await client.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)")
        assert await client.ok("UID EXPUNGE 2:9") == [b"* 3 EXPUNGE", b"* 2 EXPUNGE"]
        await client.close()

    run(dialogue())


def test_close_expunges_silently_and_unselect_does_not(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 2)
        await client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        assert await client.ok("UNSELECT") == []
        assert b"* 2 EXISTS" in await client.ok("SELECT INBOX")
        assert await client.ok("CLOSE") == []
        assert b"* 1 EXISTS" in await client.ok("SELECT INBOX")
        await client.close()

    run(dialogue())


def test_copy_and_move_tell_the_uids(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 3)
        assert tagged(await client.command("COPY 1 Nowhere")).startswith(b"NO [TRYCREATE]")
        assert tagged(await client.command("MOVE 1 Nowhere")).startswith(b"NO [TRYCREATE]")
        await client.ok("CREATE Archive")
        assert re.match(rb"OK \[COPYUID \d+ 1,3 1:2\]", tagged(await client.command("COPY 1,3 Archive")))
        lines = await client.ok("UID MOVE 2:3 Archive")
        assert re.match(rb"\* OK \[COPYUID \d+ 2:3 3:4\]", lines[0])
        assert lines[1:] == [b"* 3 EXPUNGE", b"* 2 EXPUNGE"]
        assert b"MESSAGES 4" in (await client.ok("STATUS Archive (MESSAGES)"))[0]
        await client.close()

    run(dialogue())


# --- other sessions
def test_changes_by_another_session_are_told_at_noop(tmp_path: Path) -> None:
    async def dialogue() -> None:
        one = await filled(tmp_path, 3)
        two = Client(location(tmp_path))
        await two.ok("SELECT INBOX")
        await two.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        await two.ok("STORE 3 +FLAGS.SILENT (\\Flagged)")
        await two.ok("EXPUNGE")
        await two.ok("APPEND INBOX", MESSAGE)
        lines = await one.ok("NOOP")
        assert lines[0] == b"* 1 EXPUNGE"
        assert any(re.match(rb"\* 2 FETCH \(FLAGS \(\\Flagged", line) for line in lines)
        assert b"* 3 EXISTS" in lines
        await one.close()
        await two.close()

    run(dialogue())


def test_numbers_hold_during_fetch_store_and_search_by_number(tmp_path: Path) -> None:
    async def dialogue() -> None:
        one = await filled(tmp_path, 3)
        two = Client(location(tmp_path))
        await two.ok("SELECT INBOX")
        await two.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
        await two.ok("EXPUNGE")
        for command in ("FETCH 3 UID", "STORE 3 +FLAGS (\\Seen)", "SEARCH ALL"):
            assert not any(b"EXPUNGE" in line for line in await one.ok(command)), command
        assert (await one.ok("FETCH 3 UID")) == [b"* 3 FETCH (UID 3)"]
        assert b"* 1 EXPUNGE" in await one.ok("UID FETCH 3 FLAGS")
        assert (await one.ok("FETCH 2 UID")) == [b"* 2 FETCH (UID 3)"]
        await one.close()
        await two.close()

    run(dialogue())


def test_recent_is_told_to_one_session_only(tmp_path: Path) -> None:
    async def dialogue() -> None:
        one = await filled(tmp_path, 0)
        deliver(tmp_path)
        assert b"* 1 RECENT" in await one.ok("NOOP")
        two = Client(location(tmp_path))
        assert b"* 0 RECENT" in await two.ok("SELECT INBOX")
        await one.close()
        await two.close()

    run(dialogue())


# --- IDLE
def test_idle_tells_of_new_mail_at_once(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        await client.send(b"i IDLE\r\n")
        assert (await client.line()).startswith(b"+")
        deliver(tmp_path)
        assert await client.line() == b"* 2 EXISTS"
        assert (await client.line()).endswith(b"RECENT")
        await client.send(b"done\r\n")
        assert (await client.line()).startswith(b"i OK")
        await client.ok("NOOP")
        await client.close()

    run(dialogue())


def test_idle_without_selected_mailbox_and_with_a_wrong_end(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        await client.send(b"i IDLE\r\n")
        assert (await client.line()).startswith(b"+")
        await client.send(b"j NOOP\r\n")
        assert (await client.line()).startswith(b"i BAD")
        await client.ok("NOOP")
        await client.close()

    run(dialogue())


def test_idle_client_hears_something_now_and_then(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path), imap_idle_notify_interval="0.05s")
        await client.send(b"i IDLE\r\n")
        assert (await client.line()).startswith(b"+")
        assert await client.line() == b"* OK Still here"
        assert await client.line() == b"* OK Still here"
        await client.close()

    run(dialogue())


# --- ends
def test_silent_client_is_dismissed(tmp_path: Path) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path), imap_session_timeout="0.1s")
        assert await client.line() == b"* BYE Disconnected for inactivity."
        assert await client.line() == b""

    run(dialogue())


@pytest.mark.parametrize("idling", [False, True])
def test_stop_is_told(tmp_path: Path, idling: bool) -> None:
    async def dialogue() -> None:
        client = Client(location(tmp_path))
        if idling:
            await client.send(b"i IDLE\r\n")
            await client.line()
        else:
            await client.ok("NOOP")
        client.session.stop()
        assert await client.line() == b"* BYE Server shutting down."
        assert await client.line() == b""

    run(dialogue())


def test_client_that_vanishes_leaves_no_descriptor_open(tmp_path: Path) -> None:
    async def dialogue() -> None:
        before = len(os.listdir("/proc/self/fd"))
        client = await filled(tmp_path, 1)
        await client.ok("FETCH 1 BODY[]")
        await client.close()
        assert len(os.listdir("/proc/self/fd")) <= before

    run(dialogue())


def test_flags_that_were_changed_before_a_failure_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = MaildirMailbox._change_flags

    def broken(self: MaildirMailbox, changes: Any, uid: int, *rest: Any) -> bool:
        if uid == 2:
            raise OSError(errno.EIO, "broken")
        return change(self, changes, uid, *rest)

    async def dialogue() -> None:
        client = await filled(tmp_path)
        monkeypatch.setattr(MaildirMailbox, "_change_flags", broken)
        lines = await client.command("STORE 1:3 +FLAGS.SILENT (\\Flagged)")
        assert [line[:13] for line in lines[:-1]] == [b"* 1 FETCH (FL"] and b"\\Flagged" in lines[0]
        assert tagged(lines).startswith(b"NO")
        await client.close()

    run(dialogue())


def test_fault_of_ours_is_a_no_and_a_line_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pillarbox.lib.log import log

    async def dialogue() -> None:
        client = Client(location(tmp_path))

        def broken(*_: object) -> None:
            raise RuntimeError("boom")

        monkeypatch.setattr(client.session.store, "status", broken)
        assert tagged(await client.command("STATUS INBOX (MESSAGES)")).startswith(b"NO [SERVERBUG]")
        await client.ok("NOOP")
        await client.close()

    with log.capture() as lines:
        run(dialogue())
    assert any("STATUS: RuntimeError: boom" in line for line in lines)


def test_command_that_is_done_says_so_even_if_the_mailbox_cannot_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)

        def broken() -> None:
            raise StoreUnavailable("disk on fire")

        assert client.session.selected is not None
        monkeypatch.setattr(client.session.selected.mailbox, "refresh", broken)
        assert (await client.command("APPEND INBOX", MESSAGE))[-1].startswith(b"OK [APPENDUID")
        await client.close()

    run(dialogue())


def test_mailbox_that_was_replaced_ends_the_session_after_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dialogue() -> None:
        client = await filled(tmp_path, 1)
        assert client.session.selected is not None
        changes = Changes(uid_validity_changed=True)
        monkeypatch.setattr(client.session.selected.mailbox, "refresh", lambda: changes)
        assert (await client.command("NOOP"))[-1].startswith(b"OK")
        assert (await client.line()).startswith(b"* BYE")
        assert await client.line() == b""

    run(dialogue())
