"""The bounce service: logs, who is told what, and what happens when the rest of the house has trouble."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, cast

import pytest

from pillarbox.bounce import logs as logs_module
from pillarbox.bounce import notices, service
from pillarbox.bounce.logs import wants
from pillarbox.lib.clients.bounce import BounceClient
from pillarbox.lib.delivery import BOUNCED, DEFERRED, SENT, Result
from pillarbox.lib.delivery.result import ENTRUSTED, RELAYED, TRACED
from pillarbox.lib.ipc import AsyncChannel, Channel
from pillarbox.lib.log import log
from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.dsn import wording
from pillarbox.lib.process.loop import new_event_loop
from pillarbox.lib.queue import Recipient, outcomes
from pillarbox.lib.queue.outcomes import Outcome
from tests.bounce.bounced import (
    CONTENT,
    ID,
    NOW,
    OTHER_ID,
    Bench,
    FakeCleanup,
    FakeMessage,
    Rejected,
    ServiceUnavailable,
    bounce_service,
)

BOB, CAROL = Recipient("bob@y.test"), Recipient("carol@z.test")
USER_UNKNOWN = Result(151, BOUNCED, "5.1.1", "unknown user", "mx.y.test[192.0.2.1]:25", "mx.y.test", "smtp; 550 no")
REFUSED = Result(151, DEFERRED, "4.4.1", "connect to y.test[192.0.2.1]:25: Connection refused")
DELIVERED = Result(151, SENT, "2.0.0", "delivered to maildir", "virtual")
HANDED_ON = Result(151, SENT, "2.0.0", "250 Ok", "mx.y.test[192.0.2.1]:25")


def on_bench(directory: Path, work: Callable[[Bench], Awaitable[None]], **parameters: str) -> list[str]:
    """Run `work` against a service; the lines it logged."""

    async def run() -> None:
        async with bounce_service(directory, **parameters) as bench:
            await work(bench)

    with log.capture() as lines:
        asyncio.run(asyncio.wait_for(run(), 30))
    return lines


def status_fields(bench: Bench, index: int = 0) -> list[Any]:
    parts = list(bench.cleanup.taken[index].message.iter_parts())
    return cast("list[Any]", parts[1].get_payload())


class TestLogs:
    def test_what_was_appended_is_read_back(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            (found,) = await bench.client.read("defer", ID)
            assert (found.recipient, found.status, found.text) == (BOB, "4.4.1", REFUSED.text)
            assert found.action == "delayed"
            assert await bench.client.read("bounce", ID) == []

        on_bench(tmp_path, work)

    def test_a_log_is_for_its_owner_only(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            assert (bench.spool / "defer" / ID).stat().st_mode & 0o077 == 0

        on_bench(tmp_path, work)

    def test_many_appends_at_once_share_a_sync_and_none_is_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batches: list[int] = []
        real = logs_module.sync_batch

        def counted(descriptors: list[int]) -> None:
            batches.append(len(descriptors))
            real(descriptors)

        monkeypatch.setattr(logs_module, "sync_batch", counted)

        async def work(bench: Bench) -> None:
            one = [Recipient(f"r{i}@y.test") for i in range(50)]
            await asyncio.gather(
                *(
                    bench.client.append("bounce", ID, recipient, Result(i, BOUNCED, "5.1.1", "no"))
                    for i, recipient in enumerate(one)
                )
            )
            assert [found.recipient for found in await bench.client.read("bounce", ID)] == one

        on_bench(tmp_path, work)
        assert sum(batches) == 50
        assert max(batches) > 1

    def test_why_a_recipient_waits_needs_no_sync(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def never(descriptors: list[int]) -> None:
            raise AssertionError("synced")

        monkeypatch.setattr(logs_module, "sync_batch", never)

        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            assert [one.n for one in await bench.client.read("defer", ID)] == [REFUSED.n]

        on_bench(tmp_path, work)

    def test_the_last_word_on_a_recipient_holds(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            await bench.client.append("defer", ID, BOB, Result(151, DEFERRED, "4.2.2", "mailbox full"))
            assert [one.text for one in await bench.client.read("defer", ID)] == ["mailbox full"]

        on_bench(tmp_path, work)

    def test_a_fresh_note_empties_the_log(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            await bench.client.append("defer", ID, BOB, Result(7, DEFERRED, "4.2.2", "full"), fresh=True)
            assert [one.n for one in await bench.client.read("defer", ID)] == [7]

        on_bench(tmp_path, work)

    def test_a_tidy_note_keeps_the_others_and_the_log_does_not_grow_with_the_passes(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, Result(7, DEFERRED, "4.2.2", "first"))
            for number in range(300):
                await bench.client.append("defer", ID, BOB, Result(8, DEFERRED, "4.2.2", f"pass {number}"), tidy=True)
            found = [(one.n, one.text) for one in await bench.client.read("defer", ID)]
            assert found == [(7, "first"), (8, "pass 299")]
            assert (bench.spool / "defer" / ID).stat().st_size < 20_000

        on_bench(tmp_path, work)

    def test_forgetting_removes_both_logs_and_minds_nothing_missing(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.client.append("defer", OTHER_ID, BOB, REFUSED)
            await bench.client.forget(ID)
            await bench.client.forget(ID)
            assert os.listdir(bench.spool / "defer") == [OTHER_ID]
            assert os.listdir(bench.spool / "bounce") == []

        on_bench(tmp_path, work)

    def test_half_a_line_left_by_a_crash_costs_nothing_else(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            with (bench.spool / "bounce" / ID).open("ab") as stream:
                stream.write(b'{"address":"x@y')
            await bench.client.append("bounce", ID, BOB, Result(9, BOUNCED, "5.0.0", "later"))
            assert [one.n for one in await bench.client.read("bounce", ID)] == [151, 9]

        on_bench(tmp_path, work)

    def test_a_full_disk_is_reported_and_leaves_the_log_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pillarbox.lib.queue import outcomes

        real = outcomes.write_all

        def full(descriptor: int, data: bytes) -> None:
            os.write(descriptor, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            before = (bench.spool / "bounce" / ID).read_bytes()
            monkeypatch.setattr(outcomes, "write_all", full)
            with pytest.raises(ServiceUnavailable, match="No space left"):
                await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            monkeypatch.setattr(outcomes, "write_all", real)
            assert (bench.spool / "bounce" / ID).read_bytes() == before

        on_bench(tmp_path, work)

    def test_a_failing_sync_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(descriptors: list[int]) -> None:
            raise OSError(errno.EIO, "Input/output error")

        async def work(bench: Bench) -> None:
            monkeypatch.setattr(logs_module, "sync_batch", broken)
            with pytest.raises(ServiceUnavailable, match="Input/output"):
                await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)

        on_bench(tmp_path, work)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, new_event_loop], ids=["asyncio", "ours"])
def test_a_queue_manager_that_died_without_reading_its_answers_leaves_no_message_open(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """What it had sent and nobody read holds the files of its messages, and with them their locks: 21 messages waited
    for minutes."""

    async def work() -> None:
        async with bounce_service(tmp_path) as bench:
            manager = Channel.connect(bench.config.socket_path("bounce"), 10)
            members = {"do": "flush", "id": ID, "envelope": bench.envelope().members(), "offset": 5, "length": 41}
            manager.send({**members, "tag": 1}, [bench.descriptor])
            await asyncio.sleep(0.1)  # the answer is there, and not read
            for tag in range(2, 40):
                manager.send({**members, "tag": tag}, [bench.descriptor])
            manager.close()
            ours = os.fstat(bench.descriptor).st_ino

            def held() -> int:
                names = [int(name) for name in os.listdir("/proc/self/fd")]
                found = 0
                for name in names:
                    with contextlib.suppress(OSError):
                        found += os.fstat(name).st_ino == ours
                return found

            deadline = asyncio.get_running_loop().time() + 10
            while held() > 1 or bench.serving():
                assert asyncio.get_running_loop().time() < deadline, "a message is held"
                await asyncio.sleep(0.02)

    loop = new_loop()
    try:
        loop.run_until_complete(work())
    finally:
        loop.close()


class TestReports:
    def test_a_failure_goes_back_to_the_sender(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            assert await bench.flush(envid="QQ1") == ("NEW1",)
            (taken,) = bench.cleanup.taken
            assert taken.envelope.sender == ""
            assert [one.address for one in taken.envelope.recipients] == ["a@x.test"]
            assert taken.envelope.recipients[0].notify == ("never",)
            assert taken.data.startswith(b"Received: by mx.test (Pillarbox)\n\tid NEW1; ")
            assert taken.message["Message-ID"].endswith(".NEW1@mx.test>")
            assert taken.message["Subject"] == "Undelivered Mail Returned to Sender"
            about, one = status_fields(bench)
            assert about["Original-Envelope-Id"] == "QQ1"
            assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
            assert b"the body" in taken.data
            assert not (bench.spool / "bounce" / ID).exists()

        assert f"{ID}: sender non-delivery notification: NEW1" in on_bench(tmp_path, work)

    def test_nothing_appended_means_nothing_sent(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            assert await bench.flush() == ()
            assert bench.cleanup.taken == []

        on_bench(tmp_path, work)

    @pytest.mark.parametrize("notify", [("never",), ("success",), ("delay",)])
    def test_notify_can_rule_a_failure_report_out(self, tmp_path: Path, notify: tuple[str, ...]) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, Recipient("b@y.test", notify=notify), USER_UNKNOWN)
            assert await bench.flush() == ()
            assert not (bench.spool / "bounce" / ID).exists()

        on_bench(tmp_path, work)

    def test_only_those_who_asked_are_in_the_report(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            silent = Recipient("silent@y.test", notify=("never",))
            await bench.client.append("bounce", ID, silent, Result(1, BOUNCED, "5.1.1", "no"))
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.flush()
            assert [one["Final-Recipient"] for one in status_fields(bench)[1:]] == ["rfc822; bob@y.test"]
            assert b"silent" not in bench.cleanup.taken[0].data

        on_bench(tmp_path, work)

    def test_an_expired_deferral_is_a_failure(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, REFUSED)
            await bench.flush()
            assert status_fields(bench)[1]["Action"] == "failed"

        on_bench(tmp_path, work)

    def test_success_is_reported_only_on_request(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, Recipient("b@y.test", notify=("success",)), DELIVERED)
            on = Result(9, SENT, "2.0.0", "250 Ok", HANDED_ON.relay)
            await bench.client.append("bounce", ID, Recipient("c@y.test", notify=("success", "failure")), on)
            await bench.client.append("bounce", ID, BOB, Result(10, SENT, "2.0.0", "x", "virtual"))
            assert await bench.flush() == ("NEW1",)
            assert bench.cleanup.taken[0].message["Subject"] == "Successful Mail Delivery Report"
            assert [one["Action"] for one in status_fields(bench)[1:]] == ["delivered", "relayed"]
            assert b"the body" not in bench.cleanup.taken[0].data

        assert f"{ID}: sender delivery status notification: NEW1" in on_bench(tmp_path, work)

    def test_failure_and_success_are_two_reports(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, Recipient("b@y.test", notify=("success",)), DELIVERED)
            await bench.client.append("bounce", ID, BOB, Result(9, BOUNCED, "5.1.1", "no"))
            assert await bench.flush() == ("NEW1", "NEW2")

        on_bench(tmp_path, work)

    def test_a_large_or_unwanted_original_comes_as_header(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.flush(ret="hdrs")
            assert b"the body" not in bench.cleanup.taken[0].data
            assert b"Subject: hello" in bench.cleanup.taken[0].data

        on_bench(tmp_path, work)

        async def limited(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.flush()
            assert b"the body" not in bench.cleanup.taken[0].data

        on_bench(tmp_path / "second", limited, bounce_size_limit=str(len(CONTENT) - 1))

    def test_a_warning_says_of_each_recipient_how_long_it_will_be_tried(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            soon, last = 1795790000.0, 1795880000.0
            await bench.client.append("defer", ID, BOB, REFUSED, until=soon)
            await bench.client.append("defer", ID, CAROL, Result(152, DEFERRED, "4.4.1", "no route"), until=last)
            await bench.warn()
            said = [fields["Will-Retry-Until"] for fields in status_fields(bench)[1:]]
            assert [parsedate_to_datetime(time).timestamp() for time in said] == [soon, last]
            assert format_date(last) in bench.cleanup.taken[0].message.get_body().get_content()

        on_bench(tmp_path, work)

    def test_a_message_that_is_to_come_back_at_a_time_is_not_tried_longer(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            await bench.warn(deliver_by="1795319700;R")
            (fields,) = status_fields(bench)[1:]
            assert parsedate_to_datetime(fields["Will-Retry-Until"]).timestamp() == 1795319700

        on_bench(tmp_path, work)

    def test_a_warning_is_sent_once(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            assert await bench.warn() == ("NEW1",)
            assert bench.cleanup.taken[0].message["Subject"] == "Delayed Mail (still being retried)"
            assert status_fields(bench)[1]["Action"] == "delayed"
            assert status_fields(bench)[1]["Will-Retry-Until"]
            await bench.client.append("defer", ID, BOB, REFUSED, fresh=True)
            assert await bench.warn() == ()
            assert (bench.spool / "defer" / ID).exists()

        assert f"{ID}: sender delay notification: NEW1" in on_bench(tmp_path, work)


class TestDeadlines:
    """RFC 2852 section 4."""

    def test_a_deadline_that_passes_is_told_once_even_after_a_warning(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, Recipient("bob@y.test", notify=("failure",)), REFUSED)
            assert await bench.warn(deliver_by=f"{int(NOW) + 1};N") == ()
            assert await bench.warn(deliver_by=f"{int(NOW) - 1};N") == ("NEW1",)
            assert await bench.warn(deliver_by=f"{int(NOW) - 1};N") == ()
            message = bench.cleanup.taken[0].message
            assert message["Subject"] == "Mail Not Delivered in Time (still being retried)"
            assert status_fields(bench)[1]["Action"] == "delayed"
            assert status_fields(bench)[1]["Status"] == "4.4.7"
            assert b"delivery time expired" in b" ".join(bench.cleanup.taken[0].data.split())

        on_bench(tmp_path, work)

    def test_who_wants_no_reports_gets_none(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, Recipient("bob@y.test", notify=("never",)), REFUSED)
            assert await bench.warn(deliver_by=f"{int(NOW) - 1};N") == ()

        on_bench(tmp_path, work)

    def test_a_relaying_is_told_without_notify_but_not_against_never(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            traced = replace(HANDED_ON, handed=TRACED)
            await bench.client.append("bounce", ID, BOB, traced)
            await bench.client.append("bounce", ID, Recipient("c@y.test", notify=("never",)), replace(traced, n=152))
            assert await bench.flush() == ("NEW1",)
            _, *recipients = status_fields(bench)
            assert [(one["Final-Recipient"], one["Action"]) for one in recipients] == [
                ("rfc822; bob@y.test", "relayed")
            ]

        on_bench(tmp_path, work)

    @pytest.mark.parametrize(
        ("handed", "notify", "wanted"),
        [
            ("", ("success",), True),
            ("", (), False),
            (RELAYED, ("success",), True),
            (RELAYED, ("failure",), False),
            (ENTRUSTED, ("success",), False),
            (TRACED, (), True),
            (TRACED, ("failure",), True),
            (TRACED, ("never",), False),
        ],
    )
    def test_which_successes_are_told(self, handed: str, notify: tuple[str, ...], wanted: bool) -> None:
        assert replace(HANDED_ON, handed=handed).wanted(notify) is wanted


class TestProtection:
    """RFC 8689 section 5."""

    def test_a_report_is_protected_like_its_message_and_has_headers_only(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.flush(requiretls=True, ret="full")
            (taken,) = bench.cleanup.taken
            assert taken.envelope.requiretls
            assert b"Subject: hello" in taken.data
            assert b"the body" not in taken.data

        on_bench(tmp_path, work)

    def test_so_is_a_warning(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            await bench.warn(requiretls=True)
            assert bench.cleanup.taken[0].envelope.requiretls

        on_bench(tmp_path, work)

    def test_other_reports_are_not_bound_by_it(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.flush()
            assert not bench.cleanup.taken[0].envelope.requiretls

        on_bench(tmp_path, work)


class TestNobodyIsToldTwice:
    def test_the_null_sender_is_never_written_to(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.client.append("defer", ID, BOB, REFUSED)
            assert await bench.flush(sender="") == ()
            assert await bench.warn(sender="") == ()
            assert not (bench.spool / "bounce" / ID).exists()

        on_bench(tmp_path, work)

    def test_the_postmaster_gets_a_copy_where_asked(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            assert await bench.flush(sender="") == ("NEW1",)
            (taken,) = bench.cleanup.taken
            assert taken.envelope.sender == "double-bounce@mx.test"
            assert taken.envelope.recipients[0].address == "postmaster@mx.test"

        lines = on_bench(tmp_path, work, notify_classes="resource, 2bounce")
        assert f"{ID}: postmaster non-delivery notification: NEW1" in lines

    def test_a_failing_postmaster_copy_ends_there(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            assert await bench.flush(sender="Double-Bounce@mx.test") == ()

        lines = on_bench(tmp_path, work, notify_classes="2bounce")
        assert f"warning: {ID}: undeliverable postmaster notification discarded" in lines


class TestTrouble:
    def test_cleanup_out_of_reach_keeps_the_log(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            bench.cleanup.refusals = [ServiceUnavailable("cleanup: gone")]
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            with pytest.raises(ServiceUnavailable, match="gone"):
                await bench.flush()
            assert await bench.flush() == ("NEW1",)

        on_bench(tmp_path, work)

    def test_a_full_queue_keeps_the_log(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            bench.cleanup.refusals = [Rejected(451, "4.3.0", "Error: queue file write error")]
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            with pytest.raises(ServiceUnavailable, match="write error"):
                await bench.flush()
            assert await bench.flush() == ("NEW1",)

        on_bench(tmp_path, work)

    def test_a_report_that_is_too_big_goes_without_the_body(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            bench.cleanup.refusals = [Rejected(552, "5.3.4", "Error: message file too big")]
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            assert await bench.flush() == ("NEW1",)
            assert b"the body" not in bench.cleanup.taken[0].data

        on_bench(tmp_path, work)

    def test_who_is_still_to_do_has_not_failed(self, tmp_path: Path) -> None:
        """The reason is on disk, but qmgr did not hear so, or died before the mark: the recipient is tried again."""

        async def work(bench: Bench) -> None:
            tried_again, failed = 100, 101
            (tmp_path / "message").write_bytes((b"#####" + CONTENT).ljust(100) + b"TD")
            await bench.client.append("bounce", ID, replace(BOB, address="ann@y.test"), replace(USER_UNKNOWN, n=failed))
            await bench.client.append("bounce", ID, BOB, replace(USER_UNKNOWN, n=tried_again))
            await bench.flush()
            (taken,) = bench.cleanup.taken
            assert b"<ann@y.test>" in taken.data and b"<bob@y.test>" not in taken.data
            await bench.client.append("bounce", ID, BOB, replace(USER_UNKNOWN, n=tried_again))
            assert await bench.flush() == ()

        on_bench(tmp_path, work)

    def test_what_verp_senders_have_been_told_is_not_told_again(self, tmp_path: Path) -> None:
        many = [replace(BOB, address=f"user{number}@y.test") for number in range(5)]

        async def work(bench: Bench) -> None:
            for number, recipient in enumerate(many, 1):
                await bench.client.append("bounce", ID, recipient, replace(USER_UNKNOWN, n=number))
            bench.cleanup.refuse_after = 3
            with pytest.raises(ServiceUnavailable):
                await bench.flush(verp="+=")
            bench.cleanup.refuse_after = -1
            await bench.flush(verp="+=")
            told = [taken.envelope.recipients[0].address for taken in bench.cleanup.taken]
            assert told[:5] == [f"a+user{number}=y.test@x.test" for number in range(5)]
            assert told[5:] == ["postmaster@mx.test"], "his copy is about all of them"
            assert len(status_fields(bench, 5)) == 1 + len(many)

        on_bench(tmp_path, work, notify_classes="bounce")

    def test_a_report_on_too_many_recipients_goes_in_parts(self, tmp_path: Path) -> None:
        many = [replace(BOB, address=f"user{number}@y.test") for number in range(40)]

        async def work(bench: Bench) -> None:
            bench.cleanup.size_limit = 5000
            for number, recipient in enumerate(many, 1):
                await bench.client.append("bounce", ID, recipient, replace(USER_UNKNOWN, n=number))
            assert len(await bench.flush()) == len(bench.cleanup.taken) > 1
            data = b"".join(taken.data for taken in bench.cleanup.taken)
            assert all(data.count(f"rfc822; {one.address}\n".encode()) == 1 for one in many), "each is in one of them"
            assert all(len(taken.data) <= 5000 for taken in bench.cleanup.taken)

        on_bench(tmp_path, work)

    def test_a_million_recipients_are_told_of_in_reports_of_a_few_thousand(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(notices, "REPORT_RECIPIENTS", 10)
        monkeypatch.setattr(wording, "LISTED_LIMIT", 3)
        many = [replace(BOB, address=f"user{number}@y.test") for number in range(25)]
        read = 0
        real = outcomes.read

        def counted(path: str) -> Iterator[Outcome]:
            nonlocal read
            for each in real(path):
                read += 1
                yield each

        async def work(bench: Bench) -> None:
            for number, recipient in enumerate(many, 1):
                await bench.client.append("bounce", ID, recipient, replace(USER_UNKNOWN, n=number))
            monkeypatch.setattr(outcomes, "read", counted)
            assert len(await bench.flush()) == 3
            for taken, part in zip(bench.cleanup.taken, (many[:10], many[10:20], many[20:]), strict=True):
                first, second, *_ = taken.data.split(b"Content-Description: Delivery report")
                for number, one in enumerate(part):
                    assert second.count(f"rfc822; {one.address}\n".encode()) == 1, "for programs each is there"
                    assert (one.address.encode() in first) == (number < 3), "for people some are"
                assert f"And {len(part) - 3} more.".encode() in first
            assert read <= 8 * len(many), "the log is read a few times, however many reports come of it"

        on_bench(tmp_path, work)

    def test_parts_that_were_written_are_not_repeated(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notices, "REPORT_RECIPIENTS", 2)
        many = [replace(BOB, address=f"user{number}@y.test") for number in range(5)]

        async def work(bench: Bench) -> None:
            for number, recipient in enumerate(many, 1):
                await bench.client.append("bounce", ID, recipient, replace(USER_UNKNOWN, n=number))
            bench.cleanup.refuse_after = 2
            with pytest.raises(ServiceUnavailable):
                await bench.flush()
            bench.cleanup.refuse_after = -1
            await bench.flush()
            data = b"".join(taken.data for taken in bench.cleanup.taken)
            counts = [data.count(f"rfc822; {one.address}\n".encode()) for one in many]
            assert counts == [1] * 5

        on_bench(tmp_path, work)

    def test_whoever_waits_hears_that_reports_are_being_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "SIGN_OF_LIFE", 0.001)
        heard = asyncio.Event()
        real = FakeCleanup.open

        async def opened(cleanup: FakeCleanup) -> FakeMessage:
            await heard.wait()
            return await real(cleanup)

        monkeypatch.setattr(FakeCleanup, "open", opened)

        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            connection = bench.client._connection
            assert connection is not None
            flushing = asyncio.get_running_loop().create_task(bench.flush())
            while not connection._working:
                await asyncio.sleep(0.001)
            heard.set()
            assert len(await flushing) == 1, "a sign of life is no answer"

        on_bench(tmp_path, work)

    def test_a_report_that_is_never_taken_is_given_up_loudly(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            bench.cleanup.refusals = [Rejected(554, "5.4.0", "no")] * 2
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            assert await bench.flush() == ()

        lines = on_bench(tmp_path, work)
        assert any(line.startswith("error: ") and "given up" in line for line in lines)

    @pytest.mark.parametrize("queue_id", ["../../etc/passwd", "", "a/b", "x" * 40])
    def test_what_is_no_queue_id_names_no_file(self, tmp_path: Path, queue_id: str) -> None:
        async def work(bench: Bench) -> None:
            with pytest.raises(ServiceUnavailable):
                await bench.client.append("bounce", queue_id, BOB, USER_UNKNOWN)
            with pytest.raises(ServiceUnavailable):
                await bench.client.forget(queue_id)
            with pytest.raises(ServiceUnavailable):
                await bench.client.append("../incoming", ID, BOB, USER_UNKNOWN)

        on_bench(tmp_path, work)

    def test_an_unknown_request_is_answered_and_the_service_lives_on(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            channel = await AsyncChannel.connect(bench.config.socket_path("bounce"))
            reply = await channel.call({"do": "explode", "tag": 1})
            assert not reply.boolean("ok")
            assert "explode" in reply.text("why")
            channel.close()
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)

        on_bench(tmp_path, work)

    def test_the_blocking_client_says_the_same(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            def talk() -> None:
                client = BounceClient(bench.config)
                client.append("bounce", ID, BOB, USER_UNKNOWN)
                assert [one.status for one in client.read("bounce", ID)] == ["5.1.1"]
                assert client.flush(ID, bench.envelope(), bench.descriptor, 5, len(CONTENT)) == ("NEW1",)
                client.forget(ID)
                client.close()

            await asyncio.get_running_loop().run_in_executor(None, talk)

        on_bench(tmp_path, work)

    def test_no_service_is_service_unavailable(self, tmp_path: Path) -> None:
        from pillarbox.lib.config import Config

        client = BounceClient(Config.for_tests(queue_directory=str(tmp_path)))
        with pytest.raises(ServiceUnavailable, match="bounce: connect to"):
            client.forget(ID)


@pytest.mark.parametrize(
    ("notify", "event", "wanted"),
    [
        ((), "failure", True),
        ((), "delay", True),
        ((), "success", False),
        (("never",), "failure", False),
        (("success", "failure"), "failure", True),
        (("success", "failure"), "delay", False),
    ],
)
def test_notify(notify: tuple[str, ...], event: str, wanted: bool) -> None:
    assert wants(notify, event) == wanted


class TestPostmaster:
    """notify_classes: copies by class, to whom each is configured, from a sender that nothing is returned to."""

    def test_a_copy_of_a_bounce_has_the_header_only(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            assert await bench.flush() == ("NEW1", "NEW2")
            to_sender, copy = bench.cleanup.taken
            assert b"the body" in to_sender.data
            assert copy.envelope.sender == "double-bounce@mx.test"
            assert [one.address for one in copy.envelope.recipients] == ["watch@x.test"]
            assert copy.message["Subject"] == "Postmaster Copy: Undelivered Mail"
            assert b"the body" not in copy.data
            assert b"Subject: hello" in copy.data

        lines = on_bench(tmp_path, work, notify_classes="bounce", bounce_notice_recipient="watch@x.test")
        assert f"{ID}: postmaster non-delivery notification: NEW2" in lines

    def test_a_copy_of_a_warning(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            assert await bench.warn() == ("NEW1", "NEW2")
            copy = bench.cleanup.taken[1]
            assert [one.address for one in copy.envelope.recipients] == ["late@x.test"]
            assert copy.message["Subject"] == "Postmaster Warning: Delayed Mail"

        lines = on_bench(tmp_path, work, notify_classes="delay", delay_notice_recipient="late@x.test")
        assert f"{ID}: postmaster delay notification: NEW2" in lines

    def test_double_bounces_go_to_their_own_recipient(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.flush(sender="")
            assert [one.address for one in bench.cleanup.taken[0].envelope.recipients] == ["twice@mx.test"]

        classes = {"notify_classes": "bounce, 2bounce", "2bounce_notice_recipient": "twice"}
        on_bench(tmp_path, work, **classes)

    @pytest.mark.parametrize("classes", ["bounce", "delay", "2bounce", "resource, software"])
    def test_what_is_not_asked_for_is_not_sent(self, tmp_path: Path, classes: str) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.client.append("defer", ID, BOB, REFUSED)
            await bench.flush()
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            await bench.flush(sender="")
            await bench.warn()
            notices = [one for one in bench.cleanup.taken if one.envelope.sender]
            # "bounce" has the copy of the bounce, and what "2bounce" has.
            assert len(notices) == {"bounce": 2, "delay": 1, "2bounce": 1}.get(classes, 0)

        on_bench(tmp_path, work, notify_classes=classes)


class TestVerp:
    """A failure goes to the sender that its recipient has seen, so that a list knows whom it concerns."""

    async def _two_failures(self, bench: Bench, **envelope: Any) -> list[tuple[str, list[str]]]:
        await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
        alias = Recipient("real@y.test", original="alias@x.test")
        await bench.client.append("bounce", ID, alias, replace(USER_UNKNOWN, n=152))
        await bench.client.append("bounce", ID, Recipient("s@y.test", notify=("never",)), replace(USER_UNKNOWN, n=153))
        await bench.flush(sender="owner@l.test", verp="+=", **envelope)
        return [
            (
                taken.envelope.recipients[0].address,
                [one["Final-Recipient"].partition("; ")[2] for one in status_fields(bench, index)[1:]],
            )
            for index, taken in enumerate(bench.cleanup.taken)
        ]

    def test_each_failure_is_a_report_of_its_own(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            assert await self._two_failures(bench) == [
                ("owner+bob=y.test@l.test", ["bob@y.test"]),
                ("owner+alias=x.test@l.test", ["real@y.test"]),
            ]

        on_bench(tmp_path, work)

    def test_unless_that_is_disabled(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            assert await self._two_failures(bench) == [("owner@l.test", ["bob@y.test", "real@y.test"])]

        on_bench(tmp_path, work, disable_verp_bounces="yes")

    def test_warnings_go_to_the_owner(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("defer", ID, BOB, REFUSED)
            await bench.warn(sender="owner@l.test", verp="+=")
            assert bench.cleanup.taken[0].envelope.recipients[0].address == "owner@l.test"

        on_bench(tmp_path, work)


class TestStatusReports:
    """`sendmail -bv` and `sendmail -v`."""

    def test_what_would_be_done_with_every_recipient(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, replace(HANDED_ON, text="250 2.1.5 Ok"))
            await bench.client.append(
                "bounce", ID, Recipient("n@y.test", notify=("never",)), replace(USER_UNKNOWN, n=1)
            )
            await bench.client.append("bounce", ID, Recipient("l@y.test"), replace(REFUSED, n=2))
            assert await bench.flush(report="verify") == ("NEW1",)
            message = bench.cleanup.taken[0].message
            assert message["Subject"] == "Mail Delivery Status Report"
            assert [(one["Final-Recipient"], one["Action"], one["Status"]) for one in status_fields(bench)[1:]] == [
                ("rfc822; bob@y.test", "deliverable", "2.0.0"),
                ("rfc822; n@y.test", "undeliverable", "5.1.1"),
                ("rfc822; l@y.test", "undeliverable", "4.4.1"),
            ]
            assert b"250 2.1.5 Ok" in bench.cleanup.taken[0].data

        on_bench(tmp_path, work)

    def test_what_the_first_attempt_has_done_is_told_once(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, DELIVERED)
            await bench.client.append("defer", ID, Recipient("l@y.test"), replace(REFUSED, n=2))
            assert await bench.flush(report="record") == ("NEW1",)
            assert [(one["Final-Recipient"], one["Action"]) for one in status_fields(bench)[1:]] == [
                ("rfc822; bob@y.test", "delivered"),
                ("rfc822; l@y.test", "delayed"),
            ]
            await bench.client.append("bounce", ID, Recipient("l@y.test"), replace(DELIVERED, n=2))
            assert await bench.flush(report="record") == ()

        on_bench(tmp_path, work)

    def test_a_failure_comes_back_beside_the_report(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, USER_UNKNOWN)
            assert await bench.flush(report="record") == ("NEW1", "NEW2")
            subjects = [taken.message["Subject"] for taken in bench.cleanup.taken]
            assert subjects == ["Undelivered Mail Returned to Sender", "Mail Delivery Status Report"]

        on_bench(tmp_path, work)

    def test_the_null_sender_hears_nothing(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, BOB, DELIVERED)
            assert await bench.flush(report="verify", sender="") == ()

        on_bench(tmp_path, work)


class TestWhoseWord:
    """NOTIFY silences what its sender would hear, not what the postmaster has asked for."""

    def test_our_own_report_that_cannot_be_delivered_is_a_double_bounce(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, Recipient("gone@y.test", notify=("never",)), USER_UNKNOWN)
            assert await bench.flush(sender="") == ("NEW1",)
            assert bench.cleanup.taken[0].envelope.sender == "double-bounce@mx.test"

        on_bench(tmp_path, work, notify_classes="2bounce")

    def test_a_copy_is_sent_of_what_the_sender_does_not_want_to_hear(self, tmp_path: Path) -> None:
        async def work(bench: Bench) -> None:
            await bench.client.append("bounce", ID, Recipient("b@y.test", notify=("never",)), USER_UNKNOWN)
            await bench.client.append("defer", ID, Recipient("c@y.test", notify=("never",)), REFUSED)
            assert await bench.flush() == ("NEW1",)
            assert await bench.warn() == ("NEW2",)
            assert {taken.envelope.recipients[0].address for taken in bench.cleanup.taken} == {"postmaster@mx.test"}
            assert [taken.message["Auto-Submitted"] for taken in bench.cleanup.taken] == ["auto-generated"] * 2

        on_bench(tmp_path, work, notify_classes="bounce, delay")
