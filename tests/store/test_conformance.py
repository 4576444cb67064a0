"""What every store promises (`pillarbox.lib.store.interface`), whatever its format."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pillarbox.lib.store.interface import (
    ANSWERED,
    DELETED,
    FLAGGED,
    INBOX,
    SEEN,
    BadMailboxName,
    Mailbox,
    MailboxBusy,
    MailboxExists,
    MailboxNotFound,
    MessageGone,
    NotPossible,
    Store,
)

Reopen = Callable[[], Store]


def letter(subject: str, body: bytes = b"Hello\r\n") -> bytes:
    return b"From: a@example.org\r\nSubject: " + subject.encode() + b"\r\n\r\n" + body


def add(store: Store, *subjects: str, mailbox: str = INBOX) -> list[int]:
    return [store.append(mailbox, [letter(subject)]).uid for subject in subjects]


def subjects(mailbox: Mailbox) -> list[str]:
    found = []
    for message in mailbox.messages:
        with mailbox.read(message.uid) as content:
            header = content.header()
        assert mailbox.header(message.uid) in (None, header)
        found.append(header.split(b"Subject: ")[1].split(b"\r\n")[0].decode())
    return found


# --- mailboxes


def test_a_new_account_has_an_empty_inbox(store: Store) -> None:
    assert [entry.name for entry in store.list()] == [INBOX]
    with store.open("inbox") as inbox:
        assert inbox.name == INBOX
        assert list(inbox.messages) == []
        assert inbox.uid_next == 1
        assert inbox.uid_validity > 0


def test_a_created_mailbox_is_listed_with_its_levels(store: Store) -> None:
    store.create("Work/Projects")
    entries = {entry.name: entry for entry in store.list()}
    assert entries["Work/Projects"].selectable
    assert entries["Work"].has_children
    with store.open("Work/Projects") as mailbox:
        assert mailbox.name == "Work/Projects"


@pytest.mark.parametrize("name", ["Entwürfe", "日本語", "R&D", "&", "with space", 'quo"te', "~tilde"])
def test_any_unicode_name_comes_back_as_given(store: Store, reopen: Reopen, name: str) -> None:
    store.create(name)
    assert name in [entry.name for entry in reopen().list()]
    with reopen().open(name) as mailbox:
        assert mailbox.name == name


@pytest.mark.parametrize("name", ["", "/", "a//b", "/a", "a/", "a\nb", "a\0b", "x" * 300, "..", "../x", "a/../b", "."])
def test_a_name_that_cannot_be_a_mailbox_is_refused(store: Store, name: str) -> None:
    with pytest.raises(BadMailboxName):
        store.create(name)


def test_an_existing_mailbox_is_not_created_again(store: Store) -> None:
    store.create("Work")
    with pytest.raises(MailboxExists):
        store.create("Work")
    with pytest.raises(MailboxExists):
        store.create("Inbox")


def test_a_missing_mailbox_is_not_opened(store: Store) -> None:
    for action in (store.open, store.status, store.begin_append, store.delete):
        with pytest.raises(MailboxNotFound):
            action("None")


def test_deletion_removes_messages_and_keeps_children(store: Store) -> None:
    store.create("Work")
    store.create("Work/Sub")
    add(store, "one", mailbox="Work")
    store.delete("Work")
    assert not store.exists("Work")
    assert store.exists("Work/Sub")
    with pytest.raises(NotPossible):
        store.delete(INBOX)


def test_a_recreated_mailbox_has_a_new_uid_validity(store: Store) -> None:
    store.create("Work")
    with store.open("Work") as mailbox:
        first = mailbox.uid_validity
    store.delete("Work")
    store.create("Work")
    with store.open("Work") as mailbox:
        assert mailbox.uid_validity > first


def test_rename_keeps_messages_uids_and_children(store: Store) -> None:
    store.create("Old/Sub")
    if not store.exists("Old"):
        store.create("Old")
    (uid,) = add(store, "kept", mailbox="Old/Sub")
    store.rename("Old", "New")
    assert not store.exists("Old/Sub")
    with store.open("New/Sub") as mailbox:
        assert [message.uid for message in mailbox.messages] == [uid]
        assert subjects(mailbox) == ["kept"]
    store.create("Other")
    with pytest.raises(MailboxExists):
        store.rename("New", "Other")
    with pytest.raises(MailboxNotFound):
        store.rename("Nowhere", "Else")


def test_renaming_inbox_moves_its_messages_and_keeps_it(store: Store) -> None:
    add(store, "one", "two")
    store.rename(INBOX, "Archive")
    with store.open(INBOX) as inbox, store.open("Archive") as archive:
        assert subjects(inbox) == []
        assert subjects(archive) == ["one", "two"]


def test_subscriptions_are_kept_also_for_missing_mailboxes(store: Store, reopen: Reopen) -> None:
    store.subscribe("Gone/Far", True)
    store.subscribe("Gone/Far", True)
    store.subscribe("Übung", True)
    assert set(reopen().subscriptions()) == {"Gone/Far", "Übung"}
    store.subscribe("Gone/Far", False)
    assert reopen().subscriptions() == ("Übung",)


# --- messages


def test_an_appended_message_is_there_with_what_was_given(store: Store, reopen: Reopen) -> None:
    text = letter("hi", b"line\r\n" * 1000)
    done = store.append(INBOX, [text[:7], text[7:100], text[100:]], SEEN | FLAGGED, {"$Junk", "Work"}, 1_600_000_000.0)
    with reopen().open(INBOX) as inbox:
        (message,) = inbox.messages
        assert (message.uid, done.uid_validity) == (done.uid, inbox.uid_validity)
        assert message.flags == SEEN | FLAGGED
        assert message.keywords == {"$Junk", "Work"}
        assert inbox.internal_date(message.uid) == 1_600_000_000.0
        assert inbox.size(message.uid) == len(text)
        with inbox.read(message.uid) as content:
            assert content.size == len(text)
            assert content.read() == text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\r\n",
        b"no header end",
        b"A: b\r\n\r\nlone \r cr and From line\r\nFrom me\r\n",
        b"A: b\r\n\r\n\r\n\r\nFrom here\r\n\r\nFrom there 12:00 2020\r\n\r\n\r\n",
        b"\x00\xff\r\n\r\n\x00",
        b"A: b\r\n\r\nno newline at the end",
        b"A: b\r\n" * 3000 + b"\r\nx\r\n" * 100_000,
    ],
)
def test_content_comes_back_octet_by_octet(store: Store, kind: str, text: bytes) -> None:
    uid = store.append(INBOX, [text]).uid
    with store.open(INBOX) as inbox, inbox.read(uid) as content:
        got = content.read()
        assert content.size == len(got) == inbox.size(uid)
        if kind == "mbox":  # the format ends every message with a line end and quotes From_ lines for good
            got = got.replace(b"\r\n>From ", b"\r\nFrom ")
            assert got.removesuffix(b"\r\n") == text.removesuffix(b"\r\n")
        else:
            assert got == text
        for start in (0, 1, 7, 1000, len(got) - 1, len(got), len(got) + 5):
            assert content.read(max(start, 0), 11) == (content.read())[max(start, 0) : max(start, 0) + 11]
        assert content.read().startswith(content.header())


@pytest.mark.parametrize("begins", [b"", b"A: b\r\n"])
def test_a_header_without_end_is_as_many_lines_as_may_be_read(store: Store, begins: bytes) -> None:
    uid = store.append(INBOX, [begins, b"x" * (2 << 20), b"\r\n\r\n"]).uid
    with store.open(INBOX) as inbox, inbox.read(uid) as content:
        assert content.header() == begins


def test_uids_ascend_and_are_never_used_again(store: Store, reopen: Reopen) -> None:
    first, second = add(store, "one", "two")
    with store.open(INBOX) as inbox:
        assert inbox.expunge([second]) == (second,)
    (third,) = add(reopen(), "three")
    assert first < second < third
    with reopen().open(INBOX) as inbox:
        assert [message.uid for message in inbox.messages] == [first, third]
        assert inbox.uid_next > third


def test_uids_stay_over_sessions(store: Store, reopen: Reopen) -> None:
    add(store, "a", "b", "c")
    with store.open(INBOX) as inbox:
        before = (inbox.uid_validity, [message.uid for message in inbox.messages], subjects(inbox))
    with reopen().open(INBOX) as inbox:
        assert (inbox.uid_validity, [message.uid for message in inbox.messages], subjects(inbox)) == before


def test_flags_are_added_removed_and_replaced(store: Store, reopen: Reopen) -> None:
    one, two = add(store, "one", "two")
    with store.open(INBOX) as inbox:
        states = inbox.set_flags([one, two], "add", SEEN | ANSWERED, {"$Forwarded"}).states
        assert [(state.uid, state.flags, state.keywords) for state in states] == [
            (one, SEEN | ANSWERED, {"$Forwarded"}),
            (two, SEEN | ANSWERED, {"$Forwarded"}),
        ]
        assert "$Forwarded" in inbox.keywords
        inbox.set_flags([one], "remove", SEEN, {"$FORWARDED"})
        inbox.set_flags([two], "replace", DELETED)
    with reopen().open(INBOX) as inbox:
        assert [(state.flags, state.keywords) for state in inbox.messages] == [(ANSWERED, set()), (DELETED, set())]


def test_a_read_only_view_changes_nothing(store: Store) -> None:
    (uid,) = add(store, "one")
    with store.open(INBOX, read_only=True) as inbox:
        for action in (
            lambda: inbox.set_flags([uid], "add", SEEN),
            lambda: inbox.expunge([uid]),
            lambda: inbox.move([uid], INBOX),
        ):
            with pytest.raises(NotPossible):
                action()
    with store.open(INBOX) as inbox:
        assert inbox.messages[0].flags == 0


def test_recent_belongs_to_the_first_writable_view(store: Store, reopen: Reopen) -> None:
    add(store, "one")
    with store.open(INBOX, read_only=True) as looked:
        assert looked.messages[0].recent
    with store.open(INBOX) as first:
        assert first.messages[0].recent
        with reopen().open(INBOX) as second:
            assert not second.messages[0].recent


def test_refresh_tells_what_another_session_did(store: Store, reopen: Reopen) -> None:
    one, two, three = add(store, "one", "two", "three")
    with store.open(INBOX) as mine, reopen().open(INBOX) as other:
        other.set_flags([one], "add", SEEN)
        other.expunge([two])
        (four,) = add(reopen(), "four")
        assert [message.uid for message in mine.messages] == [one, two, three]
        changes = mine.refresh()
        assert changes.expunged == (two,)
        assert [(state.uid, state.flags) for state in changes.changed] == [(one, SEEN)]
        assert [state.uid for state in changes.new] == [four]
        assert [message.uid for message in mine.messages] == [one, three, four]
        assert not mine.refresh()


def test_a_message_removed_by_another_session_is_gone(store: Store, reopen: Reopen) -> None:
    one, two = add(store, "one", "two")
    with store.open(INBOX) as mine, reopen().open(INBOX) as other:
        with mine.read(one) as opened:
            other.expunge([one])
            assert opened.read() == letter("one")
        with pytest.raises(MessageGone):
            mine.read(one)
        assert [state.uid for state in mine.set_flags([one, two], "add", SEEN).states] == [two]
        assert mine.expunge([one]) == ()
        assert [state.uid for state in mine.messages] == [two]
        assert not mine.refresh().expunged


def test_own_changes_are_not_reported_again(store: Store) -> None:
    one, two = add(store, "one", "two")
    with store.open(INBOX) as inbox:
        inbox.set_flags([one], "add", SEEN)
        inbox.expunge([two])
        assert not inbox.refresh()
        assert [message.uid for message in inbox.messages] == [one]


def test_two_sessions_changing_flags_lose_nothing(store: Store, reopen: Reopen) -> None:
    (uid,) = add(store, "one")
    with store.open(INBOX) as mine, reopen().open(INBOX) as other:
        other.set_flags([uid], "add", FLAGGED)
        (state,) = mine.set_flags([uid], "add", SEEN).states
        assert state.flags == SEEN | FLAGGED


def test_copy_takes_flags_keywords_and_date_along(store: Store) -> None:
    store.create("Copies")
    uid = store.append(INBOX, [letter("x")], SEEN, {"Blue"}, 1_500_000_000.0).uid
    (other,) = add(store, "y")
    with store.open(INBOX) as inbox:
        done = inbox.copy([other, uid], "Copies")
        assert done.source_uids == (uid, other)
        assert not inbox.refresh()
    with store.open("Copies") as copies:
        assert done.uid_validity == copies.uid_validity
        assert tuple(message.uid for message in copies.messages) == done.uids
        assert (copies.messages[0].flags, copies.messages[0].keywords) == (SEEN, {"Blue"})
        assert copies.internal_date(done.uids[0]) == 1_500_000_000.0
        assert subjects(copies) == ["x", "y"]


def test_copy_into_the_same_mailbox_makes_new_messages(store: Store) -> None:
    (uid,) = add(store, "x")
    with store.open(INBOX) as inbox:
        done = inbox.copy([uid], INBOX)
        changes = inbox.refresh()
        assert tuple(state.uid for state in changes.new) == done.uids
        assert subjects(inbox) == ["x", "x"]


def test_copy_and_move_need_an_existing_destination(store: Store) -> None:
    (uid,) = add(store, "x")
    with store.open(INBOX) as inbox:
        with pytest.raises(MailboxNotFound):
            inbox.copy([uid], "Nowhere")
        with pytest.raises(MailboxNotFound):
            inbox.move([uid], "Nowhere")
        assert subjects(inbox) == ["x"]


def test_move_leaves_the_source_and_arrives_whole(store: Store, reopen: Reopen) -> None:
    store.create("Away")
    one, two, three = add(store, "one", "two", "three")
    with store.open(INBOX) as inbox:
        inbox.set_flags([three], "add", FLAGGED)
        done = inbox.move([one, three], "Away")
        assert [message.uid for message in inbox.messages] == [two]
        assert not inbox.refresh()
    with reopen().open("Away") as away, reopen().open(INBOX) as inbox:
        assert subjects(away) == ["one", "three"]
        assert tuple(message.uid for message in away.messages) == done.uids
        assert away.messages[1].flags == FLAGGED
        assert subjects(inbox) == ["two"]


def test_a_message_moved_away_and_back_gets_a_new_uid(store: Store) -> None:
    store.create("Away")
    one, two = add(store, "one", "two")
    with store.open(INBOX) as inbox, store.open("Away") as away:
        inbox.move([one], "Away")
        away.refresh()
        away.move([away.messages[0].uid], INBOX)
        (back,) = inbox.refresh().new
        assert back.uid > two
        assert subjects(inbox) == ["two", "one"]


def test_status_counts_without_opening(store: Store) -> None:
    one, two, _ = add(store, "one", "two", "three")
    with store.open(INBOX) as inbox:
        inbox.set_flags([one], "add", SEEN)
        inbox.set_flags([two], "add", DELETED)
    status = store.status(INBOX, with_size=True)
    assert (status.messages, status.unseen, status.deleted, status.uid_next) == (3, 2, 1, 4)
    assert status.size == sum(len(letter(subject)) for subject in ("one", "two", "three"))


def test_an_aborted_append_leaves_nothing(store: Store, reopen: Reopen) -> None:
    appender = store.begin_append(INBOX)
    appender.write(letter("never"))
    appender.abort()
    with reopen().open(INBOX) as inbox:
        assert list(inbox.messages) == []


def test_a_keyword_more_than_the_store_has_room_for_is_left_out(store: Store) -> None:
    (uid,) = add(store, "one")
    with store.open(INBOX) as inbox:
        wanted = {f"word{number:02}" for number in range(40)}
        (state,) = inbox.set_flags([uid], "add", 0, wanted).states
        assert state.keywords <= wanted
        assert len(state.keywords) == len(inbox.keywords)
        assert inbox.accepts_new_keywords == (len(state.keywords) == 40)


def test_the_session_lock_keeps_a_second_session_out(store: Store, reopen: Reopen) -> None:
    with store.session_lock(INBOX), pytest.raises(MailboxBusy), reopen().session_lock(INBOX):
        pass
    with reopen().session_lock(INBOX):
        pass


def test_the_pop3_uidl_is_unique_printable_and_stays(store: Store, reopen: Reopen) -> None:
    uids = add(store, "one", "two")
    with store.open(INBOX) as inbox:
        before = [inbox.pop3_uidl(uid) for uid in uids]
    assert len(set(before)) == 2
    assert all(0 < len(uidl) <= 70 and uidl.isascii() and uidl.isprintable() for uidl in before)
    with reopen().open(INBOX) as inbox:
        assert [inbox.pop3_uidl(uid) for uid in uids] == before


def test_a_deleted_mailbox_under_a_running_session_is_an_error_not_a_crash(store: Store, reopen: Reopen) -> None:
    store.create("Work")
    (uid,) = add(store, "x", mailbox="Work")
    with store.open("Work") as mailbox:
        reopen().delete("Work")
        with pytest.raises(MailboxNotFound):
            mailbox.refresh()
        with pytest.raises((MessageGone, MailboxNotFound)):
            mailbox.read(uid)
