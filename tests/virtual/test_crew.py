"""What the parent believes of its children: results for what it asked, lines for the log, and a connection or two."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.delivery import Content, DeliveryRecipient, DeliveryRequest, Result
from pillarbox.lib.delivery.excerpt import SMALL
from pillarbox.lib.delivery.request import parse_request, passed_on
from pillarbox.lib.hosted.mailboxes import Found
from pillarbox.lib.hosted.owners import MailboxOwner
from pillarbox.lib.hosted.search import Question
from pillarbox.lib.ipc import Attributes, Channel, encode_frame
from pillarbox.lib.log import log
from pillarbox.lib.process.children import ChildFailed, leave_parent
from pillarbox.lib.queue.claims import _claimed, claim
from pillarbox.virtual import crew as module
from pillarbox.virtual import parent as parent_module
from pillarbox.virtual.crew import MOST_CONNECTIONS, Crew
from pillarbox.virtual.filtering import SERVICE
from pillarbox.virtual.parent import ParentDelivery

OWNER = MailboxOwner(20001, 20001)
Talk = Callable[[Channel, Attributes], None]


def request(path: Path, *addresses: str, **more: Any) -> DeliveryRequest:
    file = path / "message"
    file.write_bytes(b"Subject: x\n\nx\n")
    return DeliveryRequest(
        tag=7,
        queue_id="4jXFYl6dnjz0001",
        sender="s@example.org",
        recipients=tuple(DeliveryRecipient(n + 3, address) for n, address in enumerate(addresses)),
        content=Content(os.open(file, os.O_RDONLY), 0, 14),
        transport="virtual",
        nexthop="example.com",
        arrival=1.0,
        active=2.0,
        taken=3.0,
        **more,
    )


def deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, talk: Talk, **options: str) -> list[Result]:
    """What the parent makes of a child that talks like this about a message to two recipients."""

    def live(theirs: socket.socket, *_: object, **__: object) -> None:
        try:
            channel = leave_parent(theirs)
            talk(channel, channel.receive())
            time.sleep(60)
        finally:
            os._exit(0)

    monkeypatch.setattr(module, "live", live)
    asked = request(tmp_path, "a@example.com", "b@example.com")
    found = Found("/nowhere", True)

    async def run() -> list[Result]:
        crew = Crew(Config.for_tests(**options), confine=False)
        try:
            return await crew.deliver(OWNER, asked, [(recipient, found) for recipient in asked.recipients])
        finally:
            crew.close()
            for child in crew._pool._ended:
                child.kill()
                os.waitpid(child.pid, 0)

    try:
        return asyncio.run(run())
    finally:
        asked.close()


def results(*numbers: int) -> list[dict[str, object]]:
    return [Result(number, "sent", "2.0.0", "delivered to maildir", "virtual").frame() for number in numbers]


def test_results_for_what_was_asked_are_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(channel: Channel, frame: Attributes) -> None:
        assert [place.text("path") for place in frame.groups("places")] == ["/nowhere"] * 2
        channel.send({"tag": frame.integer("tag"), "results": results(3, 4)})

    assert [result.n for result in deliver(tmp_path, monkeypatch, talk)] == [3, 4]


@pytest.mark.parametrize("numbers", [(3,), (3, 5), (4, 3), (3, 4, 5), ()])
def test_results_for_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, ...]) -> None:
    def talk(channel: Channel, frame: Attributes) -> None:
        channel.send({"tag": frame.integer("tag"), "results": results(*numbers)})

    with pytest.raises(ChildFailed, match="other recipients"):
        deliver(tmp_path, monkeypatch, talk)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"tag": 99, "results": []}, "not made"),
        ({"failed": "PrivilegeError: no"}, "PrivilegeError: no"),
        ({"other": 1}, "tag"),
    ],
)
def test_what_is_no_report_costs_a_deferral(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, object], why: str
) -> None:
    with pytest.raises(ChildFailed, match=why):
        deliver(tmp_path, monkeypatch, lambda channel, _: channel.send(said))


def test_a_child_that_dies_costs_a_deferral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChildFailed, match="closed"):
        deliver(tmp_path, monkeypatch, lambda *_: os._exit(1))


def test_one_that_says_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChildFailed, match="no report within 1 seconds"):
        deliver(tmp_path, monkeypatch, lambda *_: None, daemon_timeout="1s")


def test_its_connections_to_cleanup_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(channel: Channel, frame: Attributes) -> None:
        answers = [channel.call({"connect": True}) for _ in range(MOST_CONNECTIONS + 2)]
        assert [answer.boolean("connected") for answer in answers] == [True] * MOST_CONNECTIONS + [False] * 2
        channel.send({"tag": frame.integer("tag"), "results": results(3, 4)})

    (tmp_path / "private").mkdir()
    with socket.socket(socket.AF_UNIX) as cleanup:
        cleanup.bind(Config.for_tests(queue_directory=str(tmp_path)).socket_path(SERVICE))
        cleanup.listen(100)
        assert len(deliver(tmp_path, monkeypatch, talk, queue_directory=str(tmp_path))) == 2


def test_a_cleanup_that_is_away_costs_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many messages of a batch may want to be sent on."""

    def talk(channel: Channel, frame: Attributes) -> None:
        for _ in range(100):
            assert not channel.call({"connect": True}).boolean("connected"), "there is no cleanup here"
        channel.send({"tag": frame.integer("tag"), "results": results(3, 4)})

    assert len(deliver(tmp_path, monkeypatch, talk, queue_directory=str(tmp_path))) == 2


