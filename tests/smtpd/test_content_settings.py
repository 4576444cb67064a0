"""What the server says about content before it is there: line ends, room, filters, and what cleanup shall not do."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests.smtpd.stage import HOST, OPEN, run, stage

SMUGGLED = b"Subject: one\r\n\r\nfirst\r\n%sMAIL FROM:<evil@x.example>\r\n"
ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\n\r.\r\n",
    b"\r.\r\n",
    b"\r\n.\r\r\n",
]
"""What one server or the other has taken for the end of a message."""


class TestLineEnds:
    @pytest.mark.parametrize("end", ENDS)
    @pytest.mark.parametrize("setting", ["normalize", "yes", "note"])
    def test_nothing_but_the_standard_end_ends_a_message(self, end: bytes, setting: str) -> None:
        async def scenario() -> None:
            async with stage(smtpd_forbid_bare_newline=setting) as scene:
                peer = await scene.connect()
                for command in (*OPEN, "DATA"):
                    await peer.say(command)
                peer.writer.write(SMUGGLED % end + b"\r\n.\r\n")
                assert (await peer.reply()).startswith("250 2.0.0 Ok: queued")
                assert b"MAIL FROM:<evil@x.example>" in scene.cleanup.messages[0].content
                assert len(scene.cleanup.messages) == 1
                noted = scene.logged("bare <LF> received in a message from localhost[127.0.0.1]")
                bare = b"\n" in end.replace(b"\r\n", b"")
                assert noted == (setting == "note" and bare)

        run(scenario)

    @pytest.mark.parametrize(("code", "goes_on"), [("550", True), ("521", False), ("450", True)])
    def test_a_message_is_refused(self, code: str, goes_on: bool) -> None:
        async def scenario() -> None:
            settings = {"smtpd_forbid_bare_newline": "reject", "smtpd_forbid_bare_newline_reject_code": code}
            async with stage(**settings) as scene:
                peer = await scene.connect()
                for command in (*OPEN, "DATA"):
                    await peer.say(command)
                peer.writer.write(b"Subject: x\r\n\r\none\ntwo\r\n.\r\n")
                assert await peer.reply() == f"{code} {code[0]}.5.2 {HOST} Error: bare <LF> received"
                assert scene.cleanup.messages[0].state == "aborted"
                if goes_on:
                    assert (await peer.say(OPEN[1])).startswith("250"), "the transaction is over"
                else:
                    assert await peer.reply() == ""

        run(scenario)

    def test_excluded_clients_may_end_a_message_as_they_like(self) -> None:
        async def scenario() -> None:
            settings = {"smtpd_forbid_bare_newline_exclusions": "127.0.0.0/8", "smtpd_forbid_bare_newline": "reject"}
            async with stage(**settings) as scene:
                peer = await scene.connect()
                for command in (*OPEN, "DATA"):
                    await peer.say(command)
                peer.writer.write(b"Subject: x\n\none\n.\n")
                assert (await peer.reply()).startswith("250 2.0.0 Ok: queued")

        run(scenario)

    def test_a_line_feed_in_a_command_is_noted(self) -> None:
        async def scenario() -> None:
            async with stage(smtpd_forbid_bare_newline="note") as scene:
                peer = await scene.connect()
                peer.writer.write(b"NOOP\n")
                assert (await peer.reply()).startswith("250")
                assert scene.logged("bare <LF> received in a command from localhost[127.0.0.1]: NOOP")

        run(scenario)


class TestRoom:
    @pytest.mark.parametrize(
        ("free", "settings", "taken"),
        [
            (20_000_000, {}, True),
            (14_999_999, {}, False),
            (15_000_000, {}, True),
            (20_000_000, {"queue_minfree": "30000000"}, False),
            (1, {"message_size_limit": "0"}, True),
            (1, {"message_size_limit": "0", "queue_minfree": "2"}, False),
        ],
    )
    def test_mail_is_taken_while_there_is_room(
        self, monkeypatch: pytest.MonkeyPatch, free: int, settings: dict[str, str], taken: bool
    ) -> None:
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free, f_frsize=1))

        async def scenario() -> None:
            async with stage(**{"message_size_limit": "10000000", **settings}) as scene:
                peer = await scene.connect()
                await peer.say(OPEN[0])
                answer = await peer.say(OPEN[1])
                assert answer == ("250 2.1.0 Ok" if taken else "452 4.3.1 Insufficient system storage")
                assert scene.logged("not enough free space in mail queue: ") == (not taken)

        run(scenario)

    def test_it_is_asked_again_when_there_may_be_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        free = [0]
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free[0], f_frsize=1))
        monkeypatch.setattr("pillarbox.smtpd.storage.LIFETIME", 0.0)

        async def scenario() -> None:
            free[0] = 0
            async with stage() as scene:
                peer = await scene.connect()
                await peer.say(OPEN[0])
                assert (await peer.say(OPEN[1])).startswith("452 4.3.1")
                free[0] = 1 << 40
                assert (await peer.say(OPEN[1])).startswith("250")

        run(scenario)


class TestEnvelope:
    def envelope(self, **settings: str) -> Any:
        found: list[Any] = []

        async def scenario() -> None:
            async with stage(**settings) as scene:
                peer = await scene.connect()
                for command in (*OPEN, "DATA"):
                    await peer.say(command)
                await peer.say("Subject: x\r\n\r\nx\r\n.")
                found.append(scene.cleanup.messages[0].envelope)

        run(scenario)
        return found[0]

    def test_the_content_filter_of_the_service(self) -> None:
        assert self.envelope(content_filter="scan:[127.0.0.1]:10025").filter == "scan:[127.0.0.1]:10025"
        assert self.envelope().filter == ""

    def test_what_cleanup_shall_not_do(self) -> None:
        overrides = self.envelope(receive_override_options="no_address_mappings, no_header_body_checks").overrides
        assert overrides == "no_address_mappings no_header_body_checks"
        assert self.envelope().overrides == ""

    def test_unknown_recipients_may_pass(self) -> None:
        async def scenario() -> None:
            async with stage(receive_override_options="no_unknown_recipient_checks") as scene:
                peer = await scene.connect()
                await peer.say(OPEN[0])
                await peer.say(OPEN[1])
                assert (await peer.say("RCPT TO:<nobody@here.example>")).startswith("250")

        run(scenario)
