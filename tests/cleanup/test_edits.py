"""A message is shown before it is published, and edited with the commit."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pillarbox.cleanup.edits import SEALS, edited_envelope
from pillarbox.lib.clients.cleanup import Examined, envelope_frames
from pillarbox.lib.ipc import Attributes, encode_chunk
from pillarbox.lib.ipc.frames import END_OF_CONTENT
from pillarbox.lib.queue import Envelope, Recipient
from pillarbox.lib.queue.edits import Edits, RecipientEdit
from tests.cleanup.desk import Client, Desk, desk

HEADER = b"Received: by us\nSubject: hello\n"
SMALL = HEADER + b"\nthe body\n"
LARGE = HEADER + b"\n" + b"a line of a large body\n" * 20_000
NEW_HEADER = b"X-Top: first\n" + HEADER + b"X-Last: with\n\ta fold\n"
NEW_BODY = b"another body\n" * 30_000


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as made:
        yield made


def memory(content: bytes, *, sealed: bool = True) -> int:
    descriptor = os.memfd_create("edit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    if sealed:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    return descriptor


def show(client: Client, content: bytes, **envelope: object) -> tuple[str, Examined]:
    """Send a message to be examined; its id and what cleanup shows."""
    queue_id = client.new_id()
    recipients = (Recipient("b@y.test"), Recipient("c@y.test", "alias@x.test"))
    values = {"sender": "a@x.test", "arrival": time.time(), "origin": "smtpd", **envelope}
    frames = envelope_frames(queue_id, Envelope(recipients=recipients, **values), examine=True)  # type: ignore[arg-type]
    client.channel.send_raw(frames + encode_chunk(content) + END_OF_CONTENT)
    client._desk.turn()
    reply = client.channel.receive()
    assert "examine" in reply, reply
    examined = Examined(reply.fds[0], reply.integer("offset"), reply.integer("length"), reply.integer("examine"))
    return queue_id, examined


def commit(client: Client, edits: Edits) -> dict[str, object]:
    client.channel.send({"do": "commit", "edits": edits.members()}, edits.descriptors)
    edits.close()
    return client.answer()


class TestShowing:
    @pytest.mark.parametrize("content", [SMALL, LARGE, HEADER, b"\nbody only\n"])
    def test_all_of_the_content_is_shown_and_nothing_else(self, room: Desk, content: bytes) -> None:
        client = room.client()
        for _ in range(2):
            queue_id, examined = show(client, content)
            shown = os.pread(examined.descriptor, examined.length, examined.offset)
            assert shown == content
            header = HEADER if content.startswith(HEADER) else b""
            assert examined.header == len(header)
            with pytest.raises(OSError):
                os.pwrite(examined.descriptor, b"x", 0)
            examined.close()
            assert room.ids() == [], "shown is not published"
            assert commit(client, Edits())["ok"] is True
            assert room.content(queue_id) == content
            os.unlink(room.spool / "incoming" / queue_id)

    def test_local_submissions_are_completed_before_they_are_shown(self, room: Desk) -> None:
        _, examined = show(room.client(), b"Subject: hello\nBcc: x@y.test\n\nbody\n", origin="pickup")
        shown = os.pread(examined.descriptor, examined.header, examined.offset)
        examined.close()
        assert b"Bcc" not in shown
        assert {b"Message-ID", b"Date", b"From"} <= {line.partition(b":")[0] for line in shown.split(b"\n")}

    def test_what_is_refused_or_dropped_is_not_shown(self, room: Desk) -> None:
        client = room.client()
        for content, envelope, ok in ((b"Received: x\n" * 60 + b"\n", {}, False), (SMALL, {"discard": True}, True)):
            queue_id = client.new_id()
            values = {"sender": "a@x.test", "arrival": time.time(), "origin": "smtpd", **envelope}
            value = Envelope(recipients=(Recipient("b@y.test"),), **values)  # type: ignore[arg-type]
            frames = envelope_frames(queue_id, value, examine=True)
            client.channel.send_raw(frames + encode_chunk(content) + END_OF_CONTENT)
            assert client.answer()["ok"] is ok

    def test_a_message_that_is_shown_and_left_alone_is_gone(self, room: Desk) -> None:
        client = room.client()
        _, examined = show(client, LARGE)
        examined.close()
        client.channel.close()
        room.turn()
        assert room.ids() == room.unfinished() == []

    @pytest.mark.parametrize(
        "frame", [{"do": "message"}, {"do": "commit"}, {"do": "commit", "edits": {"files": ["x"]}}]
    )
    def test_only_a_commit_follows(self, room: Desk, frame: dict[str, object]) -> None:
        client = room.client()
        _, examined = show(client, SMALL)
        examined.close()
        client.channel.send(frame)
        assert client.ended
        assert room.ids() == []


class TestContent:
    @pytest.mark.parametrize("new_body", [None, b"", b"new\n", NEW_BODY])
    @pytest.mark.parametrize("new_header", [None, b"", b"S: x\n", NEW_HEADER])
    @pytest.mark.parametrize("content", [SMALL, LARGE])
    def test_header_and_body_are_replaced(
        self, room: Desk, content: bytes, new_header: bytes | None, new_body: bytes | None
    ) -> None:
        client = room.client()
        queue_id, examined = show(client, content)
        examined.close()
        edits = Edits(
            sender="another.and.longer.sender@elsewhere.test",
            header=memory(new_header) if new_header is not None else -1,
            body=memory(new_body) if new_body is not None else -1,
        )
        reply = commit(client, edits)
        assert reply["ok"] is True
        old_header, _, old_body = content.partition(b"\n\n")
        header = new_header if new_header is not None else old_header + b"\n"
        expected = header + b"\n" + (new_body if new_body is not None else old_body)
        envelope, recipients, stored = room.read(queue_id)
        assert stored.removesuffix(b"\0") == expected
        whole = (room.spool / "incoming" / queue_id).read_bytes()
        end = int(whole[len("PBQ1 offset=") :][:10]) + len(expected)
        assert not whole[end:].strip(b"\0"), "nothing of what was before remains"
        assert reply["size"] == len(expected)
        assert envelope.sender == "another.and.longer.sender@elsewhere.test"
        assert recipients == ["b@y.test", "c@y.test"]

    def test_a_body_for_a_message_that_had_none(self, room: Desk) -> None:
        client = room.client()
        queue_id, examined = show(client, HEADER)
        examined.close()
        assert commit(client, Edits(body=memory(b"new\n")))["ok"] is True
        assert room.content(queue_id) == HEADER + b"\nnew\n"

    @pytest.mark.parametrize("header", [b"no field\n", b"A: b\n\n", b"A: b", b" folded\n", b"A: b\nX" * 300_000])
    def test_a_header_that_is_none_is_refused(self, room: Desk, header: bytes) -> None:
        client = room.client()
        _, examined = show(client, SMALL)
        examined.close()
        assert commit(client, Edits(header=memory(header)))["ok"] is False
        assert room.ids() == []
        assert client.deliver(SMALL)["ok"] is True, "the connection is as good as before"

    def test_files_that_could_change_are_refused(self, room: Desk) -> None:
        plain = os.open(room.spool / "plain", os.O_RDWR | os.O_CREAT)
        for descriptor in (memory(b"A: b\n", sealed=False), plain, os.pipe()[0]):
            client = room.client()
            _, examined = show(client, SMALL)
            examined.close()
            client.channel.send({"do": "commit", "edits": {"files": ["header"]}}, (descriptor,))
            assert client.ended
            assert room.ids() == []


class TestEnvelope:
    def test_hold_goes_into_hold(self, room: Desk) -> None:
        client = room.client()
        queue_id, examined = show(client, SMALL)
        examined.close()
        assert commit(client, Edits(hold="a milter"))["ok"] is True
        assert room.ids() == []
        assert os.listdir(room.spool / "hold") == [queue_id]

    def test_filter_says_where_it_goes_first(self, room: Desk) -> None:
        client = room.client()
        queue_id, examined = show(client, SMALL)
        examined.close()
        assert commit(client, Edits(filter="scan:[127.0.0.1]:10025"))["ok"] is True
        assert room.read(queue_id)[0].filter == "scan:[127.0.0.1]:10025"

    def test_discard_is_accepted_and_dropped(self, room: Desk) -> None:
        client = room.client()
        _, examined = show(client, SMALL)
        examined.close()
        assert commit(client, Edits(discard=True))["ok"] is True
        assert room.ids() == room.unfinished()[1:] == []

    def test_a_message_without_recipients_is_dropped(self, room: Desk) -> None:
        client = room.client()
        _, examined = show(client, SMALL)
        examined.close()
        both = tuple(RecipientEdit(Recipient(one), delete=True) for one in ("b@Y.TEST", "alias@x.test"))
        assert commit(client, Edits(recipients=both))["ok"] is True
        assert room.ids() == []
        assert any("discarded" in line for line in room.lines)

    def test_recipients_are_added_and_deleted_in_order(self) -> None:
        before = Envelope("a@x.test", (Recipient("b@y.test"), Recipient("c@y.test")), 1.0, ret="full", envid="old")
        edits = Edits(
            sender="",
            envid="new",
            recipients=(
                RecipientEdit(Recipient("b@y.test"), delete=True),
                RecipientEdit(Recipient("d@y.test", notify=("never",))),
                RecipientEdit(Recipient("c@Y.test")),
                RecipientEdit(Recipient("D@y.test"), delete=True),
                RecipientEdit(Recipient("list@y.test")),
            ),
        )

        def expanded(recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
            if recipients[0].address == "list@y.test":
                return (Recipient("e@y.test", "list@y.test"), Recipient("f@y.test", "list@y.test"))
            return recipients

        after = edited_envelope(before, edits, expanded)
        assert [one.address for one in after.recipients] == ["c@y.test", "d@y.test", "e@y.test", "f@y.test"]
        assert (after.sender, after.ret, after.envid) == ("", "full", "new")

    def test_edits_survive_the_way(self) -> None:
        edits = Edits(
            "x@y.test",
            "hdrs",
            "id",
            (RecipientEdit(Recipient("a@b.test"), True),),
            "why",
            "smtp:x",
            True,
            header=50,
            body=51,
        )
        assert Edits.parse(Attributes(edits.members()), [50, 51]) == edits
        assert not Edits() and Edits(sender="")


class TestMilterHeaderChecks:
    CHECKS = """\
