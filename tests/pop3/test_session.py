"""Sessions over a Maildir, spoken to by poplib and by hand through a socket pair."""

from __future__ import annotations

import contextlib
import poplib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pillarbox.lib.log import log
from pillarbox.lib.store import open_store
from pillarbox.lib.store.interface import DELETED, SEEN, Mailbox, MessageContent, Store, StoreUnavailable
from pillarbox.pop3d.protocol import replies
from pillarbox.pop3d.session.session import Session

SMALL = b"Subject: one\nFrom: a@b.org\n\n.dot\n..two\nend\n"
LONG = b"Subject: long\n\n" + b"".join(b"%06d.line\n" % number for number in range(40_000))


@pytest.fixture(params=["maildir:{}/mail", "sqlite:{}/mail.sqlite"], ids=["maildir", "sqlite"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(tmp_path)


def deliver(location: str, *messages: bytes) -> None:
    store = open_store(location)
    for message in messages:
        store.append("INBOX", [message])
    store.close()


def crlf(message: bytes) -> bytes:
    return message.replace(b"\n", b"\r\n")


@contextmanager
def serving(store: Store, **options: object) -> Iterator[socket.socket]:
    """A running session; gives the client's end.  The session has ended when the block is left."""
    client, server = socket.socketpair()
    client.settimeout(20)

    def work() -> None:
        with server:
            Session(server, "ann", **{"timeout": 20.0, **options}).run(store)  # type: ignore[arg-type]

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with client:
            yield client
    finally:
        thread.join(20)
        assert not thread.is_alive(), "the session goes on without its client"


class Pop(poplib.POP3):
    """poplib over a socket that is connected already."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.makefile("rb")
        self._debugging = 0
        self._tls_established = False
        self.welcome = self._getresp()


def test_poplib_reads_a_maildir(location: str) -> None:
    deliver(location, SMALL, LONG)
    with serving(open_store(location)) as sock:
        pop = Pop(sock)
        assert pop.stat() == (2, len(crlf(SMALL)) + len(crlf(LONG)))
        assert pop.list()[1] == [b"1 %d" % len(crlf(SMALL)), b"2 %d" % len(crlf(LONG))]
        for number, message in ((1, SMALL), (2, LONG)):
            assert b"\r\n".join(pop.retr(number)[1]) + b"\r\n" == crlf(message)
        assert pop.top(1, 1)[1] == [b"Subject: one", b"From: a@b.org", b"", b".dot"]
        assert len(set(pop.uidl()[1])) == 2
        assert b"PIPELINING" in [name.encode() for name in pop.capa()]
        pop.noop()
        assert pop.quit().startswith(b"+OK")


def test_deleted_messages_go_at_quit(location: str) -> None:
    deliver(location, SMALL, LONG, SMALL)
    with serving(open_store(location)) as sock:
        pop = Pop(sock)
        kept = pop.uidl()[1][1].split()[1]
        pop.dele(1)
        pop.dele(3)
        pop.quit()
    with serving(open_store(location)) as sock:
        assert Pop(sock).uidl()[1] == [b"1 " + kept], "the unique-id stays"


def test_without_quit_nothing_is_deleted(location: str) -> None:
    deliver(location, SMALL)
    with serving(open_store(location)) as sock:
        Pop(sock).dele(1)
    with serving(open_store(location)) as sock:
        assert Pop(sock).stat()[0] == 1


def test_an_empty_mailbox_that_does_not_exist_yet_is_served(location: str) -> None:
    with serving(open_store(location)) as sock:
        assert Pop(sock).stat() == (0, 0)


def test_a_second_session_is_refused(location: str) -> None:
    deliver(location, SMALL)
    with serving(open_store(location)) as first:
        Pop(first)
        with serving(open_store(location)) as second, pytest.raises(poplib.error_proto, match="IN-USE"):
            Pop(second)
    with serving(open_store(location)) as third:
        assert Pop(third).stat()[0] == 1, "the lock is gone with its session"


def test_who_has_the_answer_to_quit_may_come_back_at_once(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(location, SMALL)
    store = open_store(location)
    real = store.session_lock

    @contextlib.contextmanager
    def slowly_released(name: str) -> Iterator[None]:
        with real(name):
            yield
            time.sleep(0.3)

    monkeypatch.setattr(store, "session_lock", slowly_released)
    with serving(store) as first:
        Pop(first).quit()
        with open_store(location).session_lock("INBOX"):
            pass


def test_pipelined_commands_are_all_answered(location: str) -> None:
    deliver(location, SMALL)
    with serving(open_store(location), received=b"STAT\r\nRETR 1\r\n") as sock:
        sock.sendall(b"NOOP\r\nTOP 1 0\r\nWHAT\r\nQUIT\r\n")
        answer = b""
        while data := sock.recv(65536):
            answer += data
    size = len(crlf(SMALL))
    assert answer == (
        replies.LOGGED_IN
        + b"+OK 1 %d\r\n+OK %d octets\r\n" % (size, size)
        + b"Subject: one\r\nFrom: a@b.org\r\n\r\n..dot\r\n...two\r\nend\r\n.\r\n"
        + replies.NOOP
        + replies.TOP_FOLLOWS
        + b"Subject: one\r\nFrom: a@b.org\r\n\r\n.\r\n"
        + replies.UNKNOWN_COMMAND
        + replies.UPDATED
    )


def test_retrieved_messages_are_seen_afterwards(location: str) -> None:
    deliver(location, SMALL, SMALL)
    with serving(open_store(location)) as sock:
        pop = Pop(sock)
        pop.retr(2)
        pop.top(1, 0)
        pop.quit()
    with open_store(location).open("INBOX") as mailbox:
        assert [state.flags & SEEN for state in mailbox.messages] == [0, SEEN]


def test_flags_stay_where_the_parameter_says_so(location: str) -> None:
    deliver(location, SMALL)
    with serving(open_store(location), flag_updates=False) as sock:
        pop = Pop(sock)
        pop.retr(1)
        pop.quit()
    with open_store(location).open("INBOX") as mailbox:
        assert [state.flags & SEEN for state in mailbox.messages] == [0]


def test_a_message_that_another_program_removed_is_an_error_and_the_session_lives(location: str) -> None:
    deliver(location, SMALL, LONG)
    with serving(open_store(location)) as sock:
        pop = Pop(sock)
        with open_store(location).open("INBOX") as mailbox:
            first = mailbox.messages[0].uid
            mailbox.set_flags([first], "add", DELETED)
            mailbox.expunge([first])
        with pytest.raises(poplib.error_proto, match="gone"):
            pop.retr(1)
        assert b"\r\n".join(pop.retr(2)[1]) + b"\r\n" == crlf(LONG)
        pop.dele(1)
        assert pop.quit().startswith(b"+OK")


def test_a_client_that_says_nothing_is_dismissed(location: str) -> None:
    with serving(open_store(location), timeout=0.05) as sock, sock.makefile("rb") as lines:
        assert lines.read() == replies.LOGGED_IN + replies.IDLE_TOO_LONG


def test_a_client_that_does_not_read_does_not_hold_the_session_for_ever(location: str) -> None:
    deliver(location, LONG * 3)
    with serving(open_store(location), timeout=0.05) as sock:
        sock.sendall(b"RETR 1\r\n" * 20)
        while sock.recv(1 << 20):
            pass  # what was sent before the time limit; then the end


def test_overlong_lines_and_garbage_are_answered(location: str) -> None:
    with serving(open_store(location)) as sock:
        pop = Pop(sock)
        sock.sendall(b"X" * 100_000 + b"\r\n\x00\xff\r\nSTAT\r\n")
        with sock.makefile("rb") as lines:
            assert [lines.readline() for _ in range(3)] == [
                replies.LINE_TOO_LONG,
                replies.UNKNOWN_COMMAND,
                b"+OK 0 0\r\n",
            ]
        pop.quit()


class Broken:
    """A store that fails where it is told to."""

    def __init__(self, store: Store, at: str) -> None:
        self._store = store
        self._at = at

    def __getattr__(self, name: str) -> object:
        if name == self._at:
            raise StoreUnavailable("disk on fire")
        if name == "open":
            return lambda mailbox: BrokenMailbox(self._store.open(mailbox), self._at)
        return getattr(self._store, name)


class BrokenMailbox:
    def __init__(self, mailbox: Mailbox, at: str) -> None:
        self._mailbox = mailbox
        self._at = at

    def __getattr__(self, name: str) -> object:
        if name == self._at:
            raise StoreUnavailable("disk on fire")
        if name == "read" and self._at == "chunks":
            return lambda uid: BrokenContent(self._mailbox.read(uid))
        return getattr(self._mailbox, name)

    def __enter__(self) -> BrokenMailbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._mailbox.close()


class BrokenContent:
    def __init__(self, content: MessageContent) -> None:
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        yield b"Subject: half\r\n"
        raise StoreUnavailable("disk on fire")

    def __enter__(self) -> BrokenContent:
        return self

    def __exit__(self, *_: object) -> None:
        self._content.close()


def broken(location: str, at: str) -> Store:
    return Broken(open_store(location), at)  # type: ignore[return-value]


def test_a_mailbox_that_cannot_be_opened_is_a_temporary_error(location: str) -> None:
    with log.capture() as lines, serving(broken(location, "session_lock")) as sock, sock.makefile("rb") as answer:
        assert answer.read() == replies.MAILDROP_UNAVAILABLE
    assert "disk on fire" in lines[0]


def test_a_message_that_cannot_be_read_breaks_off_only_when_begun(location: str) -> None:
    deliver(location, SMALL)
    with log.capture():
        with serving(broken(location, "read")) as sock:
            pop = Pop(sock)
            with pytest.raises(poplib.error_proto, match="SYS/TEMP"):
                pop.retr(1)
            pop.quit()
        with serving(broken(location, "chunks")) as sock:
            pop = Pop(sock)
            sock.sendall(b"RETR 1\r\n")
            with sock.makefile("rb") as answer:
                said = answer.read()
            assert said.startswith(b"+OK "), "it has begun"
            assert not said.endswith(b".\r\n"), "no terminator: the client must not think it has all"


def test_messages_that_cannot_be_removed_are_reported(location: str) -> None:
    deliver(location, SMALL)
    with log.capture() as lines, serving(broken(location, "expunge")) as sock:
        pop = Pop(sock)
        pop.dele(1)
        with pytest.raises(poplib.error_proto, match="not removed"):
            pop.quit()
    assert any("disk on fire" in line for line in lines)


def test_the_end_of_a_session_is_one_log_line(location: str) -> None:
    deliver(location, SMALL)
    with log.capture() as lines, serving(open_store(location)) as sock:
        pop = Pop(sock)
        pop.retr(1)
        pop.dele(1)
        pop.quit()
    assert len(lines) == 1
    assert lines[0].endswith(f"ann: logged out, messages=1, retr=1/{len(crlf(SMALL))}, del=1")
