"""Whole sessions over a TCP connection with fake services around."""

from __future__ import annotations

import asyncio

from pillarbox.lib.clients.cleanup import Rejected
from tests.smtpd.stage import ARRIVAL, HOST, ID, OPEN, run, stage


def test_a_message_reaches_cleanup() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            assert peer.greeting == f"220 {HOST} ESMTP Pillarbox"
            assert await peer.say(*OPEN) == "250 2.1.5 Ok"
            assert await peer.say("DATA") == "354 End data with <CR><LF>.<CR><LF>"
            assert await peer.say("Subject: x\r\n\r\n..dot\r\n.") == f"250 2.0.0 Ok: queued as {ID}"
            assert await peer.say("QUIT") == "221 2.0.0 Bye"
            assert await peer.reply() == ""
            await scene.ended()
            (message,) = scene.cleanup.messages
            assert message.state == "committed"
            assert message.envelope is not None
            assert message.envelope.sender == "a@b.example"
            assert [recipient.address for recipient in message.envelope.recipients] == ["user@here.example"]
            assert message.envelope.arrival == ARRIVAL
            assert message.envelope.client_name == "localhost"
            assert message.envelope.protocol == "ESMTP"
            trace, _, content = message.content.partition(b"\nSubject")
            assert trace.startswith(b"Received: from client.example (localhost [127.0.0.1])\n")
            assert f"by {HOST} (Pillarbox) with ESMTP id {ID}\n\tfor <user@here.example>; ".encode() in trace
            assert content == b": x\n\n.dot\n"
            assert scene.lines == [
                "connect from localhost[127.0.0.1]",
                f"{ID}: client=localhost[127.0.0.1]",
                "disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
            ]

    run(scenario)


def test_relaying_is_denied_to_strangers_and_logged() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "MAIL FROM:<>")
            assert await peer.say("RCPT TO:<x@o.test>") == "554 5.7.1 <x@o.test>: Relay access denied"
            assert await peer.say("DATA") == "554 5.5.1 Error: no valid recipients"
            assert scene.lines[-1] == (
                "NOQUEUE: reject: RCPT from localhost[127.0.0.1]: 554 5.7.1 <x@o.test>: Relay access denied;"
                " from=<> to=<x@o.test> proto=ESMTP helo=<c.test>"
            )
            assert not scene.cleanup.messages

    run(scenario)


def test_clients_in_mynetworks_may_relay() -> None:
    async def scenario() -> None:
        async with stage(mynetworks="127.0.0.0/8") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "MAIL FROM:<a@b.example>")
            assert await peer.say("RCPT TO:<x@o.test>") == "250 2.1.5 Ok"

    run(scenario)


def test_unknown_users_are_refused_for_everybody() -> None:
    async def scenario() -> None:
        async with stage(mynetworks="127.0.0.0/8") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "MAIL FROM:<a@b.example>")
            assert await peer.say("RCPT TO:<nobody@here.example>") == (
                "550 5.1.1 <nobody@here.example>: Recipient address rejected: User unknown in virtual mailbox table"
            )

    run(scenario)


def test_a_broken_lookup_defers() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            scene.lookup.broken = True
            peer = await scene.connect()
            await peer.say("EHLO c.test", "MAIL FROM:<a@b.example>")
            reply = await peer.say("RCPT TO:<user@here.example>")
            assert reply == "451 4.3.0 <user@here.example>: Temporary lookup failure"

    run(scenario)


def test_no_queue_file_defers() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            scene.cleanup.closed = True
            peer = await scene.connect()
            assert await peer.say(*OPEN) == "451 4.3.0 Error: queue file write error"
            scene.cleanup.closed = False
            assert await peer.say(OPEN[2]) == "250 2.1.5 Ok"

    run(scenario)


def test_a_cold_cleanup_connection_is_waited_for() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            scene.cleanup.warm = False
            peer = await scene.connect()
            assert await peer.say(*OPEN, "DATA", "x\r\n.") == f"250 2.0.0 Ok: queued as {ID}"

    run(scenario)


def test_cleanups_refusal_is_passed_on() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            scene.cleanup.rejection = Rejected(554, "5.4.0", "Error: too many hops")
            peer = await scene.connect()
            assert await peer.say(*OPEN, "DATA", "x\r\n.") == "554 5.4.0 Error: too many hops"
            assert await peer.say("DATA") == "503 5.5.1 Error: need RCPT command"

    run(scenario)


def test_cleanup_gone_at_commit_defers() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            scene.cleanup.broken = True
            peer = await scene.connect()
            assert await peer.say(*OPEN, "DATA", "x\r\n.") == "451 4.3.0 Error: queue file write error"

    run(scenario)


