"""The promise of cleanup: what is answered with "ok" is complete, on disk, under its name; anything else is nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import pytest

from pillarbox.cleanup import incoming, intake
from pillarbox.lib.clients.addressing import Addressing
from pillarbox.lib.clients.cleanup import envelope_frames
from pillarbox.lib.clients.lookup import LookupClient, LookupUnavailable
from pillarbox.lib.ipc import Attributes, ChannelClosed, encode_chunk, encode_frame
from pillarbox.lib.ipc.frames import ABORT_CONTENT, END_OF_CONTENT
from pillarbox.lib.queue import Envelope, Recipient, encode_id
from tests.cleanup.desk import Client, Desk, desk
from tests.feeding import splits

MESSAGE = b"Received: from x\nSubject: hello\n\nbody\n"


def refused(reply: Attributes) -> tuple[int, str]:
    assert not reply.boolean("ok")
    return reply.integer("code"), reply.text("enhanced")


class TestAcceptance:
    def test_a_message_is_in_incoming_under_its_id(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(MESSAGE, recipients=("b@y.test", "c@z.test"), client_name="host.test", uid=7)
            reply = client.answer()
            assert (reply.boolean("ok"), reply.text("id"), reply.integer("size")) == (True, queue_id, len(MESSAGE))
            envelope, addresses, content = room.read(queue_id)
            assert (envelope.sender, envelope.client_name, envelope.uid) == ("a@x.test", "host.test", 7)
            assert addresses == ["b@y.test", "c@z.test"]
            assert content == MESSAGE
            assert room.lines == [f"{queue_id}: message-id=<>"]

    def test_messages_follow_each_other_on_one_connection(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            sent = []
            for n in range(5):
                sent.append(client.send(MESSAGE + b"%d\n" % n))
                assert client.answer().boolean("ok")
            assert room.ids() == sorted(sent)
            assert [room.content(one)[-2:] for one in sent] == [b"%d\n" % n for n in range(5)]

    def test_messages_of_one_round_share_the_syncs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        batches: list[int] = []
        monkeypatch.setattr(intake, "sync_files", lambda files: batches.append(len(list(files))))
        with desk(tmp_path) as room:
            clients = [room.client() for _ in range(6)]
            for client in clients:
                client.send(MESSAGE)
            assert all(client.answer().boolean("ok") for client in clients)
            assert batches == [6]

    @pytest.mark.parametrize("size", [0, 1, 200_000, 1_000_000])
    def test_content_of_any_size_arrives_whole(self, tmp_path: Path, size: int) -> None:
        content = b"Subject: x\n\n" + os.urandom(size).translate(None, b"\r\n")
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(content)
            assert client.answer().integer("size") == len(content)
            assert room.content(queue_id) == content

    def test_the_pieces_in_which_it_arrives_do_not_matter(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            for pieces in list(splits(b"X" * 300))[:30]:
                client = room.client()
                queue_id = client.new_id()
                data = envelope_frames(queue_id, Envelope("a@x.test", (Recipient("b@y.test"),), time.time()))
                data += encode_chunk(b"A: b\n") + encode_chunk(b"\nbo") + encode_chunk(b"dy\n") + END_OF_CONTENT
                position = 0
                for piece in pieces:
                    client.channel.send_raw(data[position : position + len(piece)])
                    position += len(piece)
                    room.turn()
                client.channel.send_raw(data[position:])
                assert client.answer().boolean("ok")
                assert room.content(queue_id) == b"A: b\n\nbody\n"

    def test_many_recipients(self, tmp_path: Path) -> None:
        addresses = tuple(f"{n}{'é' * 100}@y.test" for n in range(2000))
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(MESSAGE, recipients=addresses)
            assert client.answer().boolean("ok")
            assert tuple(room.read(queue_id)[1]) == addresses

    def test_bytes_that_are_no_utf_8_survive_in_the_envelope(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(MESSAGE, sender="\udcff@x.test", client_helo="\x00\n\udc80")
            assert client.answer().boolean("ok")
            envelope, _, _ = room.read(queue_id)
            assert (envelope.sender, envelope.client_helo) == ("\udcff@x.test", "\x00\n\udc80")


class TestOrder:
    """docs/queue.md, "From the first byte to 250"."""

    def test_nothing_is_answered_before_file_and_name_are_on_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        fsync, rename, pwrite = os.fsync, os.rename, os.pwrite

        def watch_fsync(descriptor: int) -> None:
            steps.append("sync " + ("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"))
            fsync(descriptor)

        def watch_rename(source: Any, target: Any) -> None:
            steps.append("rename")
            rename(source, target)

        def watch_pwrite(descriptor: int, data: bytes, position: int) -> int:
            steps.append("first line")
            return pwrite(descriptor, data, position)

        send = Client(desk_room := Desk(tmp_path)).channel.__class__.send

        def watch_send(self: Any, *arguments: Any, **more: Any) -> None:
            steps.append("answer")
            send(self, *arguments, **more)

        client = desk_room.client()
        monkeypatch.setattr(os, "fsync", watch_fsync)
        monkeypatch.setattr(os, "rename", watch_rename)
        monkeypatch.setattr(os, "pwrite", watch_pwrite)
        monkeypatch.setattr(type(client.channel), "send", watch_send)
        client.send(b"A: b\n\n" + b"x" * 300_000)
        client.answer()
        desk_room.close()
        assert steps == ["first line", "sync file", "rename", "sync directory", "answer"]

    def test_the_writer_holds_a_lock(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            room.client()
            (name,) = room.unfinished()
            descriptor = os.open(room.spool / "incoming" / name, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(descriptor)

    def test_the_lock_is_gone_once_the_message_is_accepted(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(MESSAGE)
            client.answer()
            descriptor = os.open(room.spool / "incoming" / queue_id, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(descriptor)


class TestPreparedFile:
    def test_the_client_knows_the_inode_before_anything_is_sent(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            (name,) = room.unfinished()
            assert (room.spool / "incoming" / name).stat().st_ino == client.inode

    def test_an_id_of_another_inode_is_refused(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            client.send(MESSAGE, encode_id(time.time_ns() // 1000, client.inode + 1))
            assert client.ended and room.ids() == []

    @pytest.mark.parametrize("seconds", [-3600, 3600])
    def test_an_id_of_another_time_is_refused(self, tmp_path: Path, seconds: int) -> None:
        """It could be that of an earlier message whose file had the same inode."""
        with desk(tmp_path) as room:
            client = room.client()
            client.send(MESSAGE, encode_id(time.time_ns() // 1000 + seconds * 1_000_000, client.inode))
            assert client.ended and room.ids() == []

    @pytest.mark.parametrize("queue_id", ["", "x", "../../etc/passwd", ".hidden", "A" * 300])
    def test_what_is_no_id_is_refused(self, tmp_path: Path, queue_id: str) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            client.channel.send(
                {"do": "message", "id": queue_id, "envelope": {"sender": "", "arrival": 1}, "recipients": []}
            )
            assert client.ended
            assert os.listdir(room.spool / "incoming") == []

    def test_names_that_a_former_process_has_left_are_passed_over(self, tmp_path: Path) -> None:
        """In a container a new process often has the number of the one that died."""
        with desk(tmp_path) as room:
            room.client()
            number = int(room.unfinished()[0].rpartition("-")[2])
            for n in range(number + 1, number + 20):
                (room.spool / "incoming" / f".{os.getpid()}-{n}").touch()
            assert room.client().deliver(MESSAGE).boolean("ok")

    def test_a_client_that_goes_leaves_nothing(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            before = len(os.listdir("/proc/self/fd"))
            for data in (b"", encode_frame({"do": "x"})[:5]):
                client = room.client()
                client.channel.send_raw(data)
                client.channel.close()
                room.turn()
            assert os.listdir(room.spool / "incoming") == []
            assert len(os.listdir("/proc/self/fd")) <= before

    def test_a_client_that_has_gone_before_it_was_greeted_leaves_nothing(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            before = len(os.listdir("/proc/self/fd"))
            ours, theirs = socket.socketpair()
            ours.close()
            with pytest.raises(ChannelClosed):
                room.accept(theirs)
            theirs.close()
            assert room.unfinished() == []
            assert len(os.listdir("/proc/self/fd")) <= before


class TestWithdrawal:
    def test_a_client_that_dies_in_the_content_leaves_nothing(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            envelope = Envelope("a@x.test", (Recipient("b@y.test"),), time.time())
            client.channel.send_raw(
                envelope_frames(client.new_id(), envelope) + encode_chunk(b"A: b\n\n" + b"x" * 200_000)
            )
            room.turn()
            client.channel.close()
            room.turn()
            assert os.listdir(room.spool / "incoming") == []

    def test_aborted_content_is_nothing_and_the_connection_goes_on(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            envelope = Envelope("a@x.test", (Recipient("b@y.test"),), time.time())
            client.channel.send_raw(envelope_frames(client.new_id(), envelope) + encode_chunk(MESSAGE) + ABORT_CONTENT)
            room.turn()
            client.inode = client.channel.receive().integer("prepared")
            assert room.ids() == [] and len(room.unfinished()) == 1
            assert client.deliver(MESSAGE).boolean("ok")

    def test_a_client_that_dies_before_its_answer_may_have_sent_a_message(self, tmp_path: Path) -> None:
        """It was complete: it is kept, as after a lost 250."""
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(MESSAGE)
            channel, connection = next(iter(room._connections.items()))
            channel.fill()
            room.intake.arrived(channel, connection)
            client.channel.close()
            room.intake.round_ended()
            assert room.ids() == [queue_id]


class TestDisk:
    def no_space(self, *_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    @pytest.mark.parametrize("size", [10, 400_000])
    def test_a_write_that_fails_is_451_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(b"A: b\n\n" + b"x" * size)
            with monkeypatch.context() as within:
                within.setattr(incoming, "write_all", self.no_space)
                assert refused(client.answer()) == (451, "4.3.0")
            assert room.ids() == []
            assert f"warning: {queue_id}: queue file write error: No space left on device" in room.lines
            assert client.deliver(MESSAGE).boolean("ok"), "the connection is of no use any more"
            assert len(room.ids()) == 1 and len(room.unfinished()) == 1

    @pytest.mark.parametrize("step", ["sync_files", "sync_names"])
    def test_a_sync_that_fails_is_451_for_all_of_the_round(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        with desk(tmp_path) as room:
            clients = [room.client() for _ in range(3)]
            for client in clients:
                client.send(MESSAGE)
            with monkeypatch.context() as within:
                within.setattr(intake, step, self.no_space)
                assert [refused(client.answer()) for client in clients] == [(451, "4.3.0")] * 3
            assert room.ids() == []
            assert all(client.deliver(MESSAGE).boolean("ok") for client in clients)

    def test_a_rename_that_fails_is_451_for_that_message_only(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with desk(tmp_path) as room:
            clients = [room.client() for _ in range(3)]
            ids = [client.send(MESSAGE) for client in clients]
            rename = os.rename

            def unwilling(source: Any, target: Any) -> None:
                if str(target).endswith(ids[1]):
                    raise OSError(errno.EIO, "Input/output error")
                rename(source, target)

            with monkeypatch.context() as within:
                within.setattr(os, "rename", unwilling)
                assert [client.answer().boolean("ok") for client in clients] == [True, False, True]
            assert room.ids() == sorted((ids[0], ids[2]))

    def test_no_file_can_be_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            opened = os.open

            def short(path: Any, flags: int, *more: Any, **options: Any) -> int:
                if flags & os.O_CREAT:
                    raise OSError(errno.EMFILE, "Too many open files")
                return opened(path, flags, *more, **options)

            queue_id = client.send(MESSAGE)
            with monkeypatch.context() as within:
                within.setattr(os, "open", short)
                reply = client.answer()
                assert reply.boolean("ok"), "the message that was already there must not suffer"
                assert reply.integer("prepared") == 0
                ours, theirs = socket.socketpair()
                room.accept(theirs)
                from pillarbox.lib.ipc import Channel

                assert Channel(ours).receive().text("why") == "no queue file could be made: Too many open files"
                ours.close()
            assert room.ids() == [queue_id]
            client.send(MESSAGE, encode_id(time.time_ns() // 1000, 1))
            assert client.ended  # there is no file for it

    def test_a_full_file_system(self, tmp_path: Path) -> None:
        """The real thing: a small tmpfs."""
        small = tmp_path / "small"
        small.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip("mounting a file system needs root")
        try:
            with desk(small) as room:
                client = room.client()
                assert refused(client.deliver(b"A: b\n\n" + b"x" * 400_000)) == (451, "4.3.0")
                assert room.ids() == []
                assert client.deliver(MESSAGE).boolean("ok")
        finally:
            subprocess.run(["umount", str(small)], check=True)

    def test_a_limit_on_the_size_of_files(self, tmp_path: Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with desk(tmp_path) as room:
                client = room.client()
                client.send(b"A: b\n\n" + b"x" * 400_000)
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
                try:
                    assert refused(client.answer()) == (451, "4.3.0")
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, before)
                assert room.ids() == []
        finally:
            signal.signal(signal.SIGXFSZ, handler)


class TestRules:
    def test_a_message_of_the_largest_size_is_taken_and_one_byte_more_is_not(self, tmp_path: Path) -> None:
        with desk(tmp_path, message_size_limit="5000") as room:
            client = room.client()
            client.send(MESSAGE, sender="a@x.test", arrival=1.5)
            overhead = 0
            assert client.answer().boolean("ok")
            overhead = (room.spool / "incoming" / room.ids()[0]).stat().st_size - len(MESSAGE)
            fits = MESSAGE + b"x" * (5000 - overhead - len(MESSAGE))
            assert client.deliver(fits, arrival=1.5).boolean("ok")
            assert refused(client.deliver(fits + b"x", arrival=1.5)) == (552, "5.3.4")

    def test_the_limit_holds_also_where_the_header_never_ends(self, tmp_path: Path) -> None:
        with desk(tmp_path, message_size_limit="5000") as room:
            assert refused(room.client().deliver(b"X: " + b"y" * 9000)) == (552, "5.3.4")
            assert room.ids() == []

    def test_no_limit(self, tmp_path: Path) -> None:
        with desk(tmp_path, message_size_limit="0") as room:
            assert room.client().deliver(b"A: b\n\n" + b"x" * 3_000_000).boolean("ok")

    def test_too_many_hops(self, tmp_path: Path) -> None:
        with desk(tmp_path, hopcount_limit="3") as room:
            client = room.client()
            assert client.deliver(b"Received: x\n" * 3 + b"\nReceived: in the body\n").boolean("ok")
            assert refused(client.deliver(b"Received: x\n" * 3 + b"RECEIVED : y\n\n")) == (554, "5.4.0")

    def test_no_recipient(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            assert refused(room.client().deliver(MESSAGE, recipients=())) == (554, "5.5.1")

    def test_an_envelope_that_no_reader_would_take_is_refused(self, tmp_path: Path) -> None:
        """Else it would be accepted, and then set aside as corrupt."""
        with desk(tmp_path) as room:
            client = room.client()
            assert refused(client.deliver(MESSAGE, full_name="x" * 70_000)) == (554, "5.6.0")
            assert client.deliver(MESSAGE).boolean("ok")

    def test_after_a_refusal_the_connection_goes_on(self, tmp_path: Path) -> None:
        with desk(tmp_path, message_size_limit="1000") as room:
            client = room.client()
            assert refused(client.deliver(b"A: b\n\n" + b"x" * 100_000)) == (552, "5.3.4")
            assert client.deliver(MESSAGE).boolean("ok")
            assert len(room.unfinished()) == 1


class TestExpansion:
    class Lookup:
        def __init__(self, table: dict[str, tuple[str, ...]], down: bool = False) -> None:
            self.table, self.down = table, down

        def expand(self, address: str) -> tuple[str, ...] | None:
            if self.down:
                raise LookupUnavailable("lookup service: gone")
            return self.table.get(address)

        def canonical(self, address: str, position: str) -> None:
            """No canonical table is configured."""

        def returned(self, address: str) -> None:
            """Nor is a domain for mail that is sent on."""

    def room(self, tmp_path: Path, lookup: Lookup) -> Any:
        made = desk(tmp_path, virtual_alias_maps="hash:/nonexistent")
        room = made.__enter__()
        room.intake._treatment.addressing = Addressing(room.config, cast(LookupClient, lookup))
        return made, room

    def test_recipients_are_replaced_each_once(self, tmp_path: Path) -> None:
        made, room = self.room(tmp_path, self.Lookup({"all@y.test": ("a@y.test", "b@y.test")}))
        queue_id = (client := room.client()).send(MESSAGE, recipients=("all@y.test", "b@y.test", "c@y.test"))
        assert client.answer().boolean("ok")
        assert room.read(queue_id)[1] == ["a@y.test", "b@y.test", "c@y.test"]
        made.__exit__(None, None, None)

    def test_a_lookup_that_is_away_is_451(self, tmp_path: Path) -> None:
        made, room = self.room(tmp_path, self.Lookup({}, down=True))
        assert refused(room.client().deliver(MESSAGE)) == (451, "4.3.0")
        assert room.ids() == []
        made.__exit__(None, None, None)


class TestBadClients:
    ENVELOPE: dict[str, object] = {"sender": "a@x.test", "arrival": 1.5}  # noqa: RUF012

    @pytest.mark.parametrize(
        "change",
        [
            {"do": "what"},
            {"do": "recipients"},
            {"envelope": 7},
            {"envelope": {}},
            {"envelope": {"sender": "a@x.test", "arrival": float("nan")}},
            {"envelope": {"sender": "a@x.test", "arrival": 10**400}},
            {"envelope": {"sender": "a@x.test", "arrival": -1}},
            {"envelope": {"sender": "a@x.test", "arrival": 1.5, "attributes": {"a": 1}}},
            {"envelope": {"sender": "a@x.test", "arrival": 1.5, "size": 7}},
            {"recipients": ["b@y.test"]},
            {"recipients": [{"address": "b@y.test", "notify": ["sometimes"]}]},
            {"more": "yes"},
        ],
    )
    def test_a_request_that_is_wrong_ends_the_connection_only(self, tmp_path: Path, change: dict[str, object]) -> None:
        with desk(tmp_path) as room:
            good, bad = room.client(), room.client()
            frame = {"do": "message", "id": bad.new_id(), "envelope": self.ENVELOPE, "recipients": [], **change}
            bad.channel.send(frame)
            assert bad.ended
            assert any("protocol error" in line for line in room.lines)
            assert good.deliver(MESSAGE).boolean("ok")
            assert room.unfinished() and len(room.unfinished()) == 1

    @pytest.mark.parametrize(
        "data", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00\x00\x01{", b"GET / HTTP/1.0\r\n"]
    )
    def test_garbage(self, tmp_path: Path, data: bytes) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            client.channel.send_raw(data)
            assert client.ended

    def test_a_message_before_the_last_was_answered_is_refused(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(MESSAGE)
            client.channel.send({"do": "message"})
            assert client.ended
            assert queue_id not in room.ids()

    def test_descriptors_are_not_kept(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            before = len(os.listdir("/proc/self/fd"))
            client.channel.send({"do": "message"}, [0, 1, 2])
            room.turn()
            assert len(os.listdir("/proc/self/fd")) <= before


class TestStopping:
    def test_a_connection_gets_no_further_file_but_its_message_is_taken(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(MESSAGE)
            room.intake.stopping()
            reply = client.answer()
            assert reply.boolean("ok") and reply.integer("prepared") == 0
            assert room.ids() == [queue_id] and room.unfinished() == []
