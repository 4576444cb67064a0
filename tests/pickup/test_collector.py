"""pickup: what it takes from maildrop/, what it refuses, what it leaves for later."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from pillarbox.commands.sendmail import Options, envelope_lines
from pillarbox.commands.sendmail import Submission as Dropping
from pillarbox.lib.clients.cleanup import Receipt, Rejected
from pillarbox.lib.clients.errors import ServiceUnavailable
from pillarbox.lib.config import Config
from pillarbox.lib.delivery import Result
from pillarbox.lib.log import log
from pillarbox.lib.queue import Envelope, Queue, Recipient
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.queue.maildrop import BadSubmission, read_submission
from pillarbox.pickup.collector import Collector
from tests.feeding import truncations, with_trailing

CONTENT = b"Subject: x\n\nbody\n"


@dataclass
class FakeCleanup:
    """Stands for CleanupClient; `failures` are raised by commits, one each."""

    taken: list[tuple[Envelope, bytes]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    down: bool = False
    aborted: int = 0

    def open(self) -> FakeMessage:
        if self.down:
            raise ServiceUnavailable("cleanup: down")
        return FakeMessage(self)


class FakeMessage:
    def __init__(self, cleanup: FakeCleanup) -> None:
        self._cleanup = cleanup
        self.queue_id = f"NEW{len(cleanup.taken) + 1}"
        self._content: list[bytes] = []
        self._committed = False

    def begin(self, envelope: Envelope, *, examine: bool = False) -> None:
        self._envelope = envelope

    def write(self, content: bytes) -> None:
        self._content.append(content)

    def commit(self, edits: Edits | None = None) -> Receipt:
        if self._cleanup.failures:
            raise self._cleanup.failures.pop(0)
        self._committed = True
        self._cleanup.taken.append((self._envelope, b"".join(self._content)))
        return Receipt(self.queue_id, 0)

    def abort(self) -> None:
        if not self._committed:
            self._cleanup.aborted += 1


@dataclass
class FakeBounce:
    appended: list[tuple[str, Recipient, Result]] = field(default_factory=list)
    flushed: list[tuple[str, Envelope, bytes]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def append(self, kind: str, queue_id: str, recipient: Recipient, result: Result, *, fresh: bool = False) -> None:
        assert kind == "bounce"
        self.appended.append((queue_id, recipient, result))

    def flush(self, queue_id: str, envelope: Envelope, descriptor: int, offset: int, length: int) -> tuple[str, ...]:
        self.flushed.append((queue_id, envelope, os.pread(descriptor, length, offset)))
        return ("BOUNCE1",)

    def forget(self, queue_id: str) -> None:
        self.forgotten.append(queue_id)


@dataclass
class Post:
    """An office: a maildrop directory and a collector with fakes around it."""

    spool: Path
    cleanup: FakeCleanup
    bounce: FakeBounce
    collector: Collector
    lines: list[str]

    @property
    def maildrop(self) -> Path:
        return self.spool / "maildrop"

    def drop(self, sender: str = "alice", *recipients: str, content: bytes = CONTENT, **options: Any) -> Path:
        settings = Options()
        for name, value in {"full_name": "", **options}.items():
            setattr(settings, name, value)
        dropping = Dropping(str(self.spool), 0, envelope_lines(settings, sender, list(recipients or ("b@y.test",))))
        dropping.write(content)
        dropping.commit()
        dropping.close()
        return max(self.maildrop.iterdir(), key=lambda path: path.stat().st_mtime_ns)

    def left(self) -> list[str]:
        return sorted(os.listdir(self.maildrop))


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    spool = tmp_path / "spool"
    Queue(str(spool)).create()
    config = Config.for_tests(queue_directory=str(spool), myhostname="mx.test", mydomain="test", myorigin="x.test")
    cleanup, bounce = FakeCleanup(), FakeBounce()
    collector = Collector(config, cast(Any, cleanup), cast(Any, bounce))
    with log.capture() as lines:
        yield Post(spool, cleanup, bounce, collector, lines)


class TestTaking:
    def test_a_submission_becomes_a_message_and_goes(self, post: Post) -> None:
        post.drop("alice", "b@y.test", "root", full_name="Alice A.", envid="q1", ret="hdrs", notify="failure")
        assert post.collector.collect() == 1
        ((envelope, data),) = post.cleanup.taken
        assert envelope.sender == "alice@x.test"
        assert [one.address for one in envelope.recipients] == ["b@y.test", "root@x.test"]
        assert envelope.recipients[0].notify == ("failure",)
        assert (envelope.origin, envelope.uid, envelope.full_name) == ("pickup", os.getuid(), "Alice A.")
        assert (envelope.envid, envelope.ret) == ("q1", "hdrs")
        assert data.startswith(f"Received: by mx.test (Pillarbox, from userid {os.getuid()})\n\tid NEW1; ".encode())
        assert data.endswith(CONTENT)
        assert post.left() == []
        assert post.lines == [f"NEW1: uid={os.getuid()} from=<alice@x.test>"]

    def test_conditions_of_the_submitter_go_on(self, post: Post) -> None:
        post.drop("alice", "b@y.test", requiretls=True, smtputf8=True, body="8bitmime")
        post.collector.collect()
        envelope = post.cleanup.taken[0][0]
        assert (envelope.requiretls, envelope.smtputf8, envelope.body) == (True, True, "8bitmime")

    @pytest.mark.parametrize(("asked", "granted"), [("default", "+="), ("-=", "-="), ("!=", ""), ("", "")])
    def test_verp_is_granted_with_the_delimiters_that_may_be_asked_for(
        self, post: Post, asked: str, granted: str
    ) -> None:
        post.drop("alice", "b@y.test", verp=asked)
        post.collector.collect()
        assert post.cleanup.taken[0][0].verp == granted

    def test_the_null_sender_gets_no_verp(self, post: Post) -> None:
        post.drop("", "b@y.test", verp="+=")
        post.collector.collect()
        assert post.cleanup.taken[0][0].verp == ""

    @pytest.mark.parametrize("report", ["verify", "record"])
    def test_a_report_may_be_asked_for(self, post: Post, report: str) -> None:
        post.drop("alice", "b@y.test", report=report)
        post.collector.collect()
        assert post.cleanup.taken[0][0].report == report

    def test_the_null_sender_stays_null(self, post: Post) -> None:
        post.drop("", "b@y.test")
        post.collector.collect()
        assert post.cleanup.taken[0][0].sender == ""

    def test_a_sender_that_is_no_address_becomes_the_submitter(self, post: Post) -> None:
        post.drop("not an address", "b@y.test")
        post.collector.collect()
        assert post.cleanup.taken[0][0].sender == f"{os.getuid()}@x.test"

    def test_a_gateway_submission_keeps_its_header(self, post: Post) -> None:
        post.drop("alice", "b@y.test", gateway=True)
        post.collector.collect()
        assert post.cleanup.taken[0][0].origin == "gateway"

    @pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away takes root")
    def test_the_owner_of_the_file_is_the_submitter(self, post: Post) -> None:
        os.chown(post.drop(), 61234, 61234)
        post.collector.collect()
        assert post.cleanup.taken[0][0].uid == 61234
        assert post.lines == ["NEW1: uid=61234 from=<alice@x.test>"]

    @pytest.mark.parametrize("shift", [-30 * 86400, 86400])
    def test_the_submitter_cannot_choose_the_arrival_time(self, post: Post, shift: int) -> None:
        path = post.drop()
        os.utime(path, (time.time() + shift,) * 2)
        before = time.time()
        post.collector.collect()
        assert before <= post.cleanup.taken[0][0].arrival <= time.time()

    def test_several_at_once(self, post: Post) -> None:
        for number in range(5):
            post.drop("alice", f"r{number}@y.test")
        assert post.collector.collect() == 5
        assert post.left() == []


class TestWaiting:
    def test_without_cleanup_everything_stays(self, post: Post) -> None:
        post.drop()
        post.drop()
        post.cleanup.down = True
        assert post.collector.collect() == 0
        assert len(post.left()) == 2
        assert len(post.lines) == 1
        post.cleanup.down = False
        assert post.collector.collect() == 2

    @pytest.mark.parametrize("failure", [ServiceUnavailable("gone"), Rejected(451, "4.3.0", "write error")])
    def test_a_failing_commit_leaves_the_file(self, post: Post, failure: Exception) -> None:
        post.drop()
        post.cleanup.failures = [failure]
        assert post.collector.collect() == 0
        assert len(post.left()) == 1
        assert post.cleanup.aborted == 1
        assert post.collector.collect() == 1

    def test_files_in_the_making_are_left_alone_until_they_are_litter(self, post: Post) -> None:
        for name in (".fresh", ".old"):
            (post.maildrop / name).write_bytes(b"")
        os.utime(post.maildrop / ".old", (0, 0))
        post.collector.collect()
        assert post.left() == [".fresh"]


class TestTellingTheSender:
    def test_a_refused_message_is_reported_to_its_sender(self, post: Post) -> None:
        post.drop("alice", "b@y.test", "c@y.test")
        post.cleanup.failures = [Rejected(552, "5.3.4", "Error: message file too big")]
        assert post.collector.collect() == 0
        assert [(queue_id, one.address, result.dsn) for queue_id, one, result in post.bounce.appended] == [
            ("NEW1", "b@y.test", "5.3.4"),
            ("NEW1", "c@y.test", "5.3.4"),
        ]
        ((queue_id, envelope, content),) = post.bounce.flushed
        assert (queue_id, envelope.sender, content) == ("NEW1", "alice@x.test", CONTENT)
        assert post.left() == []

    def test_a_recipient_that_is_no_address_is_reported_and_the_others_served(self, post: Post) -> None:
        post.drop("alice", "no such address", "b@y.test")
        assert post.collector.collect() == 1
        assert [one.address for one in post.cleanup.taken[0][0].recipients] == ["b@y.test"]
        ((_, recipient, result),) = post.bounce.appended
        assert (recipient.address, result.dsn) == ("no such address", "5.1.3")

    def test_only_bad_recipients_make_no_message(self, post: Post) -> None:
        post.drop("alice", "@")
        assert post.collector.collect() == 0
        assert post.cleanup.taken == []
        assert len(post.bounce.flushed) == 1
        assert post.left() == []


class TestRefusing:
    def test_a_symbolic_link_leads_nowhere(self, post: Post, tmp_path: Path) -> None:
        target = tmp_path / "secret"
        target.write_bytes(b"secret")
        (post.maildrop / "link").symlink_to(target)
        assert post.collector.collect() == 0
        assert post.left() == []
        assert target.exists()
        assert "symbolic link" in post.lines[0]

    def test_a_second_name_of_another_file_is_refused(self, post: Post, tmp_path: Path) -> None:
        path = post.drop()
        os.link(path, tmp_path / "other")
        assert post.collector.collect() == 0
        assert post.cleanup.taken == []
        assert (tmp_path / "other").exists()
        assert "hard links" in post.lines[0]

    def test_a_fifo_does_not_hang_it(self, post: Post) -> None:
        os.mkfifo(post.maildrop / "pipe")
        assert post.collector.collect() == 0
        assert post.left() == []

    def test_a_directory_is_complained_of_once(self, post: Post) -> None:
        (post.maildrop / "folder").mkdir()
        post.collector.collect()
        post.collector.collect()
        assert sum("folder" in line for line in post.lines) <= 3

    def test_what_is_cut_or_forged_is_set_aside(self, post: Post) -> None:
        path = post.drop()
        os.truncate(path, path.stat().st_size - 1)
        (post.maildrop / "junk").write_bytes(b"junk")
        assert post.collector.collect() == 0
        assert post.left() == []
        assert sorted(os.listdir(post.spool / "corrupt")) == sorted([f"maildrop-{path.name}", "maildrop-junk"])
        assert any('saving corrupt file "junk" from queue "maildrop" to queue "corrupt"' in line for line in post.lines)


class TestTheFormat:
    GOOD = b"PBMD1 offset=0000000088 length=0000000000000005".ljust(63) + b"\nsender a\nrecipient b@c\n\nbody\n"

    def read(self, tmp_path: Path, data: bytes) -> Any:
        (tmp_path / "f").write_bytes(data)
        descriptor = os.open(tmp_path / "f", os.O_RDONLY)
        try:
            return read_submission(descriptor)
        finally:
            os.close(descriptor)

    def test_whole(self, tmp_path: Path) -> None:
        assert len(self.GOOD) == 93
        assert self.read(tmp_path, self.GOOD).recipients == ("b@c",)

    def test_no_truncation_passes(self, tmp_path: Path) -> None:
        for data in truncations(self.GOOD):
            with pytest.raises(BadSubmission):
                self.read(tmp_path, data)

    def test_no_trailing_bytes_pass(self, tmp_path: Path) -> None:
        for data in with_trailing(self.GOOD):
            with pytest.raises(BadSubmission):
                self.read(tmp_path, data)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"sender a", b"sxnder a"),
            (b"recipient", b"rexipient"),
            (b"sender a", b"sender \0"),
            (b"sender a", b"sender \r"),
            (b"sender a\n", b"ret bogu\n"),
            (b"PBMD1", b"PBMD2"),
            (b"88", b"87"),
            (b"88", b"00"),
            (b"05", b"99"),
        ],
    )
    def test_no_forgery_passes(self, tmp_path: Path, old: bytes, new: bytes) -> None:
        with pytest.raises(BadSubmission):
            self.read(tmp_path, self.GOOD.replace(old, new, 1))