def test_cleanup_gone_in_a_large_message_defers_at_its_end() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            scene.cleanup.broken = True
            peer = await scene.connect()
            await peer.say(*OPEN, "DATA")
            assert await peer.say(b"x" * 300_000 + b"\r\n.\r\n") == "451 4.3.0 Error: queue file write error"
            assert scene.cleanup.messages[0].state == "aborted"

    run(scenario)


def test_a_large_message_is_streamed() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say(*OPEN, "DATA")
            line = b"0123456789abcdef" * 4 + b"\r\n"
            assert (await peer.say(line * 20_000 + b".\r\n")).startswith("250 ")
            (message,) = scene.cleanup.messages
            assert message.content.partition(b"\n0123")[2].count(b"\n") == 20_000
            assert message.flushes > 2

    run(scenario)


def test_a_message_over_the_limit_is_refused_and_withdrawn() -> None:
    async def scenario() -> None:
        async with stage(message_size_limit="5000") as scene:
            peer = await scene.connect()
            assert "SIZE 5000" in await peer.say("EHLO c.test")
            assert await peer.say("MAIL FROM:<a@b.example> SIZE=5001") == "552 5.3.4 Message size exceeds fixed limit"
            await peer.say(*OPEN[1:], "DATA")
            assert await peer.say(b"x" * 6000 + b"\r\n.\r\n") == "552 5.3.4 Error: message file too big"
            assert scene.cleanup.messages[0].state == "aborted"
            assert scene.logged(f"warning: {ID}: queue file size limit exceeded")
            assert scene.logged("reject: MAIL from localhost[127.0.0.1]: 552 5.3.4")
            assert (await peer.say(*OPEN[1:], "DATA", "x\r\n.")).startswith("250 ")

    run(scenario)


def test_replies_of_a_pipelined_batch_come_in_order() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test")
            batch = "MAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@here.example>\r\nRCPT TO:<user@here.example>\r\nDATA"
            peer.send(batch)
            assert [(await peer.reply())[:9] for _ in range(4)] == ["250 2.1.0", "550 5.1.1", "250 2.1.5", "354 End d"]
            assert scene.lookup.asked == ["nobody@here.example", "user@here.example"]
            assert (await peer.say("x\r\n.\r\nQUIT")).startswith("250 ")

    run(scenario)


def test_bdat_is_taken() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say(*OPEN)
            assert await peer.say(b"BDAT 5\r\nab\r\nc") == "250 2.0.0 Ok: 5 bytes"
            assert await peer.say(b"BDAT 3 LAST\r\nd\r\n") == f"250 2.0.0 Ok: 8 bytes queued as {ID}".replace("8", "6")
            assert scene.cleanup.messages[0].content.endswith(b"\nab\ncd\n")

    run(scenario)


def test_rset_withdraws_the_message() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            assert await peer.say(*OPEN, "RSET") == "250 2.0.0 Ok"
            assert scene.cleanup.messages[0].state == "aborted"

    run(scenario)


def test_a_client_that_goes_in_the_middle_leaves_nothing() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say(*OPEN, "DATA")
            peer.send("half a message")
            await asyncio.sleep(0.05)
            peer.close()
            await scene.ended()
            assert scene.cleanup.messages[0].state == "aborted"
            assert scene.logged("lost connection after DATA (")
            assert scene.lines[-1].startswith("disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=0/1")

    run(scenario)


def test_a_client_that_goes_before_the_last_reply_has_sent_its_message() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say(*OPEN, "DATA")
            scene.cleanup.gate.clear()
            peer.send("x\r\n.")
            await asyncio.sleep(0.05)
            peer.writer.transport.abort()
            await asyncio.sleep(0.05)
            assert scene.released == 0
            scene.cleanup.gate.set()
            await scene.ended()
            assert scene.cleanup.messages[0].state == "committed"

    run(scenario)


def test_a_client_that_closes_its_sending_side_still_gets_its_replies() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            await peer.say(*OPEN, "DATA")
            peer.send("x\r\n.")
            peer.writer.write_eof()
            assert (await peer.reply()).startswith("250 ")
            await scene.ended()

    run(scenario)


def test_a_silent_client_is_told_so() -> None:
    async def scenario() -> None:
        async with stage(smtpd_timeout="0.05s") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test")
            assert await peer.reply() == f"421 4.4.2 {HOST} Error: timeout exceeded"
            await scene.ended()
            assert scene.logged("timeout after EHLO from localhost[127.0.0.1]")

    run(scenario)


def test_a_client_that_drips_a_command_is_not_waited_for() -> None:
    async def scenario() -> None:
        async with stage(smtpd_timeout="0.1s") as scene:
            peer = await scene.connect()
            for _ in range(100):
                if peer.reader.at_eof() or scene.released:
                    break
                peer.send(b"x")
                await asyncio.sleep(0.01)
            await scene.ended()
            assert scene.logged("timeout after CONNECT from")

    run(scenario)