def test_descriptors_of_a_child_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(channel: Channel, frame: Attributes) -> None:
        with open(os.devnull) as file:
            for _ in range(300):
                channel.send({"log": []}, [file.fileno()])
        channel.send({"tag": frame.integer("tag"), "results": results(3, 4)})

    before = len(os.listdir("/proc/self/fd"))
    deliver(tmp_path, monkeypatch, talk)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_line_for_the_log_is_one_line_of_that_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(channel: Channel, frame: Attributes) -> None:
        channel.send({"log": ["first\nNov 11 forged[1]: line\n", "warning: second"]})
        channel.send({"tag": frame.integer("tag"), "results": results(3, 4)})

    written: list[bytes] = []
    before = log._write
    log.renew()
    log.send_lines(written.append)
    try:
        deliver(tmp_path, monkeypatch, talk)
    finally:
        log.send_lines(before)
    lines = [line.decode() for line in written]
    texts, tags = [line.partition("]: ")[2] for line in lines], [line.partition("]: ")[0] for line in lines]
    assert texts[:2] == ["first?Nov 11 forged[1]: line?\n", "warning: second\n"]
    assert [text.partition(",")[0] for text in texts[2:]] == [
        f"4jXFYl6dnjz0001: to=<{each}@example.com>" for each in "ab"
    ], "the parent logs the results that it has checked"
    pids = [int(tag.rpartition("[")[2]) for tag in tags]
    assert pids[0] == pids[1] != pids[2] == pids[3] == os.getpid()


def lock_all(fd: int) -> None:
    """Claim every recipient, as far as the descriptor can."""
    for n in range(400):
        try:
            claim(fd, n)
        except OSError:
            pass
    fcntl.flock(fd, fcntl.LOCK_UN)


