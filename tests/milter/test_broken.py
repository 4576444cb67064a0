"""Milters that are away, silent, break off or talk nonsense, in each phase: the default action, and no edit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from pathlib import Path

import pytest

from pillarbox.lib.clients import ServiceUnavailable
from pillarbox.lib.clients.milter import AsyncMilterSession, Decision
from pillarbox.lib.config.milters import MilterSpec
from pillarbox.lib.ipc import AsyncChannel, ChannelClosed
from pillarbox.lib.milter.packets import NAMES, encode, texts
from pillarbox.lib.queue.edits import Edits
from pillarbox.lib.smtp.reply import Reply
from tests.milter.stage import CONTINUE, HEADER, OWN, Answer, Scripted, close, read_all, run, stage, then_close

TRY_LATER = Decision(Reply(451, "4.7.1", ("Service unavailable - try again later",)))
PHASES = {
    b"O": "open",
    b"C": "open",
    b"H": "helo",
    b"M": "mail",
    b"R": "rcpt",
    b"T": "data",
    b"L": "end",
    b"N": "end",
    b"B": "end",
    b"E": "end",
}
ADD = encode(b"h", texts(b"X-Half", b"done"))
FAULTS: dict[str, Answer] = {
    "closes": close,
    "closes in a length": then_close(b"\0\0"),
    "closes in a packet": then_close(struct.pack(">I", 100) + b"y550 5.7"),
    "an empty packet": b"\0\0\0\0",
    "a length of 2 GB": struct.pack(">I", 0x7FFFFFFF) + b"c",
    "a length of 4 GB": b"\xff\xff\xff\xffc",
    "garbage": b"\0\0\0\x05GET /",
    "an unknown answer": encode(b"Z"),
    "data where there is none": encode(b"c", b"x"),
    "a malformed reply": encode(b"y", b"999 5.7.1 no\0"),
    "a header without end": encode(b"h", b"X-A\0b"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_broken_milter_means_try_again_later(phase: bytes, fault: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        milter = Scripted({phase: FAULTS[fault]})
        async with stage(milter, directory=tmp_path) as scene:
            assert await scene.run() == (TRY_LATER, Edits())
            assert await scene.run("mail") == (TRY_LATER, Edits()), "it stays broken for the session"
            assert any(f"milter inet:127.0.0.1:{milter.port}: " in line for line in scene.lines), scene.lines
            if fault == "closes":
                assert f"can't read {NAMES[phase]} reply packet header: " in scene.lines[0]

    run(scenario)


@pytest.mark.parametrize("phase", PHASES)
def test_a_silent_milter_is_waited_for_so_long(phase: bytes, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(Scripted({phase: None}), directory=tmp_path, timeout=0.3) as scene:
            assert await scene.run() == (TRY_LATER, Edits())
            assert "Connection timed out" in scene.lines[0]

    run(scenario)


def test_a_milter_that_drips_counts_as_silent(tmp_path: Path) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(struct.pack(">I", 1000))
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"y")
                await writer.drain()
                await asyncio.sleep(0.05)

    async def scenario() -> None:
        async with stage(Scripted({b"M": drip}), directory=tmp_path, timeout=0.5) as scene:
            assert await scene.run() == (TRY_LATER, Edits())

    run(scenario)


def test_progress_keeps_a_slow_milter_alive(tmp_path: Path) -> None:
    async def slowly(writer: asyncio.StreamWriter) -> None:
        for _ in range(8):
            await asyncio.sleep(0.1)
            writer.write(encode(b"p"))
        writer.write(CONTINUE)

    async def scenario() -> None:
        async with stage(Scripted({b"E": slowly}), directory=tmp_path, timeout=0.6) as scene:
            assert await scene.run() == (Decision(), Edits())

    run(scenario)


def test_progress_without_end_ends_with_the_client(tmp_path: Path) -> None:
    milter = Scripted()

    async def for_ever(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(encode(b"p"))
            await writer.drain()
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        milter.answers[b"E"] = for_ever
        async with stage(milter, directory=tmp_path) as scene:
            await scene.run("open", "helo", "mail", "rcpt", "data")
            waiting = asyncio.create_task(scene.end())
            while "E" not in milter.steps():
                await asyncio.sleep(0.01)
            waiting.cancel()
            while (b"gone", b"") not in milter.got:
                await asyncio.sleep(0.01)

    run(scenario)


@pytest.mark.parametrize("fault", FAULTS)
def test_half_made_edits_are_forgotten(fault: str, tmp_path: Path) -> None:
    """What a milter has said before it breaks off counts for nothing, also where it is then taken for absent."""
    answer = FAULTS[fault]
    edits = ADD + encode(b"b", b"half a body\r\n") + encode(b"+", b"<x@y.example>\0") + encode(b"e", b"<z@y.example>\0")

    async def half(writer: asyncio.StreamWriter) -> None:
        writer.write(edits)
        if isinstance(answer, bytes):
            writer.write(answer)
        else:
            assert answer is not None
            await answer(writer)

    async def scenario() -> None:
        good = Scripted({b"E": encode(b"h", texts(b"X-Good", b"yes")) + CONTINUE})
        last = Scripted({b"E": encode(b"h", texts(b"X-Last", b"yes")) + CONTINUE})
        async with stage(good, Scripted({b"E": half}), last, directory=tmp_path, action="accept") as scene:
            decision, made = await scene.run()
            assert decision == Decision()
            assert read_all(made.header) == HEADER + b"X-Good: yes\nX-Last: yes\n"
            assert made == Edits(header=made.header)
            made.close()

    run(scenario)


def test_a_milter_that_cannot_be_reached(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(Scripted(), directory=tmp_path) as scene:
            for server in scene.servers:
                server.close()
            assert await scene.run() == (TRY_LATER, Edits())
            assert scene.lines == [f"warning: connect to Milter service {scene.specs[0].endpoint}: Connection refused"]

    run(scenario)


def test_a_milter_that_no_configuration_names_is_not_connected_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        milter = Scripted()
        async with stage(milter, directory=tmp_path) as scene:
            with socket.create_server(("127.0.0.1", 0)) as other:
                other.setblocking(False)
                endpoint = f"inet:127.0.0.1:{other.getsockname()[1]}"
                scene.session = AsyncMilterSession(scene.path, [MilterSpec(endpoint)], {})
                with pytest.raises(ServiceUnavailable):
                    await scene.run("open")
                with pytest.raises(BlockingIOError):
                    other.accept()

    run(scenario)


@pytest.mark.parametrize(
    ("action", "decision"),
    [
        ("accept", Decision()),
        ("tempfail", TRY_LATER),
        ("reject", Decision(Reply(550, "5.5.0", ("Service unavailable",)))),
        ("shutdown", Decision(Reply(421, "4.7.1", ("Service unavailable - try again later",)), shutdown=True)),
        ("quarantine", Decision(hold="milter failure")),
    ],
)
def test_the_default_action_holds(action: str, decision: Decision, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(Scripted({b"M": close}), directory=tmp_path, action=action) as scene:
            await scene.run("open", "helo")
            assert await scene.run("mail") == (decision, Edits())
            if action in ("accept", "quarantine"):
                assert await scene.run("rcpt", "data", "end") == (
                    decision,
                    Edits(hold=decision.hold),
                )

    run(scenario)


def test_a_milter_whose_absence_holds_mail_keeps_nothing_from_the_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        away, there = Scripted(), Scripted()
        async with stage(away, there, directory=tmp_path, action="quarantine") as scene:
            scene.servers[0].close()
            await scene.servers[0].wait_closed()
            made = await scene.run()
            assert made == (Decision(hold="milter failure"), Edits(hold="milter failure"))
            assert there.steps().startswith("OCHMRT"), there.steps()
            (told,) = [data for command, data in there.got if command == b"C"]
            assert told == b"client.example\x004" + (4711).to_bytes(2, "big") + b"192.0.2.1\0"

    run(scenario)


class TestTheService:
    """What a caller may say."""

    @pytest.mark.parametrize(
        "change",
        [
            {"do": "mail"},
            {"milters": [{"endpoint": "inet:192.0.2.1:25"}]},
            {"family": "9"},
            {"port": 70000},
            {"macros": {"Z": ["j"]}},
            {"values": {"j": 1}},
        ],
    )
    def test_a_session_that_does_not_begin_right_ends(self, change: dict[str, object], tmp_path: Path) -> None:
        async def scenario() -> None:
            async with stage(Scripted(), directory=tmp_path) as scene:
                channel = await AsyncChannel.connect(scene.path)
                opening: dict[str, object] = {"do": "open", "milters": [scene.specs[0].members()], "macros": {}}
                opening |= {"values": {}, "name": "a", "family": "4", "port": 1, "address": "192.0.2.1"}
                await channel.send({**opening, **change})
                with pytest.raises(ChannelClosed):
                    await channel.receive(30)
                channel.close()

        run(scenario)

    def test_the_content_is_not_kept_open(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            async with stage(Scripted(), directory=tmp_path) as scene:
                before = len(os.listdir("/proc/self/fd"))
                await scene.run("open", "helo")
                for _ in range(5):
                    assert (await scene.run("mail", "rcpt", "data", "end"))[0] == Decision()
                assert len(os.listdir("/proc/self/fd")) - before < 8

        run(scenario)


def test_a_later_milter_sees_the_edits_of_an_earlier_one(tmp_path: Path) -> None:
    first = encode(b"i", b"\0\0\0\x01" + texts(b"X-First", b"one")) + encode(b"b", b"new ") + encode(b"b", b"body\r\n")
    second = encode(b"m", b"\0\0\0\x01" + texts(b"Subject", b"changed")) + CONTINUE

    async def scenario() -> None:
        watcher = Scripted({b"E": second})
        async with stage(Scripted({b"E": first + CONTINUE}), watcher, directory=tmp_path) as scene:
            decision, edits = await scene.run()
            assert decision == Decision()
            shown = [packet for packet in watcher.got if packet[0] in b"LB"]
            assert shown == [
                (b"L", texts(b"X-First", b"one")),
                (b"L", texts(b"From", b"a@b.example")),
                (b"L", texts(b"Subject", b"hello")),
                (b"B", b"new body\r\n"),
            ]
            assert read_all(edits.header) == b"X-First: one\n" + OWN + b"From: a@b.example\nSubject: changed\n"
            assert read_all(edits.body) == b"new body\n"
            with pytest.raises(OSError):
                os.write(edits.body, b"x")
            edits.close()

    run(scenario)


def test_a_refusal_at_the_end_tells_those_who_were_not_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        second = Scripted()
        async with stage(Scripted({b"E": encode(b"r")}), second, directory=tmp_path) as scene:
            decision, edits = await scene.run()
            assert decision.refusal == Reply(550, "5.7.1", ("Command rejected",))
            assert edits == Edits()
            await scene.run("mail", "rcpt", "data")
            assert second.steps() == "OCHMRTAMRT"

    run(scenario)


def test_the_body_is_shown_in_pieces_that_milters_take(tmp_path: Path) -> None:
    async def scenario() -> None:
        milter = Scripted()
        async with stage(milter, directory=tmp_path) as scene:
            await scene.run("open", "helo", "mail", "rcpt", "data")
            body = b"x" * 60_000 + b"\n" * 100_000
            await scene.end(HEADER + b"X-Long: " + b"y" * 90_000 + b"\n", body)
            pieces = [data for command, data in milter.got if command == b"B"]
            assert b"".join(pieces) == body.replace(b"\n", b"\r\n")
            assert max(len(data) for _, data in milter.got) <= 65535

    run(scenario)


def test_a_skipped_body_is_not_sent_further(tmp_path: Path) -> None:
    async def scenario() -> None:
        milter = Scripted({b"B": encode(b"s"), b"L": encode(b"s")})
        async with stage(milter, directory=tmp_path) as scene:
            await scene.run("open", "helo", "mail", "rcpt", "data")
            assert (await scene.end(body=b"x" * 200_000))[0] == Decision()
            assert milter.steps() == "OCHMRTLNBE"

    run(scenario)


def test_steps_that_nobody_wants_are_not_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        steps = 0x01 | 0x02 | 0x04 | 0x08 | 0x100 | 0x200  # no connect, helo, mail, rcpt, unknown, data
        milter = Scripted({b"O": encode(b"O", struct.pack(">III", 6, 0x1FF, steps))})
        async with stage(milter, directory=tmp_path) as scene:
            await scene.run("open")
            assert [step for step in ("helo", "mail", "rcpt", "data", "unknown") if scene.session.wants(step)] == []
            assert await scene.run("end") == (Decision(), Edits())
            assert milter.steps() == "OLLNBE"

    run(scenario)


def test_an_address_that_is_none_is_no_edit(tmp_path: Path) -> None:
    async def scenario() -> None:
        milter = Scripted({b"E": encode(b"+", b"a b c\0") + CONTINUE})
        async with stage(milter, directory=tmp_path) as scene:
            assert await scene.run() == (TRY_LATER, Edits())

    run(scenario)


def test_a_milter_that_quarantines_for_another_leaves_the_next_one_in_the_picture(tmp_path: Path) -> None:
    async def scenario() -> None:
        second = Scripted()
        async with stage(Scripted({b"O": close}), second, directory=tmp_path, action="quarantine") as scene:
            decision, edits = await scene.run()
            assert decision.hold == edits.hold == "milter failure"
            assert second.steps() == "OCHMRTLLNBE"

    run(scenario)
