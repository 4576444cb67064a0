"""`Store.deliver`: a batch of messages into the mailboxes of an account of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pillarbox.lib.store.delivering import Delivery, NoSuchFolder
from pillarbox.lib.store.interface import FLAGGED, INBOX, SEEN, Store

Reopen = Callable[[], Store]


def message(subject: str, *, crlf: bool = False) -> Callable[[], list[bytes]]:
    end = b"\r\n" if crlf else b"\n"
    return lambda: [b"Subject: " + subject.encode() + end, end[:1], end[1:], b"body" + end]


def test_a_batch_is_stored_in_its_order_with_flags_and_dates(store: Store, reopen: Reopen) -> None:
    store.create("Work")
    outcomes = store.deliver(
        [
            Delivery(message("one")),
            Delivery(message("two", crlf=True), flags=("\\Seen", "\\flagged", "$label", "\\Recent"), date=1e9),
            Delivery(message("three"), "Work"),
        ]
    )
    assert outcomes == [None, None, None]
    account = reopen()
    with account.open(INBOX) as inbox:
        first, second = inbox.messages
        assert (first.flags, second.flags, second.keywords) == (0, SEEN | FLAGGED, {"$label"})
        assert inbox.internal_date(second.uid) == 1e9
        with inbox.read(first.uid) as content:
            assert content.read() == b"Subject: one\r\n\r\nbody\r\n"
        with inbox.read(second.uid) as content:
            assert content.read() == b"Subject: two\r\n\r\nbody\r\n"
    with account.open("Work") as work:
        assert len(work.messages) == 1


def test_a_mailbox_is_made_only_where_that_is_wanted(store: Store) -> None:
    missing, bad, made = store.deliver(
        [
            Delivery(message("a"), "None"),
            Delivery(message("b"), "/", create=True),
            Delivery(message("c"), "New/Below", create=True),
        ]
    )
    assert isinstance(missing, NoSuchFolder) and not missing.permanent
    assert isinstance(bad, NoSuchFolder) and bad.permanent
    assert made is None
    assert store.status("New/Below").messages == 1
    assert not store.exists("None")


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), EOFError("shorter than it was")])
def test_a_message_that_cannot_be_read_fails_alone(store: Store, error: Exception) -> None:
    def broken() -> Iterator[bytes]:
        yield b"Subject: x\n\n"
        raise error

    good, bad, other = store.deliver([Delivery(message("1")), Delivery(broken), Delivery(message("2"))])
    assert good is None and other is None
    assert bad is not None and bad.dsn == "4.3.0"
    assert store.status(INBOX).messages == 2
