"""What policy or filters decide about a message: hold, discard, redirect, filter, further recipients."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pillarbox.cleanup import intake
from pillarbox.cleanup.disposition import Disposition
from pillarbox.cleanup.incoming import IncomingFile
from pillarbox.lib.clients.cleanup import Rejected
from pillarbox.lib.queue import Envelope, QueueFile, Recipient
from pillarbox.lib.queue.file import CorruptQueueFile
from tests.cleanup.desk import desk

MESSAGE = b"Received: from x\nSubject: hello\n\nbody\n"
FROM = {"client_name": "host.test", "client_address": "192.0.2.1", "protocol": "ESMTP", "client_helo": "me"}
WAY = "from host.test[192.0.2.1]; from=<a@x.test> to=<b@y.test> proto=ESMTP helo=<me>"


class TestHold:
    def test_a_held_message_is_published_in_hold_and_not_announced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with desk(tmp_path) as room:
            announced: list[Any] = []
            monkeypatch.setattr(room.intake._qmgr, "arrived", announced.append)
            client = room.client()
            queue_id = client.send(MESSAGE, hold="too fast", **FROM)
            assert client.answer().text("id") == queue_id
            assert room.ids() == [] and announced == []
            assert os.listdir(room.spool / "hold") == [queue_id]
            file = QueueFile(os.open(room.spool / "hold" / queue_id, os.O_RDONLY))
            assert file.envelope.hold == "too fast"
            file.close()
            assert room.lines[0] == f"{queue_id}: hold: message {WAY}: too fast"

    def test_it_is_answered_only_after_the_directory_is_synced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with desk(tmp_path) as room:
            synced: list[str] = []
            monkeypatch.setattr(
                intake, "sync_names", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            )
            held, usual = room.client(), room.client()
            held.send(MESSAGE, hold="why")
            usual.send(MESSAGE)
            assert held.answer().boolean("ok") and usual.answer().boolean("ok")
            assert sorted(Path(one).name for one in synced) == ["hold", "incoming"]

    def test_a_directory_that_cannot_be_synced_refuses_only_what_went_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with desk(tmp_path) as room:

            def sync(descriptor: int) -> None:
                if descriptor == room.intake._hold_directory:
                    raise OSError(errno.EIO, "Input/output error")

            monkeypatch.setattr(intake, "sync_names", sync)
            held, usual = room.client(), room.client()
            held.send(MESSAGE, hold="why")
            queue_id = usual.send(MESSAGE)
            assert held.answer().integer("code") == 451
            assert usual.answer().boolean("ok")
            assert room.ids() == [queue_id] and os.listdir(room.spool / "hold") == []


class TestDiscard:
    @pytest.mark.parametrize("size", [10, 500_000])
    def test_it_is_taken_and_thrown_away(self, tmp_path: Path, size: int) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(MESSAGE + b"x" * size, discard=True, **FROM)
            reply = client.answer()
            assert (reply.text("id"), reply.integer("size")) == (queue_id, len(MESSAGE) + size)
            assert room.ids() == [] and os.listdir(room.spool / "hold") == []
            assert len(room.unfinished()) == 1, "the prepared file of the next message"
            assert room.lines == [f"{queue_id}: discard: message {WAY}"]
            assert client.deliver(MESSAGE).boolean("ok")

    def test_what_breaks_a_limit_is_refused_all_the_same(self, tmp_path: Path) -> None:
        with desk(tmp_path, message_size_limit="1000") as room:
            assert room.client().deliver(MESSAGE + b"x" * 1000, discard=True).integer("code") == 552

    def test_discard_goes_before_hold(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            assert room.client().deliver(MESSAGE, discard=True, hold="why").boolean("ok")
            assert os.listdir(room.spool / "hold") == []


class TestRedirect:
    def test_one_recipient_replaces_all(self, tmp_path: Path) -> None:
        with desk(tmp_path) as room:
            client = room.client()
            queue_id = client.send(
                MESSAGE, redirect="guard@x.test", recipients=("b@y.test", "c@y.test"), filter="scan:there"
            )
            assert client.answer().boolean("ok")
            file = QueueFile(os.open(room.spool / "incoming" / queue_id, os.O_RDONLY))
            (stored,) = file.recipients()
            assert stored.recipient == Recipient("guard@x.test", original="b@y.test")
            assert file.recipient_count == 1
            assert (file.envelope.filter, file.envelope.redirect) == ("", ""), "redirect overrides filter"
            file.close()

    def test_the_new_recipient_may_be_an_alias(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with desk(tmp_path, virtual_alias_maps="hash:/nonexistent") as room:
            monkeypatch.setattr(room.intake._treatment.lookup, "expand", {"guard@x.test": ("one@x.test",)}.get)
            client = room.client()
            queue_id = client.send(MESSAGE, redirect="guard@x.test")
            assert client.answer().boolean("ok")
            assert room.read(queue_id)[1] == ["one@x.test"]


class TestOverrides:
    def test_no_address_mappings(self, tmp_path: Path) -> None:
        with desk(tmp_path, virtual_alias_maps="hash:/nonexistent") as room:
            client = room.client()
            queue_id = client.send(MESSAGE, overrides="no_address_mappings")
            assert client.answer().boolean("ok"), "lookup is not asked: there is none"
            assert room.read(queue_id)[0].overrides == ""


class TestRefusals:
    def test_a_temporary_one_stands_against_a_permanent_one(self) -> None:
        permanent, temporary = Rejected(550, "5.7.1", "no"), Rejected(451, "4.7.1", "later")
        for order in ((permanent, temporary), (temporary, permanent)):
            disposition = Disposition()
            for one in order:
                disposition.reject(one)
            assert disposition.refusal is temporary and not disposition.inspected


def envelope(*recipients: str, **more: Any) -> Envelope:
    return Envelope("a@x.test", tuple(Recipient(one) for one in recipients), 1.5, **more)


class TestAmending:
    """The envelope is written over after (a part of) the content has been written."""

    @pytest.mark.parametrize("size", [0, 100, 130_000, 3_000_000])
    @pytest.mark.parametrize(
        "later",
        [
            envelope("b@y.test"),
            envelope("b@y.test", filter="scan:somewhere"),
            envelope("b@y.test", hold="h" * 3000),
            envelope(*(f"user{n}@y.test" for n in range(400))),
        ],
    )
    @pytest.mark.parametrize("earlier", [1, 400])
    def test_envelope_and_content_are_whole(self, tmp_path: Path, size: int, later: Envelope, earlier: int) -> None:
        content = os.urandom(size)
        file = IncomingFile(str(tmp_path))
        file.begin(envelope(*(f"was{n}@y.test" for n in range(earlier))))
        for start in range(0, size, 50_000):
            file.write(content[start : start + 50_000])
        file.amend(later)
        file.write(b"tail")
        file.complete()
        file.publish("4jXFYl6dnjzKD6m")
        found = QueueFile(os.open(tmp_path / "4jXFYl6dnjzKD6m", os.O_RDONLY))
        assert (found.envelope.filter, found.envelope.hold) == (later.filter, later.hold)
        assert tuple(one.recipient for one in found.recipients()) == later.recipients
        assert found.recipient_count == len(later.recipients)
        assert os.pread(found.descriptor, size + 10, found.offset)[: found.length] == content + b"tail"
        rest = os.pread(found.descriptor, 1 << 20, found.offset + found.length)
        assert not rest.strip(b"\0"), "what lies behind the message is zeros"
        found.close()

    def test_an_unfinished_file_never_looks_like_a_message(self, tmp_path: Path) -> None:
        file = IncomingFile(str(tmp_path))
        file.begin(envelope("b@y.test"))
        file.write(b"x" * 200_000)
        file.amend(envelope(*(f"user{n}@y.test" for n in range(400))))
        (name,) = os.listdir(tmp_path)
        with pytest.raises(CorruptQueueFile):
            QueueFile(os.open(tmp_path / name, os.O_RDONLY))
        file.discard()
