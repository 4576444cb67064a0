"""Where messages come from: recovery at start, the directories, the administrator's requests."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from pillarbox.lib.queue.file import mark_done
from pillarbox.qmgr import intake
from pillarbox.qmgr.intake import STRAIN
from tests.qmgr.stage import Stage, defers, on_stage


class TestRecovery:
    def test_what_was_active_is_taken_up_again(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            ids = [stage.put("a@one.test", queue="active") for _ in range(3)]
            stage.start()
            assert {stage.where(one) for one in ids} == {"incoming"}
            assert "3 messages from the active queue are taken up again" in stage.lines
            stage.agents()
            await stage.settle()
            assert {stage.where(one) for one in ids} == {""}

        on_stage(tmp_path, work)

    def test_recipients_that_were_done_are_not_tried_again(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            queue_id = stage.put("a@one.test", "b@one.test", queue="active")
            descriptor = os.open(stage.path("active", queue_id), os.O_RDWR)
            mark_done(descriptor, stage.recipients("active", queue_id)[0].n)
            os.close(descriptor)
            stage.start()
            agents = stage.agents()
            await stage.settle()
            assert agents.addresses == ["b@one.test"]

        on_stage(tmp_path, work)

    def test_a_failure_noted_before_the_crash_is_still_told_to_the_sender(self, tmp_path: Path) -> None:
        """docs/queue.md, "failed recipient": the log is there, and the next pass sends the notification."""

        async def work(stage: Stage) -> None:
            queue_id = stage.put("failed@one.test", "b@one.test", queue="active")
            descriptor = os.open(stage.path("active", queue_id), os.O_RDWR)
            mark_done(descriptor, stage.recipients("active", queue_id)[0].n)
            os.close(descriptor)
            stage.start()
            stage.agents()
            await stage.settle()
            assert stage.bounce.flushed == [queue_id]
            assert stage.where(queue_id) == ""

        on_stage(tmp_path, work)

    def test_a_message_all_of_whose_recipients_are_done_goes_with_its_report(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            queue_id = stage.put("failed@one.test", queue="active")
            descriptor = os.open(stage.path("active", queue_id), os.O_RDWR)
            mark_done(descriptor, stage.recipients("active", queue_id)[0].n)
            os.close(descriptor)
            stage.start()
            await stage.settle()
            assert (stage.bounce.flushed, stage.where(queue_id)) == ([queue_id], "")

        on_stage(tmp_path, work)

    def test_a_file_in_the_making_stays_as_long_as_its_writer_lives(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            left, held, young = (stage.spool / "incoming" / name for name in (".1-0", ".2-0", ".3-0"))
            for path in (left, held, young):
                path.write_bytes(b"half")
            for path in (left, held):
                os.utime(path, (time.time() - 3600,) * 2)
            descriptor = os.open(held, os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            stage.start()
            os.close(descriptor)
            assert (left.exists(), held.exists(), young.exists()) == (False, True, True)

        on_stage(tmp_path, work)

    def test_deferred_messages_are_due_when_their_files_say_so(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            now = stage.clock()
            due, later = (stage.put("a@one.test", queue="deferred") for _ in range(2))
            os.utime(stage.path("deferred", due), (now - 1, now - 1))
            os.utime(stage.path("deferred", later), (now + 500, now + 500))
            (stage.spool / "deferred" / "README").write_text("not a message")
            stage.start()
            stage.agents()
            await stage.settle()
            assert (stage.where(due), stage.where(later)) == ("", "deferred")
            stage.clock.ahead = 501
            await stage.until(lambda: stage.where(later) == "")

        on_stage(tmp_path, work)


class TestRequests:
    @pytest.mark.parametrize(
        ("site", "count"), [("", 3), ("one.test", 2), ("ONE.test", 2), ("[one.test]", 2), ("ne.test", 0)]
    )
    def test_flush(self, tmp_path: Path, site: str, count: int) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            for address in ("a@one.test", "b@one.test", "c@two.test"):
                stage.put(address)
            await stage.settle()
            assert await stage.intake.flush("", site) == count
            await stage.until(lambda: len(stage.services[0].requests) == 3 + count and stage.scheduler.idle)

        on_stage(tmp_path, work)

    def test_flush_of_one_message(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            first = stage.put("a@one.test")
            stage.put("b@one.test")
            await stage.settle()
            assert await stage.intake.flush(first, "") == 1
            assert await stage.intake.flush("4jXFYl6dnjzKD6m", "") == 0
            assert await stage.intake.flush("../../etc/passwd", "") == 0

        on_stage(tmp_path, work)

    def test_a_message_taken_from_hold_is_noticed(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            queue_id = stage.put("a@one.test", queue="hold")
            stage.path("hold", queue_id).rename(stage.path("deferred", queue_id))
            stage.intake.changed((queue_id, "not an id"))
            await stage.until(lambda: stage.where(queue_id) == "")

        on_stage(tmp_path, work)

    def test_a_deferred_message_that_was_deleted_is_forgotten(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            stage.path("deferred", queue_id).unlink()
            stage.intake.changed((queue_id,))
            assert queue_id not in stage.timetable

        on_stage(tmp_path, work)


def test_old_mail_gets_its_turn_beside_new(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        now = stage.clock()
        old = [stage.put("a@one.test", queue="deferred") for _ in range(5)]
        for one in old:
            os.utime(stage.path("deferred", one), (now - 1, now - 1))
        new = [stage.put("a@one.test") for _ in range(5)]
        stage.start()
        stage.intake.pump()
        taken = {one for one in (*old, *new) if stage.where(one) == "active"}
        assert len(taken & set(old)) == len(taken & set(new)) == 4, "the room is shared by turns"

    on_stage(tmp_path, work, qmgr_message_active_limit="8")


def test_old_mail_waits_while_lookup_is_behind_and_new_does_not(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        now = stage.clock()
        old = [stage.put(f"a@d{number}.test", queue="deferred") for number in range(3 * STRAIN)]
        for one in old:
            os.utime(stage.path("deferred", one), (now - 1, now - 1))
        stage.start()
        stage.agents()
        stage.pump()
        waiting = {one for one in old if stage.where(one) == "deferred"}
        assert len(old) - len(waiting) == STRAIN + 1
        new = [stage.put("a@new.test") for _ in range(5)]
        stage.intake.look_again()
        stage.pump()
        assert {stage.where(one) for one in new} == {"active"}
        assert {stage.where(one) for one in waiting} == {"deferred"}
        await stage.until(lambda: not any(map(stage.where, (*old, *new))))

    on_stage(tmp_path, work)


def test_a_long_incoming_directory_is_taken_up_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "INCOMING_AT_ONCE", 3)

    async def work(stage: Stage) -> None:
        new = [stage.put("a@one.test") for _ in range(10)]
        stage.start()
        stage.agents()
        await stage.until(lambda: not any(map(stage.where, new)))

    on_stage(tmp_path, work)


def test_old_mail_is_not_starved_by_a_flood_of_new_mail_for_single_places(tmp_path: Path) -> None:
    """Each place that becomes free in a full active queue finds new mail that waits for it."""

    async def work(stage: Stage) -> None:
        now = stage.clock()
        old = [stage.put("a@old.test", queue="deferred") for _ in range(4)]
        for one in old:
            os.utime(stage.path("deferred", one), (now - 1, now - 1))
        new = [stage.put("a@new.test") for _ in range(60)]
        stage.start()
        agents = stage.agents(capacity=1)
        stage.pump()
        await stage.until(lambda: not any(map(stage.where, (*old, *new))))
        last = max(n for n, address in enumerate(agents.addresses) if address == "a@old.test")
        assert last < 30, "old mail waited until the flood was over"

    on_stage(tmp_path, work, qmgr_message_active_limit="2", processes=1)