/^X-Bad: .*inline/  REJECT 5.7.9 not this field
/^X-Hide/           IGNORE
/^X-Old/            REPLACE X-New: replaced
/^Subject/          REJECT
"""

    def commit(self, tmp_path: Path, header: bytes, content: bytes = SMALL) -> tuple[dict[str, object], bytes]:
        table = tmp_path / "checks"
        table.write_text(self.CHECKS)
        with desk(tmp_path, milter_header_checks=f"regexp:{table}") as room:
            client = room.client()
            queue_id, examined = show(client, content)
            examined.close()
            reply = commit(client, Edits(header=memory(header)))
            return reply, room.content(queue_id) if reply["ok"] else b""

    @pytest.mark.parametrize("content", [SMALL, LARGE])
    def test_only_what_is_new_is_looked_at(self, tmp_path: Path, content: bytes) -> None:
        header = b"X-Old: 1\n" + HEADER + b"X-Hide: 2\nX-Good: 3\n"
        reply, stored = self.commit(tmp_path, header, content)
        assert reply["ok"] is True
        assert stored.startswith(b"X-New: replaced\n" + HEADER + b"X-Good: 3\n\n")

    def test_a_new_field_can_be_refused(self, tmp_path: Path) -> None:
        reply, _ = self.commit(tmp_path, HEADER + b"X-Bad: an inline\n")
        assert (reply["code"], reply["enhanced"], reply["text"]) == (550, "5.7.9", "not this field")
