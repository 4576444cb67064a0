"""NOTIFY (RFC 5465): what a client is told without asking, and what it is not."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.imapd.commands.notify import parse_registration
from pillarbox.imapd.protocol.cursor import Cursor
from pillarbox.imapd.protocol.errors import BadSyntax, CommandFailed
from pillarbox.imapd.session import events, notifier
from tests.imap.dialogue import MESSAGE, Client, location, run
from tests.imap.test_acl import BOX, shared

MESSAGES = "(MessageNew MessageExpunge)"
FLAGS = "(MessageNew MessageExpunge FlagChange)"


def dialogue(function: Callable[[Client, Client], Awaitable[None]], tmp_path: Path, **parameters: str) -> None:
    """Two sessions of one account; what the second does the first is told."""

    async def talk() -> None:
        one, other = Client(location(tmp_path), **parameters), Client(location(tmp_path))
        await other.ok("CREATE Lists/Lemonade")
        await other.ok("APPEND INBOX", MESSAGE)
        await other.ok("APPEND INBOX", MESSAGE)
        await function(one, other)
        await one.close()
        await other.close()

    run(talk())


async def nothing(client: Client) -> None:
    """Nothing has been told: the next line answers a command that tells nothing itself."""
    assert await client.ok("GETQUOTAROOT INBOX") == [b"* QUOTAROOT INBOX"]


# --- mailboxes that are not selected
def test_status_of_each_mailbox_first_and_when_something_comes(tmp_path: Path) -> None:
    """RFC 5465 section 3.1, the example."""

    async def talk(one: Client, other: Client) -> None:
        lines = await one.ok(
            f"NOTIFY SET STATUS (SELECTED (MessageNew (UID) MessageExpunge)) (SUBTREE Lists {MESSAGES})"
        )
        assert len(lines) == 1 and re.fullmatch(
            rb"\* STATUS Lists/Lemonade \(MESSAGES 0 UIDNEXT 1 UIDVALIDITY \d+ UNSEEN 0\)", lines[0]
        )
        await other.ok("APPEND Lists/Lemonade", MESSAGE)
        assert b"STATUS Lists/Lemonade (MESSAGES 1 UIDNEXT 2 " in await one.line()
        await other.ok("SELECT Lists/Lemonade")
        await other.ok("STORE 1 +FLAGS (\\Deleted)")
        await other.ok("EXPUNGE")
        assert b"STATUS Lists/Lemonade (MESSAGES 0 UIDNEXT 2 " in await one.line()
        await nothing(one)

    dialogue(talk, tmp_path)


def test_flags_are_told_where_they_are_asked_for(tmp_path: Path) -> None:
    async def talk(one: Client, other: Client) -> None:
        await one.ok(f"NOTIFY SET (MAILBOXES (INBOX) {FLAGS})")
        await other.ok("SELECT INBOX")
        await other.ok("STORE 1 +FLAGS (\\Seen)")
        line = await one.line()
        assert b"STATUS INBOX (MESSAGES 2 " in line and b"UNSEEN 1" in line
        await one.ok(f"NOTIFY SET (MAILBOXES INBOX {MESSAGES})")
        await other.ok("STORE 2 +FLAGS (\\Seen)")
        await nothing(one)

    dialogue(talk, tmp_path)


def test_an_mbox_is_looked_at_at_intervals(tmp_path: Path) -> None:
    async def talk() -> None:
        one = Client(f"mbox:{tmp_path}/mail", imap_idle_check_interval="1s")
        other = Client(f"mbox:{tmp_path}/mail")
        await one.ok(f"NOTIFY SET (PERSONAL {MESSAGES})")
        await other.ok("APPEND INBOX", MESSAGE)
        assert b"STATUS INBOX (MESSAGES 1 " in await one.line()
        await one.close()
        await other.close()

    run(talk())


# --- the selected mailbox
def test_the_selected_mailbox_at_once_with_what_is_to_be_fetched(tmp_path: Path) -> None:
    async def talk(one: Client, other: Client) -> None:
        await one.ok("SELECT INBOX")
        await one.ok(
            "NOTIFY SET (SELECTED (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange))"
        )
        await other.ok("APPEND INBOX", MESSAGE)
        assert await one.line() == b"* 3 EXISTS"
        assert (await one.line()).endswith(b" RECENT")
        line = await one.line()
        assert line.startswith(b"* 3 FETCH (UID 3 BODY[HEADER.FIELDS (SUBJECT)]") and b"first letter" in line
        await other.ok("SELECT INBOX")
        await other.ok("STORE 2 +FLAGS (\\Flagged \\Deleted)")
        line = await one.line()
        assert line.startswith(b"* 2 FETCH (UID 2 ") or (b"UID 2" in line and b"\\Flagged" in line)
        await other.ok("EXPUNGE")
        assert await one.line() == b"* 2 EXPUNGE"
        await nothing(one)

    dialogue(talk, tmp_path)


def test_delayed_expunges_wait_for_a_command(tmp_path: Path) -> None:
    async def talk(one: Client, other: Client) -> None:
        await one.ok("SELECT INBOX")
        await one.ok(f"NOTIFY SET (SELECTED-DELAYED {FLAGS}) (MAILBOXES Lists/Lemonade {MESSAGES})")
        await other.ok("SELECT INBOX")
        await other.ok("STORE 1 +FLAGS (\\Deleted)")
        assert b"\\Deleted" in await one.line()
        await other.ok("EXPUNGE")
        await other.ok("APPEND Lists/Lemonade", MESSAGE)
        assert b"STATUS Lists/Lemonade" in await one.line(), "the expunge came first, and waits"
        assert await one.ok("NOOP") == [b"* 1 EXPUNGE"]
        await nothing(one)

    dialogue(talk, tmp_path)


def test_idle_is_a_command_at_which_expunges_are_told(tmp_path: Path) -> None:
    """RFC 5465 section 4."""

    async def talk(one: Client, other: Client) -> None:
        await one.ok("SELECT INBOX")
        await one.ok(f"NOTIFY SET (SELECTED-DELAYED {MESSAGES}) (MAILBOXES Lists/Lemonade {MESSAGES})")
        await one.send(b"i IDLE\r\n")
        assert (await one.line()).startswith(b"+")
        await other.ok("SELECT INBOX")
        await other.ok("STORE 1 +FLAGS (\\Deleted)")
        await other.ok("EXPUNGE")
        assert await one.line() == b"* 1 EXPUNGE"
        await other.ok("APPEND Lists/Lemonade", MESSAGE)
        assert b"STATUS Lists/Lemonade (MESSAGES 1 " in await one.line()
        await one.send(b"DONE\r\n")
        assert (await one.until(b"i"))[-1].startswith(b"i OK")

    dialogue(talk, tmp_path)


@pytest.mark.parametrize("wish", ["NONE", "SET (SELECTED NONE)", f"SET (SUBTREE Lists {MESSAGES})"])
def test_without_a_wish_nothing_is_told_of_the_selected_mailbox(tmp_path: Path, wish: str) -> None:
    """RFC 5465 section 3.1: leaving SELECTED out is SELECTED NONE."""

    async def talk(one: Client, other: Client) -> None:
        await one.ok("SELECT INBOX")
        await one.ok(f"NOTIFY {wish}")
        await other.ok("APPEND INBOX", MESSAGE)
        assert await one.ok("NOOP") == []
        assert b"* 3 EXISTS" in await one.ok(f"NOTIFY SET (SELECTED {MESSAGES})")

    dialogue(talk, tmp_path)


def test_set_tells_what_has_gathered(tmp_path: Path) -> None:
    async def talk(one: Client, other: Client) -> None:
        await one.ok("SELECT INBOX")
        await other.ok("APPEND INBOX", MESSAGE)
        assert b"* 3 EXISTS" in await one.ok(f"NOTIFY SET (SELECTED {MESSAGES})")

    dialogue(talk, tmp_path)


def test_live_results_tell_of_new_messages_what_was_asked_for(tmp_path: Path) -> None:
    """RFC 5465 section 7: EXISTS, then FETCH, then ESEARCH."""

    async def talk(one: Client, other: Client) -> None:
        await one.ok("SELECT INBOX")
        await one.ok("UID SEARCH RETURN (COUNT UPDATE (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])) SUBJECT letter")
        await other.ok("APPEND INBOX", MESSAGE)
        lines = await one.ok("NOOP")
        assert lines[0] == b"* 3 EXISTS"
        assert lines[-2].startswith(b"* 3 FETCH (UID 3 BODY[HEADER.FIELDS (SUBJECT)]")
        assert lines[-1].startswith(b"* ESEARCH (TAG ") and lines[-1].endswith(b" UID ADDTO (0 3)")
        await other.ok("APPEND INBOX", MESSAGE.replace(b"letter", b"other"))
        assert not any(b"FETCH" in line for line in await one.ok("NOOP"))

    dialogue(talk, tmp_path)


# --- names, subscriptions, annotations
def test_names_come_go_and_change(tmp_path: Path) -> None:
    """RFC 5465 sections 5.4 and 5.5."""

    async def talk(one: Client, other: Client) -> None:
        await one.ok("NOTIFY SET (PERSONAL (MailboxName SubscriptionChange))")
        await other.ok("CREATE New")
        assert await one.line() == b'* LIST (\\HasNoChildren) "/" New'
        await other.ok("SUBSCRIBE New")
        assert await one.line() == b'* LIST (\\HasNoChildren \\Subscribed) "/" New'
        await other.ok("UNSUBSCRIBE New")
        assert await one.line() == b'* LIST (\\HasNoChildren) "/" New'
        await other.ok("DELETE New")
        assert await one.line() == b'* LIST (\\NonExistent) "/" New'
        await nothing(one)

    dialogue(talk, tmp_path)


def test_a_renamed_mailbox_is_told_with_its_old_name(tmp_path: Path) -> None:
    async def talk(one: Client, other: Client) -> None:
        await one.ok("NOTIFY SET (PERSONAL (MessageNew MessageExpunge MailboxName))")
        await other.ok("RENAME Lists/Lemonade Other")
        assert [await one.line()] == [b'* LIST (\\HasNoChildren) "/" Other ("OLDNAME" (Lists/Lemonade))']
        await other.ok("APPEND Other", MESSAGE)
        assert b"STATUS Other (MESSAGES 1 " in await one.line()

    dialogue(talk, tmp_path)


def test_annotations_that_change_are_named(tmp_path: Path) -> None:
    """RFC 5465 sections 5.6 and 5.7."""

    async def talk(one: Client, other: Client) -> None:
        await one.ok("NOTIFY SET (PERSONAL (MailboxMetadataChange ServerMetadataChange))")
        await other.ok('SETMETADATA Lists/Lemonade (/shared/comment "x" /private/comment "y")')
        assert await one.line() == b"* METADATA Lists/Lemonade /private/comment /shared/comment"
        await other.ok("SETMETADATA Lists/Lemonade (/shared/comment NIL)")
        assert await one.line() == b"* METADATA Lists/Lemonade /shared/comment"
        await other.ok('SETMETADATA "" (/private/comment "x")')
        assert await one.line() == b'* METADATA "" /private/comment'
        await nothing(one)

    dialogue(talk, tmp_path)


def test_what_the_client_does_itself_it_is_not_told(tmp_path: Path) -> None:
    async def talk(one: Client, other: Client) -> None:
        every = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange"
        await one.ok(f"NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge)) (PERSONAL ({every}))")
        for command in ("CREATE A", "SUBSCRIBE A", "RENAME A B", 'SETMETADATA B (/private/x "y")', "DELETE B"):
            assert await one.ok(command) == []
            await nothing(one)
        await one.ok("APPEND Lists/Lemonade", MESSAGE)
        await one.ok("SELECT INBOX")
        await one.ok("COPY 1 Lists/Lemonade")
        await one.ok("STORE 1 +FLAGS (\\Seen)")
        await nothing(one)
        assert not any(b"FETCH" in line for line in await one.ok("APPEND INBOX", MESSAGE))
        await one.ok("UNSELECT")
        await nothing(one)
        await other.ok("APPEND Lists/Lemonade", MESSAGE)
        assert b"STATUS Lists/Lemonade (MESSAGES 3 " in await one.line()

    dialogue(talk, tmp_path)


# --- what is refused
@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "SET",
        "SET STATUS",
        "SET SELECTED",
        "SET (SELECTED (MessageNew))",
        "SET (PERSONAL (FlagChange))",
        "SET (PERSONAL (MessageNew FlagChange))",
        "SET (SELECTED (MailboxName))",
        f"SET (SELECTED {MESSAGES}) (SELECTED-DELAYED {MESSAGES})",
        "SET (PERSONAL (MessageNew (UID) MessageExpunge))",
        "SET (SUBTREE (MailboxName))",
        "SET (EVERYTHING (MailboxName))",
        "SET (PERSONAL ())",
        "SET (PERSONAL (MailboxName)) x",
        "NONE x",
    ],
)
def test_wrong_registrations_are_bad(tmp_path: Path, arguments: str) -> None:
    async def talk(one: Client, other: Client) -> None:
        assert (await one.command(f"NOTIFY {arguments}"))[-1].startswith(b"BAD")

    dialogue(talk, tmp_path)


def test_events_that_are_not_supported_are_named(tmp_path: Path) -> None:
    async def talk(one: Client, other: Client) -> None:
        line = (await one.command("NOTIFY SET (PERSONAL (MessageNew MessageExpunge AnnotationChange))"))[-1]
        assert line.startswith(b"NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName ")

    dialogue(talk, tmp_path)


def test_too_much_is_refused_or_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5465 sections 3.1 and 5.8."""

    async def talk(one: Client, other: Client) -> None:
        monkeypatch.setattr(notifier, "MAILBOX_LIMIT", 2)
        await one.ok("NOTIFY SET (PERSONAL (MessageNew MessageExpunge MailboxName))")
        await other.ok("CREATE Third")
        lines = [await one.line(), await one.line()]
        assert any(line.startswith(b"* OK [NOTIFICATIONOVERFLOW]") for line in lines)
        assert (await one.command(f"NOTIFY SET (PERSONAL {MESSAGES})"))[-1].startswith(b"NO [NOTIFICATIONOVERFLOW]")
        await other.ok("APPEND Third", MESSAGE)
        await nothing(one)

    dialogue(talk, tmp_path)