@pytest.mark.parametrize("size", [14, SMALL + 1])
def test_a_child_has_nothing_of_the_queue_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Neither can it claim that others have the message, nor unlock it, nor see who they are, nor change it."""
    seen = tmp_path / "seen"

    def live(theirs: socket.socket, *_: object, **__: object) -> None:
        try:
            channel = leave_parent(theirs)
            frame = channel.receive()
            (fd,) = frame.fds
            found = open(seen, "wb", buffering=0)
            if os.geteuid() == 0:
                os.setresuid(OWNER.uid, OWNER.uid, OWNER.uid)
            lock_all(fd)
            said = os.pread(fd, 1 << 22, 0)
            with contextlib.suppress(OSError):
                os.write(fd, b"changed")
            if os.getuid() == OWNER.uid:
                with contextlib.suppress(OSError):
                    os.write(os.open(f"/proc/self/fd/{fd}", os.O_RDWR), b"changed")
            found.write(said if os.pread(fd, 1 << 22, 0) == said else b"changed")
            channel.send({"tag": frame.integer("tag"), "results": results(3)})
            time.sleep(60)
        finally:
            os._exit(0)

    monkeypatch.setattr(module, "live", live)
    monkeypatch.setattr(parent_module, "make_place", lambda *_, **__: None)
    (tmp_path / "base").mkdir()
    file = tmp_path / "queue-file"
    envelope = b'PBQ1 x\n{"sender":""}\nT{"address":"secret@example.com"}\nT{"address":"a@example.com"}\n'
    file.write_bytes(envelope + b"x" * size)
    fd = os.open(file, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    asked = replace(request(tmp_path, "a@example.com"), content=Content(fd, len(envelope), size))

    async def run() -> list[Result]:
        parent = ParentDelivery(
            Config.for_tests(vmail_owner="5000:5001", virtual_mailbox_base=str(tmp_path / "base")), confine=False
        )
        monkeypatch.setattr(parent._finding, "search", answer(Found("/x", True)))
        monkeypatch.setattr(parent._owners, "search", answer(OWNER))
        try:
            return list((await parent.deliver(asked))[0])
        finally:
            parent.close()
            for child in parent._crew._pool._ended:
                child.kill()
                os.waitpid(child.pid, 0)

    before = len(os.listdir("/proc/self/fd"))
    found = asyncio.run(run())
    assert [result.status for result in found] == ["sent"]
    assert seen.read_bytes() == b"x" * size
    assert _claimed(os.open(file, os.O_RDWR), 0, 1 << 30) == []
    other = os.open(file, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list((tmp_path / "base").iterdir()) == []
    os.close(other)
    asked.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_queue_file_that_is_too_short_makes_mail_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent_module, "make_place", lambda *_, **__: None)
    whole = request(tmp_path, "a@example.com")
    asked = replace(whole, content=Content(whole.content.fd, 0, 100))

    async def run() -> list[Result]:
        parent = ParentDelivery(Config.for_tests(vmail_owner="5000:5001"), confine=False)
        monkeypatch.setattr(parent._finding, "search", answer(Found("/x", True)))
        monkeypatch.setattr(parent._owners, "search", answer(OWNER))
        return list((await parent.deliver(asked))[0])

    (found,) = asyncio.run(run())
    asked.close()
    assert (found.status, found.dsn) == ("deferred", "4.3.0")


def answer(found: object) -> Callable[[str], Generator[Question, Any, Any]]:
    """A search that finds this."""

    def search(address: str) -> Generator[Question, Any, Any]:
        yield from ()
        return found

    return search


def test_a_request_with_very_many_recipients_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue manager's frame is full of them, and a child is told their places too."""
    asked = request(tmp_path, *(f"{number:04}{'x' * 50}@example.com" for number in range(1_000)))

    def live(theirs: socket.socket, *_: object, **__: object) -> None:
        try:
            channel = leave_parent(theirs)
            while True:
                frame = channel.receive()
                numbers = [item.integer("n") for item in frame.groups("recipients")]
                channel.send({"tag": frame.integer("tag"), "results": results(*numbers)})
        finally:
            os._exit(0)

    monkeypatch.setattr(module, "live", live)
    monkeypatch.setattr(parent_module, "make_place", lambda *_, **__: None)

    async def run() -> list[Result]:
        parent = ParentDelivery(Config.for_tests(vmail_owner="5000:5001"), confine=False)
        monkeypatch.setattr(parent._finding, "search", answer(Found(f"/{'d' * 100}/{'l' * 100}", True)))
        monkeypatch.setattr(parent._owners, "search", answer(OWNER))
        try:
            return list((await parent.deliver(asked))[0])
        finally:
            parent.close()

    try:
        found = asyncio.run(run())
    finally:
        asked.close()
    assert [result.status for result in found] == ["sent"] * 1_000
    assert [result.n for result in found] == [recipient.n for recipient in asked.recipients]


def test_a_request_that_is_passed_on_arrives_as_it_was(tmp_path: Path) -> None:
    full = request(
        tmp_path,
        "a@example.com",
        envid="e",
        ret="hdrs",
        body="8bitmime",
        smtputf8=True,
        requiretls=True,
        deliver_by="x",
        probe=True,
        attributes={"client_name": "c"},
    )
    recipients = (DeliveryRecipient(3, "a@example.com", "o@example.com", "rfc822;o", ("success",)), *full.recipients)
    frame = encode_frame(passed_on(full, recipients, 7))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frame)
        got = Channel(theirs).receive()
    got.fds = [full.content.fd]
    arrived = parse_request(got, 3.0)
    assert arrived.recipients == recipients
    assert (arrived.content.offset, arrived.content.size) == (0, 14)
    for name in DeliveryRequest.__slots__:
        if name not in ("content", "recipients", "standing"):
            assert getattr(arrived, name) == getattr(full, name), name
    full.close()