def test_errors_are_delayed_and_then_end_the_session() -> None:
    async def scenario() -> None:
        settings = {"smtpd_soft_error_limit": "2", "smtpd_hard_error_limit": "4", "smtpd_error_sleep_time": "0.05s"}
        async with stage(**settings) as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "FOO")
            began = asyncio.get_running_loop().time()
            assert await peer.say("FOO", "FOO") == "500 5.5.2 Error: command not recognized"
            assert asyncio.get_running_loop().time() - began >= 0.09
            peer.send("FOO")
            assert await peer.reply() == "500 5.5.2 Error: command not recognized"
            assert await peer.reply() == f"421 4.7.0 {HOST} Error: too many errors"
            await scene.ended()
            assert scene.logged("too many errors after UNKNOWN from localhost[127.0.0.1]")
            assert scene.lines[-1].endswith("ehlo=1 unknown=0/4 commands=1/5")

    run(scenario)


def test_an_http_client_is_shown_the_door() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            assert await peer.say("GET / HTTP/1.1") == "221 2.7.0 Error: I can break rules, too. Goodbye."
            await scene.ended()
            assert scene.logged("warning: non-SMTP command from localhost[127.0.0.1]: GET / HTTP/1.1")

    run(scenario)


def test_a_stopping_service_says_so_to_idle_clients_and_lets_others_finish() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            idle, busy = await scene.connect(), await scene.connect()
            await busy.say(*OPEN, "DATA")
            scene.server.stop()
            assert await idle.reply() == f"421 4.3.2 {HOST} Service shutting down, try again later"
            assert (await busy.say("x\r\n.")).startswith("250 ")
            assert (await busy.reply()).startswith("421 4.3.2")
            await scene.ended(2)

    run(scenario)


def test_a_fault_of_ours_is_a_421_not_a_traceback() -> None:
    async def scenario() -> None:
        async with stage() as scene:

            async def broken(address: str) -> None:
                raise ZeroDivisionError

            scene.lookup.recipient = broken  # type: ignore[assignment,method-assign]
            peer = await scene.connect()
            assert await peer.say(*OPEN) == f"421 4.3.0 {HOST} Server local error"
            await scene.ended()
            assert scene.logged("panic: session with localhost[127.0.0.1]: ZeroDivisionError")

    run(scenario)


def test_a_local_part_alone_gets_our_origin() -> None:
    async def scenario() -> None:
        async with stage(myorigin="here.example") as scene:
            peer = await scene.connect()
            await peer.say("EHLO c.test", "MAIL FROM:<root>", "RCPT TO:<postmaster>", "DATA", "x\r\n.")
            envelope = scene.cleanup.messages[0].envelope
            assert envelope is not None
            assert envelope.sender == "root@here.example"
            assert envelope.recipients[0].address == "postmaster@here.example"

    run(scenario)


def test_vrfy_says_what_rcpt_would_say() -> None:
    async def scenario() -> None:
        async with stage() as scene:
            peer = await scene.connect()
            assert await peer.say("VRFY user@here.example") == "252 2.0.0 user@here.example"
            assert (await peer.say("VRFY <nobody@here.example>")).startswith("550 5.1.1")
            assert (await peer.say("VRFY x@o.test")).startswith("554 5.7.1")
            assert await peer.say("VRFY <a@b@c>") == "501 5.1.3 Bad recipient address syntax"

    run(scenario)


def test_an_unnamed_client_is_served_while_its_name_is_looked_up() -> None:
    async def scenario() -> None:
        async with stage(hosts="") as scene:
            peer = await scene.connect()
            assert (await peer.say(*OPEN, "DATA", "x\r\n.")).startswith("250 ")
            assert scene.lines[0] == "connect from unknown[127.0.0.1]"
            assert scene.cleanup.messages[0].content.startswith(b"Received: from client.example (unknown [127.0.0.1])")

    run(scenario)


def test_lmtp_answers_for_each_recipient() -> None:
    async def scenario() -> None:
        async with stage(smtpd_protocol="lmtp") as scene:
            peer = await scene.connect()
            assert await peer.say("EHLO x") == "500 5.5.2 Error: command not recognized"
            await peer.say("LHLO c.test", "MAIL FROM:<>", "RCPT TO:<user@here.example>")
            await peer.say("RCPT TO:<nobody@here.example>", "RCPT TO:<user2@here.example>", "DATA")
            assert await peer.say("x\r\n.") == f"250 2.0.0 <user@here.example> Ok: queued as {ID}"
            assert await peer.reply() == f"250 2.0.0 <user2@here.example> Ok: queued as {ID}"
            assert scene.cleanup.messages[0].envelope is not None
            assert scene.cleanup.messages[0].envelope.protocol == "LMTP"

    run(scenario)