def test_mailboxes_of_others_are_told_of_as_far_as_rights_go(tmp_path: Path) -> None:
    """RFC 5465 sections 3.1 and 5.9."""

    async def talk() -> None:
        ann, bob = await shared(tmp_path, "l", imap_idle_check_interval="1s")
        lines = await bob.ok(f'NOTIFY SET STATUS (MAILBOXES ("{BOX}" Nowhere) (MessageNew MessageExpunge MailboxName))')
        assert lines == [b'* LIST (\\NoAccess) "/" "%b"' % BOX.encode()]
        await ann.ok("SETACL Box bob +r")
        await bob.ok(f'NOTIFY SET (MAILBOXES "{BOX}" (MessageNew MessageExpunge MailboxName))')
        await ann.ok("APPEND Box", MESSAGE)
        assert b'* STATUS "%b" (MESSAGES 2 ' % BOX.encode() in await bob.line()
        await ann.ok("DELETEACL Box bob")
        assert await bob.line() == b'* LIST (\\NonExistent) "/" "%b"' % BOX.encode()
        await ann.ok("APPEND Box", MESSAGE)
        await nothing(bob)
        await bob.close()
        await ann.close()

    run(talk())


# --- the parts
@given(st.binary(max_size=80))
def test_any_registration_is_read_or_refused(data: bytes) -> None:
    try:
        parse_registration(Cursor(b"(" + data))
    except (BadSyntax, CommandFailed):
        pass


def test_groups_cover_what_they_say() -> None:
    group = events.EventGroup("SUBTREE", ("A/B",), frozenset())
    assert [group.covers(name, personal=True, subscribed=True) for name in ("A", "A/B", "A/B/C", "A/Bc")] == [
        False,
        True,
        True,
        False,
    ]
    assert events.EventGroup("SUBSCRIBED", (), frozenset()).covers("x", personal=False, subscribed=True)
    assert not events.EventGroup("INBOXES", (), frozenset()).covers("x", personal=False, subscribed=True)
