"""From incoming/ to the agents and out of the queue: what may happen to a message on the way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from pillarbox.lib.clients.lookup import Route
from pillarbox.lib.delivery.request import DeliveryRequest
from pillarbox.lib.delivery.result import BOUNCED, DEFERRED, SENT, Result
from pillarbox.lib.queue import Recipient
from pillarbox.lib.queue.listing import FORCED_EXPIRE
from pillarbox.qmgr.intake import IDLE
from tests.qmgr.stage import FakeAgent, Stage, bounces, defers, on_stage, sends, unreachable


class TestDelivery:
    def test_a_delivered_message_leaves_the_queue(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put("a@one.test", content=b"Subject: x\n\nbody\n")
            stage.intake.arrived((queue_id,))
            await stage.settle()
            assert stage.where(queue_id) == ""
            assert agents.contents == [b"Subject: x\n\nbody\n"]
            assert stage.lines[0] == f"{queue_id}: from=<sender@here.test>, size=17, nrcpt=1 (queue active)"
            assert stage.lines[-1] == f"{queue_id}: removed"
            assert stage.bounce == type(stage.bounce)()  # nobody was bothered

        on_stage(tmp_path, work)

    def test_a_message_nobody_announced_is_found(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            queue_id = stage.put("a@one.test")
            await stage.until(lambda: stage.where(queue_id) == "")

        on_stage(tmp_path, work)

    def test_recipients_of_one_next_hop_go_together(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            stage.put("a@one.test", "b@two.test", "c@one.test")
            await stage.settle()
            groups = sorted([one.address for one in request.recipients] for request in agents.requests)
            assert groups == [["a@one.test", "c@one.test"], ["b@two.test"]]

        on_stage(tmp_path, work)

    def test_no_request_has_more_recipients_than_allowed(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            stage.put(*(f"u{n}@one.test" for n in range(7)))
            await stage.settle()
            assert sorted(len(request.recipients) for request in agents.requests) == [1, 3, 3]

        on_stage(tmp_path, work, default_destination_recipient_limit="3")

    def test_a_request_always_fits_into_a_frame(self, tmp_path: Path) -> None:
        """However long the addresses are and whatever the recipient limit is."""

        async def work(stage: Stage) -> None:
            agents = stage.agents()
            long = [
                Recipient(f"{n:04}{'é' * 120}@one.test", f"{n:04}{'ü' * 120}@one.test", "utf-8;" + "ö" * 490)
                for n in range(300)
            ]
            queue_id = stage.put(*long)
            await stage.settle()
            assert stage.where(queue_id) == ""
            assert len(set(agents.addresses)) == 300

        on_stage(tmp_path, work, default_destination_recipient_limit="0")

    def test_recipients_beyond_the_window_are_read_when_the_first_are_done(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put(*(f"u{n}@one.test" for n in range(10)))
            await stage.settle()
            assert sorted(agents.addresses) == sorted(f"u{n}@one.test" for n in range(10))
            assert all(len(request.recipients) <= 4 for request in agents.requests)
            assert stage.where(queue_id) == ""

        on_stage(tmp_path, work, qmgr_message_recipient_limit="4")

    def test_a_window_of_one_does_not_recurse(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            for n in range(600):
                stage.lookup.routes[f"u{n}@gone.test"] = Route("discard", "", f"u{n}@gone.test", "default")
            queue_id = stage.put(*(f"u{n}@gone.test" for n in range(600)))
            await stage.settle()
            assert stage.where(queue_id) == ""

        on_stage(tmp_path, work, qmgr_message_recipient_limit="1")

    def test_the_active_queue_has_a_limit_and_is_refilled(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            gate = asyncio.Event()

            async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
                await gate.wait()
                await sends(agent, request)

            stage.agents(slow)
            ids = [stage.put("a@one.test") for _ in range(9)]
            await stage.until(lambda: stage.scheduler.full)
            assert len(os.listdir(stage.spool / "active")) == 3
            stage.intake.arrived((stage.put("a@one.test"),))
            assert len(os.listdir(stage.spool / "active")) == 3
            gate.set()
            await stage.until(
                lambda: not any(stage.where(one) for one in ids) and not os.listdir(stage.spool / "incoming")
            )

        on_stage(tmp_path, work, qmgr_message_active_limit="3")

    def test_the_log_names_what_the_address_was_before(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.lookup.routes["a@old.test"] = Route("error", "5.1.1 gone", "a@new.test", "default")
            stage.put("a@old.test")
            await stage.settle()
            assert stage.logged("to=<a@new.test>, orig_to=<a@old.test>, relay=none")

        on_stage(tmp_path, work)


class TestOutcomes:
    def test_one_of_each_kind(self, tmp_path: Path) -> None:
        async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
            await {"good.test": sends, "bad.test": bounces, "later.test": defers}[request.nexthop](agent, request)

        async def work(stage: Stage) -> None:
            stage.agents(behave)
            queue_id = stage.put("a@good.test", "b@bad.test", "c@later.test")
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            done = {one.recipient.address: one.done for one in stage.recipients("deferred", queue_id)}
            assert done == {"a@good.test": True, "b@bad.test": True, "c@later.test": False}
            assert stage.bounce.log("bounce") == ["b@bad.test"]
            assert stage.bounce.log("defer") == ["c@later.test"]
            assert stage.bounce.flushed == [queue_id]
            assert stage.bounce.forgotten == []

        on_stage(tmp_path, work)

    def test_a_deferred_file_carries_the_time_of_its_next_attempt(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            queue_id = stage.put("a@one.test", arrival=stage.clock() - 1000)
            await stage.settle()
            when = stage.path("deferred", queue_id).stat().st_mtime
            assert 990 < when - stage.clock() < 1010
            assert queue_id in stage.timetable

        on_stage(tmp_path, work)

    def test_a_deferred_message_is_tried_again_when_it_is_due(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            tries = []

            async def second_time(agent: FakeAgent, request: DeliveryRequest) -> None:
                tries.append(request.queue_id)
                await (defers if len(tries) == 1 else sends)(agent, request)

            stage.agents(second_time)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            stage.pump()
            assert stage.where(queue_id) == "deferred", "it was tried before its time"
            stage.clock.ahead = 400
            await stage.until(lambda: stage.where(queue_id) == "")
            assert stage.bounce.forgotten == [queue_id], "the log of the deferral stays behind"

        on_stage(tmp_path, work)

    def test_the_first_reason_of_a_pass_replaces_those_of_the_last(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            stage.put("a@one.test", "b@two.test")
            await stage.settle()
            stage.clock.ahead = 400
            await stage.until(lambda: len(stage.bounce.appended) == 4)
            assert [fresh for *_, fresh in stage.bounce.appended] == [True, False, True, False]

        on_stage(tmp_path, work)

    def test_a_bounced_message_is_reported_and_removed(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(bounces)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert stage.bounce.log("bounce") == ["a@one.test"]
            assert stage.bounce.flushed == [queue_id]
            assert stage.where(queue_id) == ""

        on_stage(tmp_path, work)

    def test_a_success_is_reported_where_the_sender_asked(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            queue_id = stage.put(Recipient("a@one.test", notify=("success",)), "b@one.test")
            await stage.settle()
            assert stage.bounce.log("bounce") == ["a@one.test"]
            assert stage.bounce.flushed == [queue_id]

        on_stage(tmp_path, work)

    def test_what_an_agent_says_nothing_about_waits(self, tmp_path: Path) -> None:
        async def forgetful(agent: FakeAgent, request: DeliveryRequest) -> None:
            await agent.answer(request, [Result(request.recipients[0].n, SENT, "2.0.0", "taken")])

        async def work(stage: Stage) -> None:
            stage.agents(forgetful)
            queue_id = stage.put("a@one.test", "b@one.test")
            await stage.settle()
            assert [one.done for one in stage.recipients("deferred", queue_id)] == [True, False]

        on_stage(tmp_path, work)

    def test_built_in_transports_need_no_agent(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.lookup.routes = {
                "e@x.test": Route("error", "5.1.1 User unknown", "e@x.test", "default"),
                "r@x.test": Route("retry", "4.3.5 later", "r@x.test", "default"),
                "d@x.test": Route("discard", "", "d@x.test", "default"),
            }
            queue_id = stage.put("e@x.test", "r@x.test", "d@x.test")
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert stage.logged("to=<e@x.test>, relay=none") and stage.logged(
                "dsn=5.1.1, status=bounced (User unknown)"
            )
            assert stage.logged("dsn=4.3.5, status=deferred (later)")
            assert stage.logged("dsn=2.0.0, status=sent (discarded)")

        on_stage(tmp_path, work)


class TestExpiry:
    def test_a_message_past_its_lifetime_goes_back_to_its_sender(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            queue_id = stage.put("a@one.test", "b@two.test", arrival=stage.clock() - 6 * 86400)
            await stage.settle()
            assert stage.where(queue_id) == ""
            assert sorted(stage.bounce.log("bounce")) == ["a@one.test", "b@two.test"]
            assert stage.bounce.flushed == [queue_id]
            said = [line for line in stage.lines if "status=expired" in line]
            assert said == [f"{queue_id}: from=<sender@here.test>, status=expired, returned to sender"]

        on_stage(tmp_path, work)

    def test_an_old_message_is_still_delivered_where_that_works(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            queue_id = stage.put("a@one.test", arrival=stage.clock() - 6 * 86400)
            await stage.settle()
            assert stage.where(queue_id) == "" and not stage.bounce.appended

        on_stage(tmp_path, work)

    def test_the_null_sender_has_its_own_lifetime(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            old = stage.put("a@one.test", sender="", arrival=stage.clock() - 7200)
            young = stage.put("a@one.test", arrival=stage.clock() - 7200)
            await stage.settle()
            assert (stage.where(old), stage.where(young)) == ("", "deferred")

        on_stage(tmp_path, work, bounce_queue_lifetime="1h")

    def test_forced_expiry_takes_effect_at_the_next_try(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            path = stage.path("deferred", queue_id)
            path.chmod(0o600 | FORCED_EXPIRE)
            await stage.intake.flush(queue_id, "")
            await stage.until(lambda: stage.where(queue_id) == "")
            assert stage.bounce.log("bounce") == ["a@one.test"]
            assert stage.logged(f"{queue_id}: from=<sender@here.test>, status=force-expired, returned to sender")

        on_stage(tmp_path, work)

    def test_forced_expiry_does_not_stop_a_delivery_that_works(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            queue_id = stage.put("a@one.test")
            stage.path("incoming", queue_id).chmod(0o600 | FORCED_EXPIRE)
            await stage.settle()
            assert stage.where(queue_id) == "" and not stage.bounce.appended

        on_stage(tmp_path, work)


class TestDeadHelpers:
    def test_a_lookup_that_is_away_defers(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.lookup.down = True
            queue_id = stage.put("a@one.test", "b@two.test")
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert not any(one.done for one in stage.recipients("deferred", queue_id))

        on_stage(tmp_path, work)

    def test_a_bounce_that_is_away_keeps_the_failed_recipient(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.bounce.down = True
            stage.agents(bounces)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert [one.done for one in stage.recipients("deferred", queue_id)] == [False]
            stage.bounce.down = False
            stage.clock.ahead = 400
            await stage.until(lambda: stage.where(queue_id) == "")
            assert stage.bounce.flushed == [queue_id]

        on_stage(tmp_path, work)

    def test_a_report_that_could_not_be_written_is_written_by_the_next_pass(self, tmp_path: Path) -> None:
        """All recipients are done then; their failure is told all the same, before the logs go."""

        async def work(stage: Stage) -> None:
            stage.bounce.flush_fails = 1
            stage.agents(bounces)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert stage.bounce.flushed == [] and stage.bounce.forgotten == []
            stage.clock.ahead = 400
            await stage.until(lambda: stage.where(queue_id) == "")
            assert stage.bounce.flushed == [queue_id]

        on_stage(tmp_path, work)

    def test_no_transport_of_that_name_defers(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.lookup.routes["a@one.test"] = Route("nosuch", "one.test", "a@one.test", "default")
            fine = stage.agents()
            queue_id = stage.put("a@one.test", "b@two.test")
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert fine.addresses == ["b@two.test"]
            assert not stage.logged("panic")

        on_stage(tmp_path, work)

    def test_agents_that_cannot_be_reached_defer_and_are_left_alone(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            first = stage.put("a@one.test")
            await stage.settle()
            assert stage.where(first) == "deferred"
            assert stage.logged("mail transport there unavailable: connect to")
            agents = stage.agents()
            second = stage.put("a@one.test")
            stage.intake.arrived((second,))
            await stage.settle()
            assert stage.where(second) == "deferred" and not agents.requests, "the transport was tried in its pause"
            stage.scheduler.revive()
            await stage.intake.flush("", "")
            await stage.until(lambda: not stage.where(first) and not stage.where(second))

        on_stage(tmp_path, work)

    def test_an_agent_that_never_greets_defers(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            import socket

            with socket.socket(socket.AF_UNIX) as mute:
                mute.bind(str(stage.spool / "private" / "there"))
                mute.listen(5)
                queue_id = stage.put("a@one.test")
                await stage.settle()
            assert stage.where(queue_id) == "deferred"

        on_stage(tmp_path, work, qmgr_ipc_timeout="1s")


class TestDestinations:
    def test_a_window_bounds_deliveries_at_once_and_grows_with_success(self, tmp_path: Path) -> None:
        async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
            await asyncio.sleep(0.005)
            await sends(agent, request)

        async def work(stage: Stage) -> None:
            agents = stage.agents(slow, capacity=100)
            for _ in range(40):
                stage.put("a@one.test")
            await stage.settle()
            window = stage.scheduler.transport("there").nexthop("one.test").destination.window
            assert 2 < window.size <= 6
            assert agents.most <= 6

        on_stage(tmp_path, work, initial_destination_concurrency="2", default_destination_concurrency_limit="6")

    def test_a_destination_that_cannot_be_reached_is_left_alone_and_others_are_not(self, tmp_path: Path) -> None:
        async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
            await (unreachable if request.nexthop == "dead.test" else sends)(agent, request)

        async def work(stage: Stage) -> None:
            agents = stage.agents(behave, capacity=1)
            dead = [stage.put("a@dead.test") for _ in range(30)]
            fine = [stage.put("a@fine.test") for _ in range(30)]
            await stage.settle()
            assert {stage.where(one) for one in dead} == {"deferred"}
            assert {stage.where(one) for one in fine} == {""}
            assert agents.addresses.count("a@dead.test") < 10, "the dead destination was tried again and again"
            assert stage.logged(
                "dsn=4.4.1, status=deferred (delivery temporarily suspended: connect: Connection refused)"
            )
            assert not stage.logged("panic")

        on_stage(tmp_path, work, processes=1)

    def test_a_flush_revives_dead_destinations(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            alive = False

            async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
                await (sends if alive else unreachable)(agent, request)

            stage.agents(behave)
            ids = [stage.put("a@one.test") for _ in range(10)]
            await stage.settle()
            alive = True
            stage.scheduler.revive()
            assert await stage.intake.flush("", "") == 10
            await stage.until(lambda: not any(stage.where(one) for one in ids))

        on_stage(tmp_path, work)

    def test_memory_of_destinations_is_bounded(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            there = stage.scheduler.transport("there")
            for n in range(3000):
                there.nexthop(f"{n}.test").dies("gone", stage.clock() + 1.0)
                stage.clock.ahead += 1.0
            assert len(there.nexthops.known) < 2500

        on_stage(tmp_path, work)


class TestAgentDeath:
    def test_work_of_an_agent_that_dies_is_given_to_another(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            async def dies_once(agent: FakeAgent, request: DeliveryRequest) -> None:
                if len(agent.service.requests) == 1:
                    agent.channel.close()
                else:
                    await sends(agent, request)

            agents = stage.agents(dies_once)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert stage.where(queue_id) == ""
            assert len(agents.requests) == 2

        on_stage(tmp_path, work)

    def test_a_message_that_kills_every_agent_is_deferred(self, tmp_path: Path) -> None:
        async def dies(agent: FakeAgent, request: DeliveryRequest) -> None:
            agent.channel.close()

        async def work(stage: Stage) -> None:
            agents = stage.agents(dies)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert stage.where(queue_id) == "deferred"
            assert len(agents.requests) == 3
            assert stage.logged("status=deferred (unknown mail transport error)")

        on_stage(tmp_path, work)

    def test_answers_given_before_the_death_count(self, tmp_path: Path) -> None:
        """Else a delivered message would be delivered again."""

        async def work(stage: Stage) -> None:
            seen: list[DeliveryRequest] = []
            both = asyncio.Event()

            async def answers_and_goes(agent: FakeAgent, request: DeliveryRequest) -> None:
                seen.append(request)
                if len(seen) == 2:
                    both.set()
                await both.wait()
                if request is seen[0]:
                    await sends(agent, request)
                    agent.channel.close()
                elif len(seen) > 2:
                    await sends(agent, request)

            agents = stage.agents(answers_and_goes)
            stage.put("a@one.test")
            stage.put("b@two.test")
            await stage.settle()
            assert sorted(agents.addresses) == sorted(["a@one.test", "b@two.test", seen[1].recipients[0].address])

        on_stage(tmp_path, work, processes=1)

    @pytest.mark.parametrize(
        "answer",
        [
            {"results": []},
            {"tag": "x", "results": []},
            {"tag": 999, "results": []},
            {"tag": 1, "results": [{"n": 1, "status": "eaten", "dsn": "", "text": ""}]},
            {"tag": 1, "results": 7},
        ],
    )
    def test_an_answer_that_is_none_counts_as_death(self, tmp_path: Path, answer: dict[str, Any]) -> None:
        async def work(stage: Stage) -> None:
            async def babbles(agent: FakeAgent, request: DeliveryRequest) -> None:
                if len(agent.service.requests) == 1:
                    await agent.channel.send(answer)
                else:
                    await sends(agent, request)

            agents = stage.agents(babbles)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert stage.where(queue_id) == "", "the message is stuck"
            assert len(agents.requests) == 2

        on_stage(tmp_path, work)

    def test_an_agent_that_says_bye_finishes_and_gets_no_more(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            gate = asyncio.Event()

            async def leaving(agent: FakeAgent, request: DeliveryRequest) -> None:
                if len(agent.service.requests) == 1:
                    await agent.channel.send({"bye": True})
                    await gate.wait()
                await sends(agent, request)

            agents = stage.agents(leaving)
            first = stage.put("a@one.test")
            await stage.until(lambda: agents.requests)
            second = stage.put("b@two.test")
            stage.intake.arrived((second,))
            await stage.until(lambda: stage.where(second) == "")
            assert len(agents.agents) == 2, "the leaving agent was given work, or kept its successor out"
            gate.set()
            await stage.settle()
            assert stage.where(first) == ""
            assert len(agents.requests) == 2

        on_stage(tmp_path, work, processes=1)

    def test_bye_right_behind_the_greeting_is_heard(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            hello = agents.capacity
            original = agents._serve

            async def greets_and_goes(connection: Any) -> None:
                from pillarbox.lib.ipc import encode_frame

                if not agents.agents:
                    agents.agents.append(None)  # type: ignore[arg-type]
                    connection.send(encode_frame({"hello": "there", "capacity": hello}) + encode_frame({"bye": True}))
                    agents.agents.pop()
                    with contextlib.suppress(OSError):
                        left.append(await asyncio.get_running_loop().sock_recv(connection, 100))
                    connection.close()
                    agents._serve = original  # type: ignore[method-assign]
                else:
                    await original(connection)

            left: list[bytes] = []
            agents._serve = greets_and_goes  # type: ignore[method-assign]
            queue_id = stage.put("a@one.test")
            await stage.until(lambda: stage.where(queue_id) == "")

        on_stage(tmp_path, work, processes=1)

    def test_requests_larger_than_the_socket_takes_arrive_whole(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents(capacity=200)
            for n in range(60):
                stage.put(*(f"{n}-{m}-{'x' * 200}@d{n}.test" for m in range(50)))
            await stage.settle()
            assert len(set(agents.addresses)) == 3000
            assert len(agents.addresses) == 3000

        on_stage(tmp_path, work, processes=1)


class TestTakingUp:
    def test_a_file_of_garbage_is_set_aside_and_reported(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            bad = stage.put("a@one.test")
            stage.path("incoming", bad).write_bytes(b"this is no queue file")
            good = stage.put("a@one.test")
            await stage.settle()
            assert (stage.where(bad), stage.where(good)) == ("corrupt", "")
            assert stage.logged(f'warning: saving corrupt file "{bad}" from queue "active" to queue "corrupt"')

        on_stage(tmp_path, work)

    def test_a_file_with_a_broken_recipient_is_set_aside(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            bad = stage.put("a@one.test", "b@one.test")
            path = stage.path("incoming", bad)
            path.write_bytes(path.read_bytes().replace(b'T{"address":"b@', b'T{"addr":"bbbb@'))
            await stage.settle()
            assert stage.where(bad) == "corrupt" and not agents.requests
            assert not stage.scheduler.active.messages

        on_stage(tmp_path, work)

    @pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
    def test_what_is_no_file_is_set_aside_and_in_nobodys_way(self, tmp_path: Path, kind: str) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            good = [stage.put("a@one.test"), stage.put("b@one.test")]
            bad = stage.put("a@one.test")
            path = stage.path("incoming", bad)
            path.unlink()
            {"link": lambda: path.symlink_to("/etc/passwd"), "directory": path.mkdir, "fifo": lambda: os.mkfifo(path)}[
                kind
            ]()
            await stage.until(lambda: not any(stage.where(one) for one in good))
            assert os.path.lexists(stage.path("corrupt", bad))

        on_stage(tmp_path, work)

    def test_a_shortage_leaves_the_message_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            first, second = stage.put("a@one.test"), stage.put("a@one.test")
            opened, short = os.open, True

            def limited(path: Any, *more: Any, **options: Any) -> int:
                if short and "/active/" in str(path):
                    raise OSError(errno.EMFILE, "Too many open files")
                return opened(path, *more, **options)

            monkeypatch.setattr(os, "open", limited)
            assert stage.intake.pump() == IDLE, "the queue manager would spin"
            assert (stage.where(first), stage.where(second)) == ("incoming", "incoming")
            short = False
            await stage.until(lambda: not stage.where(first) and not stage.where(second))

        on_stage(tmp_path, work)

    def test_a_file_that_cannot_be_moved_is_in_nobodys_way(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            stuck, free = stage.put("a@one.test"), stage.put("a@one.test")
            stuck, free = sorted((stuck, free))
            rename = os.rename

            def stubborn(source: Any, target: Any) -> None:
                if str(source).endswith(f"incoming/{stuck}"):
                    raise OSError(errno.EACCES, "Permission denied")
                rename(source, target)

            monkeypatch.setattr(os, "rename", stubborn)
            await stage.until(lambda: stage.where(free) == "")
            assert stage.where(stuck) == "incoming"

        on_stage(tmp_path, work)

    def test_a_deferral_that_fails_is_made_good(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async def work(stage: Stage) -> None:
            stage.agents(defers)
            rename, broken = os.rename, True

            def unwilling(source: Any, target: Any) -> None:
                if broken and "/deferred/" in str(target):
                    raise OSError(errno.EIO, "Input/output error")
                rename(source, target)

            monkeypatch.setattr(os, "rename", unwilling)
            queue_id = stage.put("a@one.test")
            await stage.settle()
            assert stage.where(queue_id) == "active"
            broken = False
            stage.clock.ahead = 400
            await stage.until(lambda: len(stage.services[0].requests) == 2 and stage.scheduler.idle)
            assert stage.where(queue_id) == "deferred"

        on_stage(tmp_path, work)

    def test_a_message_that_an_old_agent_still_delivers_waits(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            agents = stage.agents()
            queue_id = stage.put("a@one.test")
            held = os.open(stage.path("incoming", queue_id), os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_EX)
            stage.pump()
            assert stage.where(queue_id) == "deferred"
            stage.clock.ahead = 10
            stage.pump()
            assert stage.where(queue_id) == "deferred" and not agents.requests
            os.close(held)
            stage.clock.ahead = 20
            await stage.until(lambda: stage.where(queue_id) == "")

        on_stage(tmp_path, work)

    def test_the_lock_outlives_this_process_through_the_agents_descriptor(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            gate = asyncio.Event()

            async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
                await gate.wait()
                await sends(agent, request)

            agents = stage.agents(slow)
            queue_id = stage.put("a@one.test")
            await stage.until(lambda: agents.requests)
            descriptor = os.open(stage.path("active", queue_id), os.O_RDONLY)
            stage.scheduler.active.messages[queue_id].close()  # as the death of the queue manager would
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            agents.requests[0].close()
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(descriptor)
            stage.scheduler.active.messages.clear()

        on_stage(tmp_path, work)

    def test_a_message_that_vanished_is_no_error(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            queue_id = stage.put("a@one.test")
            stage.path("incoming", queue_id).unlink()
            stage.intake.arrived((queue_id, "not an id", "../../etc/passwd"))
            assert stage.lines == ["warning: a notice names no queue id"] * 2

        on_stage(tmp_path, work)


class TestAdministratorsHand:
    def test_recipients_of_a_message_put_on_hold_while_delivered_are_still_marked(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            gate = asyncio.Event()

            async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
                await gate.wait()
                await (sends if request.nexthop == "one.test" else defers)(agent, request)

            agents = stage.agents(slow)
            queue_id = stage.put("a@one.test", "b@two.test")
            await stage.until(lambda: len(agents.requests) == 2)
            stage.path("active", queue_id).rename(stage.path("hold", queue_id))
            gate.set()
            await stage.settle()
            assert stage.where(queue_id) == "hold"
            assert [one.done for one in stage.recipients("hold", queue_id)] == [True, False]

        on_stage(tmp_path, work)

    def test_a_message_put_on_hold_too_late_is_not_delivered_again(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            gate = asyncio.Event()

            async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
                await gate.wait()
                await sends(agent, request)

            agents = stage.agents(slow)
            queue_id = stage.put("a@one.test")
            await stage.until(lambda: agents.requests)
            stage.path("active", queue_id).rename(stage.path("hold", queue_id))
            gate.set()
            await stage.settle()
            assert stage.where(queue_id) == ""

        on_stage(tmp_path, work)

    def test_a_message_deleted_while_delivered_is_gone_quietly(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            gate = asyncio.Event()

            async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
                await gate.wait()
                await defers(agent, request)

            agents = stage.agents(slow)
            queue_id = stage.put("a@one.test")
            await stage.until(lambda: agents.requests)
            stage.path("active", queue_id).unlink()
            gate.set()
            await stage.settle()
            assert not stage.logged("error:")
            assert queue_id not in stage.timetable

        on_stage(tmp_path, work)


def test_stopping_waits_for_agents_and_begins_nothing(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        gate = asyncio.Event()

        async def slow(agent: FakeAgent, request: DeliveryRequest) -> None:
            await gate.wait()
            await sends(agent, request)

        agents = stage.agents(slow, capacity=1)
        first = stage.put("a@one.test")
        await stage.until(lambda: agents.requests)
        waiting = stage.put("a@one.test")
        stage.intake.arrived((waiting,))
        stage.scheduler.stop()
        later = stage.put("a@one.test")
        stage.intake.arrived((later,))
        stage.pump()
        assert not stage.scheduler.idle
        gate.set()
        await stage.until(lambda: stage.scheduler.idle)
        assert stage.where(first) == ""
        assert stage.where(later) == "incoming"
        assert stage.where(waiting) == "active"  # the next queue manager takes it up
        stage.scheduler.close()
        stage.scheduler.active.messages[waiting].close()
        stage.start()
        await stage.settle()
        assert (stage.where(waiting), stage.where(later)) == ("", "")

    on_stage(tmp_path, work, processes=1)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    async def behave(agent: FakeAgent, request: DeliveryRequest) -> None:
        await {"a": sends, "b": bounces, "c": defers}[request.nexthop[0]](agent, request)

    async def work(stage: Stage) -> None:
        stage.agents(behave)
        stage.put("x@a.test")
        await stage.settle()
        before = len(os.listdir("/proc/self/fd"))
        for n in range(30):
            stage.put(f"x@a{n % 3}.test", f"x@b{n % 3}.test", f"x@c{n % 3}.test")
        bad = stage.put("x@a.test")
        stage.path("incoming", bad).write_bytes(b"x")
        await stage.settle()
        await stage.until(lambda: not any(service.running for service in stage.services))
        connections = len(stage.services[0].agents) - 1
        assert len(os.listdir("/proc/self/fd")) <= before + 2 * connections

    on_stage(tmp_path, work)


@pytest.mark.parametrize("status", [BOUNCED, DEFERRED])
def test_the_reason_reaches_bounce_word_for_word(tmp_path: Path, status: str) -> None:
    async def says(agent: FakeAgent, request: DeliveryRequest) -> None:
        await agent.all(request, status, "x.7.1", "héllo \udcff")

    async def work(stage: Stage) -> None:
        stage.agents(says)
        stage.put("a@one.test")
        await stage.settle()
        assert stage.bounce.appended[0][2:4] == ("x.7.1", "héllo \udcff")

    on_stage(tmp_path, work)


class TestSpares:
    def test_the_file_of_a_small_message_is_kept_and_of_a_large_one_is_not(self, tmp_path: Path) -> None:
        async def work(stage: Stage) -> None:
            stage.agents()
            small, _ = stage.put("a@one.test"), stage.put("a@one.test", content=b"x" * 20_000)
            await stage.settle()
            assert os.listdir(stage.spool / "spare") == [small]

        on_stage(tmp_path, work)

    def test_the_mark_of_a_forced_expiry_is_not_handed_on(self, tmp_path: Path) -> None:
        """A later message in the same file would be returned instead of tried again."""

        async def work(stage: Stage) -> None:
            stage.agents()
            queue_id = stage.put("a@one.test")
            stage.path("incoming", queue_id).chmod(0o600 | FORCED_EXPIRE)
            await stage.settle()
            assert stage.where(queue_id) == "" and os.listdir(stage.spool / "spare") == []

        on_stage(tmp_path, work)
