"""Access policy in a session: what reaches the envelope, the log and the client, and what is forgotten when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.events import Hello
from pillarbox.lib.smtp.reply import Reply
from pillarbox.smtpd.session import Session
from tests.smtpd.stage import HOST, OPEN, Stage, run, stage

TABLES = {
    "hash:rcpt": {
        "hold@here.example": "HOLD for a look",
        "filter@here.example": "FILTER scan:[127.0.0.1]:10025",
        "redirect@here.example": "REDIRECT boss@here.example",
        "bcc@here.example": "BCC copy@here.example",
        "prepend@here.example": "PREPEND X-Seen: yes",
        "discard@here.example": "DISCARD",
        "bye@here.example": "421 4.7.0 come back later",
        "gone@here.example": "521 5.7.0 never come back",
        "warn@here.example": "WARN look at this",
        "refused@here.example": "hold_then_refuse",
        "nobody@here.example": "HOLD",
    }
}
SETTINGS = {
    "smtpd_recipient_restrictions": "check_recipient_access hash:rcpt",
    "smtpd_restriction_classes": "hold_then_refuse",
    "hold_then_refuse": "check_sender_access hash:hold, reject",
}
RECEIVED = "Ok: queued as"


@contextlib.asynccontextmanager
async def scene_with(**settings: str) -> AsyncIterator[Stage]:
    async with stage(**{**SETTINGS, **settings}) as scene:
        scene.lookup.tables = {**TABLES, "hash:hold": {"b.example": "HOLD"}}
        yield scene


def rcpt(name: str) -> str:
    return f"RCPT TO:<{name}@here.example>"


async def deliver(scene: Stage, *names: str) -> str:
    peer = await scene.connect()
    await peer.say(*OPEN[:2], *map(rcpt, names))
    return await peer.say("DATA", b"Subject: x\r\n\r\nbody\r\n.\r\n")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("hold", "hold", "for a look"),
        ("filter", "filter", "scan:[127.0.0.1]:10025"),
        ("redirect", "redirect", "boss@here.example"),
        ("discard", "discard", True),
    ],
)
def test_actions_reach_the_envelope_and_the_log(name: str, field: str, value: object) -> None:
    async def scenario() -> None:
        async with scene_with() as scene:
            assert RECEIVED in await deliver(scene, name)
            (message,) = scene.cleanup.messages
            assert message.envelope is not None
            assert getattr(message.envelope, field) == value
            assert scene.logged(f": {field}: RCPT from localhost[127.0.0.1]: <{name}@here.example>: Recipient address ")
            assert scene.logged(f"; from=<a@b.example> to=<{name}@here.example> proto=ESMTP helo=<client.example>")

    run(scenario)


def test_a_copy_and_a_header_field() -> None:
    async def scenario() -> None:
        async with scene_with() as scene:
            assert RECEIVED in await deliver(scene, "bcc", "prepend", "prepend", "bcc")
            (message,) = scene.cleanup.messages
            assert message.envelope is not None
            copies = [each for each in message.envelope.recipients if each.address == "copy@here.example"]
            assert [each.notify for each in copies] == [("never",)]
            assert message.content.count(b"X-Seen: yes\n") == 1

    run(scenario)


def test_a_refused_recipient_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with scene_with() as scene:
            assert RECEIVED in await deliver(scene, "refused", "nobody", "user")
            (message,) = scene.cleanup.messages
            assert message.envelope is not None
            assert message.envelope.hold == ""
            assert [each.address for each in message.envelope.recipients] == ["user@here.example"]

    run(scenario)


@pytest.mark.parametrize("name", ["hold", "filter", "redirect", "discard", "bcc", "prepend"])
@pytest.mark.parametrize("how", ["no queue file", "greylisted"])
def test_a_recipient_that_something_else_refuses_leaves_nothing_behind(name: str, how: str) -> None:
    async def scenario() -> None:
        async with scene_with(smtpd_greylisting="yes" if how == "greylisted" else "no") as scene:
            peer = await scene.connect()
            await peer.say(*OPEN[:2])
            if how == "no queue file":
                scene.cleanup.closed = True
                assert (await peer.say(rcpt(name))).startswith("451 4.3.0 ")
                scene.cleanup.closed = False
                assert await peer.say(rcpt("user")) == "250 2.1.5 Ok"
            else:
                scene.server.greylist = _greylist_only(f"{name}@here.example")  # type: ignore[assignment]
                assert await peer.say(rcpt("user")) == "250 2.1.5 Ok"
                assert (await peer.say(rcpt(name))).startswith("450 ")
            assert RECEIVED in await peer.say("DATA", b"Subject: x\r\n\r\nbody\r\n.\r\n")
            envelope = scene.cleanup.messages[-1].envelope
            assert envelope is not None
            assert (envelope.hold, envelope.filter, envelope.redirect, envelope.discard) == ("", "", "", False)
            assert [each.address for each in envelope.recipients] == ["user@here.example"]
            assert b"X-Seen" not in scene.cleanup.messages[-1].content

    run(scenario)


def _greylist_only(address: str) -> Callable[[Session, str], Reply | None]:
    return lambda session, recipient: replies.greylisted(recipient, 60) if recipient == address else None


def test_a_reset_transaction_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with scene_with() as scene:
            peer = await scene.connect()
            await peer.say(*OPEN[:2], rcpt("hold"), rcpt("discard"), "RSET", OPEN[1], rcpt("user"))
            assert RECEIVED in await peer.say("DATA", b"Subject: x\r\n\r\nbody\r\n.\r\n")
            envelope = scene.cleanup.messages[-1].envelope
            assert envelope is not None
            assert (envelope.hold, envelope.discard) == ("", False)

    run(scenario)


def test_a_closing_reply_closes() -> None:
    async def scenario() -> None:
        async with scene_with() as scene:
            for name, code in (("bye", "421 4.7.0"), ("gone", "521 5.7.0")):
                peer = await scene.connect()
                reply = await peer.say(*OPEN[:2], rcpt(name))
                assert reply.startswith(f"{code} <{name}@here.example>: Recipient address rejected: ")
                assert await peer.reply() == ""

    run(scenario)


def test_a_warning_is_logged_and_nothing_else() -> None:
    async def scenario() -> None:
        async with scene_with(smtpd_client_restrictions="warn_if_reject reject") as scene:
            assert RECEIVED in await deliver(scene, "warn")
            assert scene.logged(
                ": warn: RCPT from localhost[127.0.0.1]: <warn@here.example>: Recipient address look at this"
            )
            assert scene.logged(
                "NOQUEUE: reject_warning: RCPT from localhost[127.0.0.1]: 554 5.7.1 <localhost[127.0.0.1]>: C"
            )

    run(scenario)


class TestWithoutDelay:
    def test_a_client_is_refused_at_once(self) -> None:
        async def scenario() -> None:
            async with stage(smtpd_client_restrictions="reject", smtpd_delay_reject="no") as scene:
                peer = await scene.connect()
                assert peer.greeting == "554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied"
                assert scene.logged("NOQUEUE: reject: CONNECT from localhost[127.0.0.1]: 554 5.7.1 <localhost")

        run(scenario)

    def test_helo_and_sender_are_refused_where_they_stand(self) -> None:
        async def scenario() -> None:
            settings = {
                "smtpd_helo_restrictions": "reject_non_fqdn_helo_hostname",
                "smtpd_sender_restrictions": "reject_non_fqdn_sender",
                "smtpd_delay_reject": "no",
            }
            async with stage(**settings) as scene:
                peer = await scene.connect()
                assert (await peer.say("EHLO short")).startswith("504 5.5.2 <short>: Helo command rejected: need")
                assert (await peer.say("EHLO client.example")).startswith("250")
                assert (await peer.say("MAIL FROM:<x>")).startswith("504 5.5.2 <x>: Sender address rejected: need")
                assert await peer.say(OPEN[1], OPEN[2]) == "250 2.1.5 Ok"

        run(scenario)

    def test_a_name_that_something_else_refuses_is_not_the_clients_name(self) -> None:
        async def scenario() -> None:
            settings = {"smtpd_helo_restrictions": "check_helo_access hash:h", "smtpd_delay_reject": "no"}
            async with stage(**settings) as scene:
                scene.lookup.tables = {"hash:h": {"held.example": "HOLD", "later.example": "DEFER_IF_PERMIT"}}

                def no(session: Session, event: Hello) -> Reply | None:
                    return Reply(550, "5.7.1", ("no",)) if event.name == "no.example" else None

                checks = {**scene.server.checks}
                checks["HELO"] = (*checks["HELO"], no)
                scene.server.checks = checks
                peer = await scene.connect()
                await peer.say("EHLO held.example")
                assert await peer.say("EHLO no.example") == "550 5.7.1 no"
                assert RECEIVED in await peer.say(*OPEN[1:], "DATA", b"\r\n.\r\n")
                assert scene.cleanup.messages[-1].envelope is not None
                assert scene.cleanup.messages[-1].envelope.hold
                await peer.say("EHLO later.example")
                assert await peer.say("EHLO no.example") == "550 5.7.1 no"
                assert (await peer.say(*OPEN[1:])).startswith("450 4.7.1 <later.example>: Helo command rejected")
                # What was wanted of a name goes with it.
                await peer.say("EHLO client.example")
                assert RECEIVED in await peer.say(*OPEN[1:], "DATA", b"\r\n.\r\n")
                assert not scene.cleanup.messages[-1].envelope.hold

        run(scenario)

    def test_effects_of_early_stages_reach_every_message(self) -> None:
        async def scenario() -> None:
            settings = {"smtpd_client_restrictions": "hash:c", "smtpd_delay_reject": "no"}
            async with stage(**settings) as scene:
                scene.lookup.tables = {"hash:c": {"127.0.0.1": "HOLD", "localhost": "HOLD"}}
                peer = await scene.connect()
                for _ in range(2):
                    await peer.say(*OPEN)
                    assert RECEIVED in await peer.say("DATA", b"Subject: x\r\n\r\nbody\r\n.\r\n")
                assert all(each.envelope is not None and each.envelope.hold for each in scene.cleanup.messages)

        run(scenario)

    def test_a_deferral_of_helo_ends_with_another_helo(self) -> None:
        async def scenario() -> None:
            settings = {"smtpd_helo_restrictions": "hash:h", "smtpd_delay_reject": "no"}
            async with stage(**settings) as scene:
                scene.lookup.tables = {
                    "hash:h": {"first.example": "DEFER_IF_PERMIT not yet", "third.example": "REJECT"}
                }
                peer = await scene.connect()
                refused = "450 4.7.1 <first.example>: Helo command rejected: not yet"
                assert await peer.say("EHLO first.example", *OPEN[1:]) == refused
                await peer.say("RSET", "EHLO third.example")  # refused: the first still stands
                assert await peer.say(*OPEN[1:]) == refused
                assert await peer.say("RSET", "EHLO second.example", *OPEN[1:]) == "250 2.1.5 Ok"

        run(scenario)

    def test_a_deferral_of_the_sender_ends_with_the_transaction(self) -> None:
        async def scenario() -> None:
            settings = {"smtpd_sender_restrictions": "hash:s", "smtpd_delay_reject": "no"}
            async with stage(**settings) as scene:
                scene.lookup.tables = {"hash:s": {"a@b.example": "DEFER_IF_PERMIT not yet"}}
                peer = await scene.connect()
                assert (await peer.say(*OPEN)).startswith("450 4.7.1 <a@b.example>: Sender address rejected: not yet")
                assert await peer.say("RSET", "MAIL FROM:<c@b.example>", OPEN[2]) == "250 2.1.5 Ok"

        run(scenario)


def test_nothing_is_asked_twice_in_its_life_time() -> None:
    async def scenario() -> None:
        settings = {
            "smtpd_client_restrictions": "hash:client",
            "smtpd_helo_restrictions": "hash:helo",
            "smtpd_sender_restrictions": "hash:sender",
        }
        async with stage(**settings) as scene:
            scene.lookup.tables = {"hash:client": {}, "hash:helo": {}, "hash:sender": {}}
            peer = await scene.connect()
            await peer.say(*OPEN, OPEN[2], "RSET", *OPEN[1:])
            tables = [tables[0] for tables, _ in scene.lookup.looked_up]
            assert sorted(tables) == ["hash:client", "hash:helo", "hash:sender", "hash:sender"]
            await peer.say("RSET", "EHLO other.example", *OPEN[1:])
            tables = [tables[0] for tables, _ in scene.lookup.looked_up]
            assert sorted(tables) == ["hash:client", *["hash:helo"] * 2, *["hash:sender"] * 3]

    run(scenario)


def test_a_failure_is_asked_again() -> None:
    async def scenario() -> None:
        async with stage(smtpd_client_restrictions="hash:client") as scene:
            scene.lookup.tables = {"hash:client": {}}
            scene.lookup.broken = True
            peer = await scene.connect()
            refused = await peer.say(*OPEN)
            assert refused == "451 4.3.0 <localhost[127.0.0.1]>: Temporary lookup failure"
            scene.lookup.broken = False
            assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"

    run(scenario)


def test_the_default_lists_need_no_task() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say(*OPEN)  # lookup is asked
            verdict = await scene.lookup.recipient("user@here.example")
            scene.lookup.known["user@here.example"] = verdict
            (session,) = scene.server.sessions
            later = session.later
            begun: list[str] = []
            session.later = lambda work, **more: (begun.append(work.__qualname__), later(work, **more))  # type: ignore[method-assign,assignment]
            assert await peer.say("RSET", *OPEN[1:], OPEN[2], "DATA") == "354 End data with <CR><LF>.<CR><LF>"
            assert begun == []

    run(scenario)


def test_sleep_delays_the_answer() -> None:
    async def scenario() -> None:
        async with stage(smtpd_client_restrictions="sleep 1") as scene:
            peer = await scene.connect()
            await peer.say(*OPEN[:2])
            peer.send(OPEN[2])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await peer.reader.readline()
            assert await peer.reply() == "250 2.1.5 Ok"

    run(scenario)


def test_data_and_end_of_data_restrictions() -> None:
    async def scenario() -> None:
        async with stage(smtpd_data_restrictions="check_sender_access hash:s") as scene:
            scene.lookup.tables = {"hash:s": {"b.example": "REJECT"}}
            peer = await scene.connect()
            refused = "554 5.7.1 <a@b.example>: Sender address rejected: Access denied"
            assert await peer.say(*OPEN, "DATA") == refused
        async with stage(smtpd_end_of_data_restrictions="check_sender_access hash:s") as scene:
            scene.lookup.tables = {"hash:s": {"b.example": "HOLD"}}
            assert RECEIVED in await deliver(scene, "user")
            (message,) = scene.cleanup.messages
            assert message.edits is not None and message.edits.hold

    run(scenario)


def test_vrfy_says_what_rcpt_would() -> None:
    async def scenario() -> None:
        async with scene_with(smtpd_client_restrictions="reject") as scene:
            peer = await scene.connect()
            expected = "554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied"
            assert await peer.say("EHLO client.example", "VRFY user@here.example") == expected

    run(scenario)


def test_the_footer() -> None:
    async def scenario() -> None:
        footer = r"\c. Call us\nYou are $client_address ($helo_name), we are $server_name, $sender to $recipient_name"
        async with stage(smtpd_reject_footer=footer) as scene:
            peer = await scene.connect()
            reply = await peer.say(*OPEN[:2], "RCPT TO:<x@far.example>")
            first = "554-5.7.1 <x@far.example>: Relay access denied. Call us"
            assert reply == f"{first} 554 5.7.1 You are 127.0.0.1 (client.example), we are {HOST}, a@b.example to x"
            assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"
        async with stage(smtpd_reject_footer="see $nonsense") as scene:
            peer = await scene.connect()
            assert (
                await peer.say(*OPEN[:2], "RCPT TO:<x@far.example>") == "554 5.7.1 <x@far.example>: Relay access denied"
            )
            assert scene.logged("smtpd_reject_footer: ")

    run(scenario)
