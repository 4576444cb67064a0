"""The filter before the queue: what it is told, what the client hears, and every way in which it can fail."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from pillarbox.lib.config import Config
from pillarbox.lib.config.filter_endpoint import Endpoint
from pillarbox.smtpd import filtered_message
from pillarbox.smtpd.program import confinement
from tests.smtpd.stage import OPEN, Peer, Stage, run, stage

UNAVAILABLE = "451 4.3.0 Error: queue file write error"
EHLO = (
    b"250-filter\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n"
    b"250 XFORWARD NAME ADDR PORT PROTO HELO SOURCE\r\n"
)
MESSAGE = b"Subject: x\r\n\r\nhello\r\n.\r\n"

CLOSE = b""
HANG = None
Answer = bytes | None


@dataclass
class Filter:
    """A scripted filter: `answers` by verb; b"" closes the connection instead, None says nothing."""

    answers: dict[str, Answer] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    broken_off: int = 0
    read_slowly: bool = False
    port: int = 0

    def answer(self, verb: str, usual: bytes) -> Answer:
        return self.answers.get(verb, usual)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._converse(reader, writer)
        self.open -= 1
        writer.close()

    async def _say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        if answer is HANG:
            await reader.read()
            return False
        if answer == CLOSE:
            return False
        assert answer is not None
        writer.write(answer)
        await writer.drain()
        return True

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._say(reader, writer, self.answer("GREETING", b"220 filter\r\n")):
            return
        while line := await reader.readline():
            command = line.decode().rstrip("\r\n")
            self.commands.append(command)
            verb = command.partition(" ")[0].upper()
            if verb == "QUIT":
                return
            if verb == "DATA":
                answer = self.answer("DATA", b"354 go\r\n")
                if not await self._say(reader, writer, answer):
                    return
                if answer is not None and answer.startswith(b"354") and not await self._content(reader, writer):
                    return
                continue
            usual = EHLO if verb == "EHLO" else b"250 2.1.0 Ok\r\n"
            if not await self._say(reader, writer, self.answer(verb, usual)):
                return

    async def _content(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        early = self.answers.get("EARLY")
        if early is not None:
            await reader.read(1)
            await self._say(reader, writer, early)
            return False
        content = b""
        while not content.endswith(b"\r\n.\r\n") and content != b".\r\n":
            piece = await reader.read(1 << 16)
            if not piece:
                self.broken_off += 1
                return False
            content += piece
            if self.read_slowly:
                await asyncio.sleep(0)
        self.contents.append(content)
        return await self._say(reader, writer, self.answer("END", b"250 2.0.0 Ok: queued as INNER\r\n"))


@contextlib.asynccontextmanager
async def filtered(answers: dict[str, Answer] | None = None, **settings: str) -> AsyncIterator[tuple[Stage, Filter]]:
    """A stage whose service has a filter."""
    filter_ = Filter(dict(answers or {}))
    server = await asyncio.start_server(filter_.serve, "127.0.0.1", 0)
    filter_.port = server.sockets[0].getsockname()[1]
    values = {"smtpd_proxy_filter": f"127.0.0.1:{filter_.port}", "smtpd_proxy_timeout": "60s", **settings}
    try:
        async with stage(**values) as scene:
            yield scene, filter_
    finally:
        server.close()


async def envelope(peer: Peer) -> str:
    return await peer.say(*OPEN)


async def message(peer: Peer, content: bytes = MESSAGE) -> str:
    """A whole transaction; the reply to the message, or the first refusal."""
    for command in (*OPEN[1:], "DATA"):
        reply = await peer.say(command)
        if reply[0] not in "23":
            await peer.say("RSET")
            return reply
    return await peer.say(content)


class TestUsual:
    def test_envelope_and_content_go_through_and_the_answer_comes_back(self) -> None:
        async def scenario() -> None:
            async with filtered() as (scene, filter_):
                peer = await scene.connect()
                assert (await peer.say(OPEN[0])).startswith("250")
                await peer.say("MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=e1")
                await peer.say("RCPT TO:<user@here.example> NOTIFY=FAILURE ORCPT=rfc822;u@x.example")
                assert (await peer.say("RCPT TO:<other@here.example>")) == "250 2.1.5 Ok"
                await peer.say("DATA")
                reply = await peer.say(b"Subject: x\r\n\r\n..dot\r\n.\r\n")
                assert reply == "250 2.0.0 Ok: queued as INNER"
                assert filter_.commands == [
                    "EHLO mx.example",
                    filter_.commands[1],
                    "XFORWARD PROTO=ESMTP HELO=client.example SOURCE=REMOTE",
                    "MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=e1",
                    "RCPT TO:<user@here.example> NOTIFY=FAILURE ORCPT=rfc822;u@x.example",
                    "RCPT TO:<other@here.example>",
                    "DATA",
                ]
                assert filter_.commands[1].startswith("XFORWARD NAME=localhost ADDR=127.0.0.1 PORT=")
                head, _, body = filter_.contents[0].partition(b"\r\n\r\n")
                assert head.startswith(b"Received: from client.example (localhost [127.0.0.1])\r\n\tby mx.example")
                assert head.endswith(b"Subject: x") and body == b"..dot\r\n.\r\n"
                assert scene.cleanup.messages == [], "nothing of it goes to cleanup from here"
                assert scene.logged("NOQUEUE: client=localhost[127.0.0.1]")
                assert scene.logged(
                    "NOQUEUE: proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as INNER; from=<a@b.example> "
                    "to=<user@here.example> proto=ESMTP helo=<client.example>"
                )

        run(scenario)

    def test_one_connection_for_a_session_that_ends_politely(self) -> None:
        async def scenario() -> None:
            async with filtered() as (scene, filter_):
                peer = await scene.connect()
                await peer.say(OPEN[0])
                for _ in range(3):
                    assert (await message(peer)).startswith("250 2.0.0")
                await peer.say(*OPEN[1:], "RSET", *OPEN[1:], "EHLO again.example")
                assert (await message(peer)).startswith("250 2.0.0")
                assert filter_.connections == 1
                assert filter_.commands.count("RSET") == 2, "what was not sent is forgotten"
                await peer.say("QUIT")
                await scene.ended()
                async with asyncio.timeout(10):
                    while filter_.open:
                        await asyncio.sleep(0.005)
                assert filter_.commands[-1] == "QUIT"

        run(scenario)

    def test_content_in_chunks(self) -> None:
        async def scenario() -> None:
            async with filtered() as (scene, filter_):
                peer = await scene.connect()
                assert "BINARYMIME" not in await peer.say(OPEN[0])
                await peer.say(*OPEN[1:])
                await peer.say(b"BDAT 14\r\nSubject: x\r\n\r\n")
                assert (await peer.say(b"BDAT 3 LAST\r\n.\r\n")).startswith("250 2.0.0 Ok: queued as INNER")
                assert filter_.contents[0].endswith(b"\r\n\r\n..\r\n.\r\n")

        run(scenario)

    def test_a_large_message_in_a_stream_to_a_slow_filter(self) -> None:
        async def scenario() -> None:
            async with filtered(message_size_limit="0") as (scene, filter_):
                filter_.read_slowly = True
                peer = await scene.connect()
                await peer.say(*OPEN, "DATA")
                line = b"x" * 98 + b"\r\n"
                for _ in range(50):
                    peer.writer.write(line * 1000)
                    await peer.writer.drain()
                assert (await peer.say(b".\r\n")).startswith("250 2.0.0")
                assert filter_.contents[0].count(line) == 50_000

        run(scenario)

    @pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\n\r.\r\n"])
    def test_nothing_can_be_smuggled_through(self, end: bytes) -> None:
        async def scenario() -> None:
            async with filtered() as (scene, filter_):
                peer = await scene.connect()
                await peer.say(*OPEN, "DATA")
                evil = b"Subject: x\r\n\r\nhello" + end + b"MAIL FROM:<evil@x.example>\r\nDATA\r\n"
                assert (await peer.say(evil + b".\r\n")).startswith("250")
                (content,) = filter_.contents
                body = content.partition(b"\r\n\r\n")[2]
                assert body.count(b"\r") == body.count(b"\n") == body.count(b"\r\n"), "no lone CR or LF goes on"
                assert b"\r\n.\r\n" not in body[:-3] and b"MAIL FROM:<evil" in body

        run(scenario)

    def test_8_bit_names_need_a_filter_that_knows_them(self) -> None:
        async def scenario() -> None:
            async with filtered({"EHLO": b"250 filter\r\n"}) as (scene, _):
                peer = await scene.connect()
                await peer.say(OPEN[0], "MAIL FROM:<ü@b.example> SMTPUTF8")
                assert await peer.say(OPEN[2]) == UNAVAILABLE
                assert scene.logged("it does not offer SMTPUTF8")

        run(scenario)

    def test_a_filter_with_nothing_but_helo(self) -> None:
        async def scenario() -> None:
            answers: dict[str, Answer] = {"EHLO": b"502 no\r\n", "HELO": b"250 filter\r\n"}
            async with filtered(answers) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(OPEN[0])
                assert (await message(peer)).startswith("250 2.0.0")
                assert filter_.commands[2] == "MAIL FROM:<a@b.example>"

        run(scenario)

    def test_discard_is_not_for_the_filter(self) -> None:
        async def scenario() -> None:
            async with filtered() as (scene, filter_):
                peer = await scene.connect()
                await peer.say(*OPEN)
                (session,) = scene.server.sessions
                assert session.transaction is not None
                session.transaction.discard = True
                await peer.say("DATA")
                assert (await peer.say(MESSAGE)) == "250 2.0.0 Ok: queued as NOQUEUE"
                assert filter_.contents == []
                assert (await message(peer)).endswith("INNER")

        run(scenario)

    @pytest.mark.parametrize("adjust", ["", "speed_adjust"])
    def test_what_is_discarded_at_its_end_is_not_for_the_filter(self, adjust: str) -> None:
        async def scenario() -> None:
            settings = {
                "smtpd_end_of_data_restrictions": "check_sender_access inline:{{ a@b.example = DISCARD unwanted }}",
                "smtpd_proxy_options": adjust,
            }
            async with filtered(**settings) as (scene, filter_):
                scene.lookup.tables = {
                    "inline:{{ a@b.example = DISCARD unwanted }}": {"a@b.example": "DISCARD unwanted"}
                }
                peer = await scene.connect()
                await peer.say(OPEN[0])
                assert await message(peer) == "250 2.0.0 Ok: queued as NOQUEUE"
                assert filter_.contents == []
                scene.lookup.tables = {}
                assert (await message(peer)).endswith("INNER")

        run(scenario)

    def test_over_a_unix_socket(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            path = tmp_path / "filter"
            path.unlink(missing_ok=True)
            filter_ = Filter()
            server = await asyncio.start_unix_server(filter_.serve, str(path))
            async with stage(smtpd_proxy_filter=f"unix:{path}") as scene:
                peer = await scene.connect()
                await peer.say(OPEN[0])
                assert (await message(peer)).startswith("250 2.0.0")
            server.close()

        run(scenario)


class TestRefusals:
    def test_a_recipient(self) -> None:
        async def scenario() -> None:
            async with filtered({"RCPT": b"550-5.1.1 no\r\n550 5.1.1 such user\r\n"}) as (scene, filter_):
                peer = await scene.connect()
                assert await envelope(peer) == "550-5.1.1 no 550 5.1.1 such user".replace("550-", "550-")
                assert scene.logged("reject: RCPT from localhost[127.0.0.1]: 550 5.1.1 no 5.1.1 such user; from=<a@b.")
                filter_.answers = {}
                assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"
                await peer.say("DATA")
                assert (await peer.say(MESSAGE)).startswith("250 2.0.0")

        run(scenario)

    @pytest.mark.parametrize("reply", ["450 4.2.0 later", "550 5.7.1 spam", "554 no status"])
    def test_the_message(self, reply: str) -> None:
        async def scenario() -> None:
            async with filtered({"END": f"{reply}\r\n".encode()}) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(OPEN[0])
                assert await message(peer) == reply
                assert scene.logged(f"NOQUEUE: proxy-reject: END-OF-MESSAGE: {reply}; from=<a@b.example>")
                filter_.answers = {}
                assert (await message(peer)).startswith("250 2.0.0")
                assert filter_.connections == 1

        run(scenario)

    @pytest.mark.parametrize("verb", ["MAIL", "DATA"])
    def test_the_sender_or_the_content(self, verb: str) -> None:
        async def scenario() -> None:
            async with filtered({verb: b"452 4.3.1 full\r\n"}) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(OPEN[0])
                assert await message(peer) == "452 4.3.1 full"
                filter_.answers = {}
                assert (await message(peer)).startswith("250 2.0.0")
                assert filter_.connections == 1 and len(filter_.contents) == 1

        run(scenario)

    def test_data_again_after_its_refusal(self) -> None:
        async def scenario() -> None:
            async with filtered({"DATA": b"451 4.3.0 later\r\n"}) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(*OPEN)
                assert await peer.say("DATA") == "451 4.3.0 later"
                filter_.answers = {}
                assert await peer.say("DATA") == UNAVAILABLE
                await peer.say("RSET")
                assert (await message(peer)).startswith("250 2.0.0")

        run(scenario)


Phase = tuple[str, Answer]
FAILURES: list[Phase] = [
    *((verb, answer) for verb in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END") for answer in (CLOSE, HANG)),
    *((verb, b"421 4.3.2 going\r\n") for verb in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END")),
    *((verb, b"nonsense\r\n") for verb in ("GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END")),
    ("GREETING", b"554 5.3.2 no\r\n"),
    ("RCPT", b"354 what?\r\n"),
    ("END", b"354 what?\r\n"),
    ("EARLY", b"552 5.3.4 too much\r\n"),
    ("EARLY", CLOSE),
    ("EARLY", b"421 4.3.2 going\r\n"),
    ("XFORWARD", CLOSE),
]


class TestFailures:
    @pytest.mark.parametrize(("verb", "answer"), FAILURES)
    def test_in_each_phase(self, verb: str, answer: Answer) -> None:
        """451, the log says why, and the next message goes through by a new connection."""

        async def scenario() -> None:
            async with filtered({verb: answer}, smtpd_proxy_timeout="0.5s" if answer is HANG else "60s") as (
                scene,
                filter_,
            ):
                peer = await scene.connect()
                await peer.say(OPEN[0])
                big = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 4000 + b".\r\n"
                reply = await message(peer, big if verb == "EARLY" else MESSAGE)
                if (verb, reply) != ("EARLY", "552 5.3.4 too much"):  # all was sent before its early word was read
                    assert reply == UNAVAILABLE
                    assert scene.logged(f"warning: proxy inet:127.0.0.1:{filter_.port}: ")
                filter_.answers = {}
                assert scene.server.proxy_filter is not None
                scene.server.proxy_filter.timeout = 60.0
                assert (await message(peer)).startswith("250 2.0.0")
                assert len(filter_.contents) == (2 if verb == "END" else 1)
                assert filter_.connections == 2

        run(scenario)

    def test_nobody_listens(self) -> None:
        async def scenario() -> None:
            async with filtered() as (_, filter_):
                port = filter_.port
            async with stage(smtpd_proxy_filter=f"127.0.0.1:{port}") as scene:
                peer = await scene.connect()
                await peer.say(OPEN[0])
                for _ in range(2):
                    assert await message(peer) == UNAVAILABLE
                assert scene.logged(f"warning: proxy inet:127.0.0.1:{port}: connect: ")

        run(scenario)

    def test_it_closes_between_two_messages(self) -> None:
        async def scenario() -> None:
            async with filtered({"END": b"250 2.0.0 Ok\r\n421 4.4.2 idle\r\n"}) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(OPEN[0])
                assert await message(peer) == "250 2.0.0 Ok", "the message is taken, whatever follows"
                assert await message(peer) == "250 2.0.0 Ok"
                assert filter_.connections == 2

        run(scenario)

    @pytest.mark.parametrize("answer", [CLOSE, b"421 4.3.2 going down\r\n", b"nonsense\r\n"])
    def test_no_recipient_is_lost_when_it_fails_between_two(self, answer: Answer) -> None:
        async def scenario() -> None:
            async with filtered() as (scene, filter_):
                peer = await scene.connect()
                await peer.say(*OPEN)
                filter_.answers = {"RCPT": answer}
                assert await peer.say("RCPT TO:<second@here.example>") == UNAVAILABLE
                filter_.answers = {}
                # The filter that is there now has never heard of the first one.
                assert await peer.say("RCPT TO:<third@here.example>") == UNAVAILABLE
                assert await peer.say("DATA") == UNAVAILABLE
                assert filter_.contents == []
                await peer.say("RSET")
                assert (await message(peer)).startswith("250 2.0.0")

        run(scenario)

    @pytest.mark.parametrize("how", ["close", "overflow", "newline"])
    def test_a_client_that_breaks_off_does_not_end_the_message(self, how: str) -> None:
        async def scenario() -> None:
            settings = {"message_size_limit": "10000", "smtpd_forbid_bare_newline": "reject"}
            async with filtered(**settings) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(*OPEN, "DATA")
                peer.writer.write(b"Subject: x\r\n\r\n" + b"y" * 5000 + b"\r\n")
                await peer.writer.drain()
                if how == "close":
                    peer.close()
                    await scene.ended()
                elif how == "overflow":
                    assert (await peer.say(b"z" * 6000 + b"\r\n.\r\n")).startswith("552 5.3.4")
                else:
                    assert (await peer.say(b"one\ntwo\r\n.\r\n")).startswith("550 5.5.2")
                async with asyncio.timeout(10):
                    while not filter_.broken_off:
                        await asyncio.sleep(0.005)
                assert filter_.contents == []
                if how != "close":
                    assert (await message(peer)).startswith("250 2.0.0")

        run(scenario)


class TestSpeedAdjust:
    SETTINGS: ClassVar[dict[str, str]] = {"smtpd_proxy_options": "speed_adjust"}

    def test_the_filter_hears_of_a_message_when_it_is_complete(self) -> None:
        async def scenario() -> None:
            async with filtered(**self.SETTINGS) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(*OPEN, "RCPT TO:<other@here.example>", "DATA")
                peer.writer.write(b"Subject: x\r\n\r\n" + (b".y" * 40 + b"\r\n") * 5000)
                await peer.writer.drain()
                assert filter_.connections == 0
                assert await peer.say(b".\r\n") == "250 2.0.0 Ok: queued as INNER"
                assert [command.partition(" ")[0] for command in filter_.commands] == [
                    *("EHLO", "XFORWARD", "XFORWARD", "MAIL", "RCPT", "RCPT", "DATA")
                ]
                assert filter_.contents[0].count(b"\r\n..y") == 0 and filter_.contents[0].count(b"\r\ny.y") == 5000
                assert (await message(peer)).startswith("250 2.0.0")
                assert filter_.connections == 1

        run(scenario)

    @pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "END"])
    def test_its_first_refusal_is_the_answer_to_the_message(self, verb: str) -> None:
        async def scenario() -> None:
            async with filtered({verb: b"550 5.7.1 no\r\n"}, **self.SETTINGS) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(*OPEN, "DATA")
                assert await peer.say(MESSAGE) == "550 5.7.1 no"
                filter_.answers = {}
                assert (await message(peer)).startswith("250 2.0.0")

        run(scenario)

    @pytest.mark.parametrize(("verb", "answer"), [item for item in FAILURES if item[1] is not HANG])
    def test_failures(self, verb: str, answer: Answer) -> None:
        async def scenario() -> None:
            async with filtered({verb: answer}, **self.SETTINGS) as (scene, filter_):
                peer = await scene.connect()
                await peer.say(OPEN[0])
                big = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 10000 + b".\r\n"
                reply = await message(peer, big if verb == "EARLY" else MESSAGE)
                # All may have been sent before its early word is read: then it counts.
                assert reply == UNAVAILABLE or (verb, reply) == ("EARLY", "552 5.3.4 too much")
                filter_.answers = {}
                assert (await message(peer)).startswith("250 2.0.0")

        run(scenario)

    @pytest.mark.parametrize("end", ["RSET", "close", "overflow"])
    def test_nothing_stays_behind(self, end: str) -> None:
        import os

        async def scenario() -> None:
            async with filtered(message_size_limit="10000", **self.SETTINGS) as (scene, filter_):
                before = len(os.listdir("/proc/self/fd"))
                peer = await scene.connect()
                await peer.say(*OPEN)
                if end == "RSET":
                    await peer.say("RSET")
                else:
                    await peer.say("DATA")
                    if end == "overflow":
                        assert (await peer.say(b"z" * 60000 + b"\r\n.\r\n")).startswith("552")
                peer.close()
                await scene.ended()
                async with asyncio.timeout(10):
                    while len(os.listdir("/proc/self/fd")) > before:
                        await asyncio.sleep(0.005)
                assert filter_.connections == 0

        run(scenario)

    @pytest.mark.parametrize("content", [MESSAGE, b"Subject: x\r\n\r\n" + b"y\r\n" * 50_000 + b".\r\n"])
    def test_no_memory_for_a_message(self, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(descriptor: int, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        async def scenario() -> None:
            async with filtered(smtpd_proxy_options="speed_adjust") as (scene, filter_):
                peer = await scene.connect()
                await peer.say(OPEN[0])
                with monkeypatch.context() as patched:
                    patched.setattr(filtered_message.os, "write", full)
                    assert await message(peer, content) == UNAVAILABLE
                assert scene.logged("proxy: no memory for the message: No space left on device")
                assert filter_.contents == []
                assert (await message(peer)).startswith("250 2.0.0")

        run(scenario)


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("127.0.0.1:10025", "inet:127.0.0.1:10025"),
            ("localhost:10025", "inet:127.0.0.1:10025"),
            ("10025", "inet:127.0.0.1:10025"),
            ("inet:10025", "inet:127.0.0.1:10025"),
            ("inet:[::1]:10025", "inet:::1:10025"),
            ("unix:/run/filter", "unix:/run/filter"),
        ],
    )
    def test_addresses(self, text: str, expected: str) -> None:
        assert str(Endpoint.parse(text)) == expected

    @pytest.mark.parametrize("text", ["filter.example:25", "127.0.0.1", "127.0.0.1:0", "unix:relative", "inet:x:y"])
    def test_what_is_no_address(self, text: str) -> None:
        with pytest.raises(ValueError, match="was expected"):
            Endpoint.parse(text)

    def test_confinement_allows_its_port_and_no_other(self) -> None:
        without = confinement(Config.for_tests(dns_resolver="127.0.0.1:53"))
        with_filter = confinement(Config.for_tests(dns_resolver="127.0.0.1:53", smtpd_proxy_filter="127.0.0.1:10025"))
        assert without.connect_tcp is not None and with_filter.connect_tcp is not None
        assert set(with_filter.connect_tcp) - set(without.connect_tcp) == {10025}


def test_what_only_cleanup_could_do_is_reported() -> None:
    async def scenario() -> None:
        async with filtered(content_filter="scan:there") as (scene, _):
            peer = await scene.connect()
            await peer.say(OPEN[0])
            await message(peer)
            assert scene.logged("with smtpd_proxy_filter a message cannot have: filter")

    run(scenario)
